"""Who signs: a CA's certificate and its key, known to belong together and fit to issue."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mica.cli.kit import FileProblem, PrivateKey, read_key, rfc3339
from mica_certtool.judging import paths
from mica_certtool.making import chains
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, extension, key_algorithm, parts
from mica_certtool.reading.documents import certificates_in
from mica_certtool.reading.names import RSASSA_PSS

_Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

# AlgorithmIdentifiers: RFC 5758 §3.2 and RFC 8410 §3 have no parameters, RFC 4055 §5 has NULL.
_ED25519 = bytes.fromhex("300506032b6570")
_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_ECDSA = {
    "sha256": bytes.fromhex("300a06082a8648ce3d040302"),
    "sha384": bytes.fromhex("300a06082a8648ce3d040303"),
    "sha512": bytes.fromhex("300a06082a8648ce3d040304"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA's certificate and its key."""

    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...]
    """Its own issuers, as far as they stand behind it in its file."""
    key: PrivateKey
    place: str

    @property
    def bundled(self) -> tuple[x509.Certificate, ...]:
        """What follows a certificate in a bundle: the issuer, and the intermediates above it."""
        return (self.certificate, *(each for each in self.above if not paths.is_self_issued(each)))

    @property
    def path_length(self) -> int | None:
        """How many CAs may stand below it; None: any number."""
        return _basic_constraints(self.certificate).path_length


def read_issuer(path: str | Path, key: str, password_source: str | None, *, flag: str, now: datetime) -> Issuer:
    """The CA whose certificate is the first in ``path``, and whose key is at ``key``, a file or a key URI.

    Raises FileProblem when it may not issue now, or the key is another's or weak.
    """
    chain = chains.leading_up(certificates_in(path))
    certificate = chain[0]
    try:
        _check(certificate, str(path), now)
    except UNREADABLE_EXTENSIONS as error:
        raise FileProblem(f"{path}: has extensions that cannot be read: {error}") from error
    loaded = read_key(key, password_source, flag=flag)
    if loaded.public_key() != certificate.public_key():
        raise FileProblem(
            f"{key}: is not the key of {path}, {paths.title(certificate)}", hint="name the key that belongs to it"
        )
    return Issuer(certificate=certificate, above=chain[1:], key=loaded, place=str(path))


def algorithm(key: PrivateKey) -> bytes:
    """The AlgorithmIdentifier of the signatures that ``sign`` makes."""
    digest = digest_for(key)
    if digest is None:
        return _ED25519
    return _ECDSA[digest.name] if isinstance(key, ec.EllipticCurvePrivateKey) else _RSA_SHA256


def digest_for(key: PrivateKey) -> _Digest | None:
    """The hash as strong as the curve (NIST SP 800-57 part 1 §5.6.2)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None  # Ed25519 hashes for itself (RFC 8410 §3): naming a digest is an error.
    bits = key.key_size if isinstance(key, ec.EllipticCurvePrivateKey) else 256
    return hashes.SHA256() if bits <= 256 else hashes.SHA384() if bits <= 384 else hashes.SHA512()


def sign(key: PrivateKey, octets: bytes) -> bytes:
    """The signature of ``key`` over ``octets``, by ``algorithm(key)``."""
    digest = digest_for(key)
    if isinstance(key, ed25519.Ed25519PrivateKey) or digest is None:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        return key.sign(octets)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), digest)
    return key.sign(octets, ec.ECDSA(digest))


def _check(certificate: x509.Certificate, place: str, now: datetime) -> None:
    """The certificate is that of a CA, and valid; raises FileProblem."""
    name = paths.title(certificate)
    if not _basic_constraints(certificate).ca:
        raise FileProblem(f"{place}: {name} is no CA, and may not issue", hint="name the certificate of a CA")
    if not _may_sign(certificate):
        raise FileProblem(f"{place}: {name} may not sign certificates: its keyUsage lacks keyCertSign")
    if now > certificate.not_valid_after_utc:
        raise FileProblem(f"{place}: {name} expired at {rfc3339(certificate.not_valid_after_utc)}, and may not issue")
    if key_algorithm(parts(certificate).spki) == RSASSA_PSS:
        raise FileProblem(f"{place}: {name} has a key for RSASSA-PSS alone, with which nothing is signed here")


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    # Without any it is a leaf (RFC 5280 §4.2.1.9).
    return extension(certificate, x509.BasicConstraints) or x509.BasicConstraints(ca=False, path_length=None)


def _may_sign(certificate: x509.Certificate) -> bool:
    usage = extension(certificate, x509.KeyUsage)
    return usage is not None and usage.key_cert_sign  # RFC 5280 §4.2.1.3: a CA must have it
