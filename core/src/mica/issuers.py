"""An issuer: one X.509 signer, with everything about it that does not change from certificate to certificate."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mica import der
from mica.errors import ConfigError
from mica.files import Files
from mica.pkix import Extension, tbs_parts
from mica.records import CertificateId, CertificateKind
from mica.roles import X509Signer

AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A signer, and what the core writes into every certificate that it signs."""

    name: str
    """The table ``[signers.<name>]``."""
    signer: X509Signer
    chain: tuple[x509.Certificate, ...]
    algorithm: bytes
    """The signer's, as they were when it was built: what it says of itself later, it says too late."""
    roots: tuple[x509.Certificate, ...]
    federated_roots: tuple[x509.Certificate, ...]
    backdate: timedelta
    subject: bytes
    """The issuer's Name, as its certificate has it."""
    authority_key_identifier: Extension
    not_before: datetime
    not_after: datetime
    """Its certificates lie between these, which are those of its own certificate."""
    digest: bytes
    """SHA-256 of ``subject``: what certificates of this issuer are recorded under."""
    above: tuple[x509.Certificate, ...] = field(repr=False)
    """The issuer's own issuers, its root among them: their name constraints hold as well."""
    chain_der: tuple[bytes, ...] = field(repr=False)
    renew_unrecorded: bool = False
    """Its signature stands in for a record that is missing (``mica.unrecorded``)."""

    @classmethod
    def of(
        cls,
        name: str,
        signer: X509Signer,
        *,
        roots: tuple[x509.Certificate, ...],
        federated_roots: tuple[x509.Certificate, ...],
        backdate: timedelta,
        renew_unrecorded: bool = False,
    ) -> "Issuer":
        """The issuer that signs with ``signer``; raises ConfigError when its certificate cannot be one."""
        chain, algorithm = tuple(signer.chain), bytes(signer.algorithm)
        certificate = chain[0]
        try:
            identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound as error:
            raise ConfigError(["the issuing certificate has no subjectKeyIdentifier (RFC 5280 §4.2.1.2)"]) from error
        subject = tbs_parts(certificate)[5]
        return cls(
            name=name,
            signer=signer,
            chain=chain,
            algorithm=algorithm,
            roots=roots,
            federated_roots=federated_roots,
            backdate=backdate,
            subject=subject,
            authority_key_identifier=Extension(
                AUTHORITY_KEY_IDENTIFIER, False, der.sequence(der.tlv(0x80, identifier))
            ),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            digest=hashlib.sha256(subject).digest(),
            above=(*chain[1:], *(root for root in roots if _issued(chain[-1], root))),
            chain_der=tuple(each.public_bytes(serialization.Encoding.DER) for each in chain),
            renew_unrecorded=renew_unrecorded,
        )

    @property
    def certificate(self) -> x509.Certificate:
        """The issuing certificate."""
        return self.chain[0]

    @property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The key under which its signatures verify."""
        return self.certificate.public_key()

    def id_of(self, serial_number: int) -> CertificateId:
        """What a certificate of this issuer with that serial number is recorded under."""
        return CertificateId(kind=CertificateKind.X509, issuer=self.digest, serial_number=serial_number)


def issuer_digest(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the Name of the certificate's issuer."""
    return hashlib.sha256(tbs_parts(certificate)[3]).digest()


def read_certificates(files: Files, path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in the PEM file at ``path``, at least one; raises ConfigError."""
    contents = files.read(path)
    try:
        certificates = tuple(x509.load_pem_x509_certificates(contents))
    except ValueError as error:
        remedy = "it holds a private key" if b"PRIVATE KEY" in contents else "convert it with openssl x509"
        raise ConfigError([f"{path}: is not a PEM certificate; {remedy}"]) from error
    return certificates


def verify_chain(chain: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]) -> list[str]:
    """What is wrong with the way from ``chain[0]`` to one of ``roots``; validity in time is judged when issuing."""
    for child, parent in pairwise(chain):
        if not _issued(child, parent):
            return [
                f"{parent.subject.rfc4514_string()} did not issue {child.subject.rfc4514_string()}; order the chain"
            ]
    if not any(_issued(chain[-1], root) for root in roots):
        return [f"no configured root issued {chain[-1].subject.rfc4514_string()}"]
    return []


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except Exception:  # pyca raises ValueError, TypeError or InvalidSignature: all of them mean no
        return False
    return True
