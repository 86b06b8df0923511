"""What the plugin has: one kind of provisioner, ``type = "jwk"``."""

from collections.abc import Iterable

from mica import Kind, Provisioner, hookimpl, kind
from mica_jwk.provisioner import JWKConfig, JWKProvisioner


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    """The kind ``jwk``."""
    return [kind("jwk", JWKConfig, JWKProvisioner)]
