"""Certificate signing requests (RFC 2986): made for a key, or read from a file."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica import names
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import read_input
from mica.cli.mistakes import mistaken
from mica.errors import MalformedRequest, Refused
from mica.keyfiles import PrivateKey
from mica.pkix import UNREADABLE, PublicKey
from mica.recognition import REQUEST

_MAX_COMMON_NAME = 64  # ub-common-name, RFC 5280 appendix A.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A CSR whose own signature and key are good, and what it asks for."""

    pem: str
    digest: bytes
    """SHA-256 of its DER."""
    common_name: str
    names: tuple[str, ...]
    public_key: PublicKey


def make(key: PrivateKey, common_name: str, sans: Iterable[str]) -> Request:
    """A CSR for ``key`` with these names; raises Usage for what is no name."""
    if len(common_name) > _MAX_COMMON_NAME:
        raise Usage(
            f"the subject {common_name!r} is longer than {_MAX_COMMON_NAME} characters",
            hint="give a short subject, and the long name with --san",
        )
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if general := names.ordered(map(_classified, sans)):
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=not common_name)
    # Ed25519 hashes for itself (RFC 8410 §3): naming a digest is an error.
    made = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return Request(
        pem=made.public_bytes(Encoding.PEM).decode(),
        digest=hashlib.sha256(made.public_bytes(Encoding.DER)).digest(),
        common_name=common_name,
        names=tuple(map(names.text, general)),
        public_key=key.public_key(),
    )


def check_names(sans: Iterable[str]) -> None:
    """Every one is a name that a certificate can carry; raises Usage."""
    for san in sans:
        _classified(san)


def read(path: str | Path) -> Request:
    """The CSR in ``path``, PEM or DER; raises FileProblem when the CA could not accept it."""
    from mica.csr import parse_csr  # imports much, and a request that was made here needs no judging

    data = read_input(path)
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
        octets = load(data).public_bytes(Encoding.DER)
    except UNREADABLE as error:
        raise mistaken(data, path, REQUEST) from error
    try:
        csr = parse_csr(octets)
    except (MalformedRequest, Refused) as error:
        raise FileProblem(f"{path}: {error}", hint="make the request again") from error
    return Request(
        pem=x509.load_der_x509_csr(csr.der).public_bytes(Encoding.PEM).decode(),
        digest=csr.digest,
        common_name=csr.common_name,
        names=tuple(map(names.text, csr.names)),
        public_key=csr.public_key.key,
    )


def _classified(san: str) -> x509.GeneralName:
    try:
        return names.classify(san)
    except MalformedRequest as error:
        raise Usage(f"{error}, an IP address, an e-mail address or a URI", hint="names are given with --san") from error
