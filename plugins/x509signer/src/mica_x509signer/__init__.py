"""An X.509 signer: ``[signers.x509]`` with ``type = "x509signer"``."""

from collections.abc import Iterable

from mica import Kind, X509Signer, hookimpl, kind
from mica_x509signer.signer import X509KeySigner, X509SignerConfig


@hookimpl
def register_x509_signers() -> Iterable[Kind[X509Signer]]:
    """The kind ``x509signer``."""
    return [kind("x509signer", X509SignerConfig, X509KeySigner)]
