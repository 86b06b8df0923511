"""TLS as a client of the CA needs it: trust in given roots, a client certificate, and failures told apart."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mica.client.errors import Flaw, IdentityRejected, KeyProblem, NotTheCA, Unreachable, Untrusted

if TYPE_CHECKING:  # slow to import, and help needs none of it
    import ssl

# X509_V_ERR_…, openssl/x509_vfy.h.
_FLAWS: dict[int, Flaw] = {
    7: "wrong-root",  # another root of the same name
    9: "not-yet-valid",
    10: "expired",
    18: "wrong-root",  # a self-signed certificate
    19: "wrong-root",  # a self-signed certificate in the chain
    20: "wrong-root",  # no issuer
    21: "wrong-root",  # the first certificate cannot be verified
    30: "wrong-root",  # another key identifier
    62: "wrong-host",
    64: "wrong-host",  # an IP address
}
_TEXTS: dict[Flaw, tuple[str, str]] = {
    "wrong-root": (
        "its certificate does not lead to the root that is trusted here",
        "if this is another CA, or it has a new root, run: mica ca bootstrap --ca-url … --fingerprint …",
    ),
    "wrong-host": (
        "its certificate is for another name",
        "use a name or address that the CA knows; its dns_names are the list",
    ),
    "expired": (
        "its certificate has expired, or this machine's clock is ahead",
        "compare the clocks; the CA renews its own certificate while it runs",
    ),
    "not-yet-valid": (
        "its certificate is not valid yet, or this machine's clock is behind",
        "compare the clocks",
    ),
    "other": ("its certificate cannot be verified", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A client certificate, leaf first with its intermediates, and its unencrypted private key; both PEM."""

    certificates: bytes
    key: bytes = field(repr=False)


def context(roots_pem: bytes | None, identity: Identity | None = None) -> "ssl.SSLContext":
    """Trusts ``roots_pem`` alone, or the system's roots when that is None; raises KeyProblem, Unreachable."""
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if roots_pem is None:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            made.load_verify_locations(cadata=roots_pem.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise Unreachable("the root certificate that is to be trusted is not PEM") from error
    if identity is not None:
        _present(made, identity)
    return made


def unverified_context() -> "ssl.SSLContext":
    """Trusts whoever answers: only for what is verified by its fingerprint."""
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def first_certificate(pem: str) -> bytes:
    """The DER of the first certificate in ``pem``, whatever else stands there; raises ValueError when there is none."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = pem.find(begin)
    stop = pem.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError("no certificate in PEM")
    from ssl import PEM_cert_to_DER_cert

    return PEM_cert_to_DER_cert(pem[start : stop + len(end)])


def fingerprint(pem: str) -> str:
    """Hex SHA-256 of the first certificate in ``pem``; raises ValueError when there is none."""
    from hashlib import sha256

    return sha256(first_certificate(pem)).hexdigest()


def explain(error: "ssl.SSLError", url: str, *, identified: bool) -> Unreachable | IdentityRejected:
    """What a failed handshake means for whoever called the CA at ``url``, with a client certificate or without."""
    from ssl import SSLCertVerificationError

    if isinstance(error, SSLCertVerificationError):
        flaw = _FLAWS.get(error.verify_code, "other")
        text, hint = _TEXTS[flaw]
        return Untrusted(f"{url} is not trusted: {text} ({error.verify_message})", flaw=flaw, hint=hint)
    reason = error.reason or str(error)
    if identified and "ALERT" in reason:
        return IdentityRejected(f"{url} does not accept this certificate: {_words(reason)}", status=0)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return NotTheCA(f"{url} does not speak TLS", hint="is it the right port?")
    return Unreachable(f"{url}: TLS failed: {_words(reason)}")


def _words(reason: str) -> str:
    """OpenSSL's reason as words: ``SSLV3_ALERT_CERTIFICATE_EXPIRED`` is ``certificate expired``."""
    return reason.rpartition("ALERT_")[2].replace("_", " ").lower()


def _present(made: "ssl.SSLContext", identity: Identity) -> None:
    from ssl import SSLError

    with _file(identity.certificates + b"\n" + identity.key) as path:
        try:
            made.load_cert_chain(path)
        except (SSLError, ValueError) as error:
            raise KeyProblem("the certificate and the key do not belong together, or are not PEM") from error


@contextmanager
def _file(data: bytes) -> Iterator[str]:
    """A file that holds ``data``, as OpenSSL reads keys from files only: in memory where that is possible."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mica-identity", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        import tempfile  # slow to import

        with tempfile.TemporaryDirectory(prefix="mica-") as directory:  # 0700
            path = Path(directory, "identity.pem")
            path.touch(mode=0o600)
            path.write_bytes(data)
            yield str(path)
