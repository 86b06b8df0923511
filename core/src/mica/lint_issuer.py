"""What ``mica.lint`` must know of an issuer, worked out once for each."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica import der
from mica.pkix import tbs_parts

_Value = TypeVar("_Value", bound=x509.ExtensionType)

#: The AlgorithmIdentifiers with which an issuer of each kind may sign: SHA-256, SHA-384 or SHA-512; Ed25519.
_ALGORITHMS: tuple[tuple[type, frozenset[bytes]], ...] = (
    # RFC 5758 §3.2 and RFC 8410 §3: no parameters. RFC 4055 §5: NULL.
    (ec.EllipticCurvePublicKey, frozenset(der.sequence(der.oid(f"1.2.840.10045.4.3.{n}")) for n in (2, 3, 4))),
    (
        rsa.RSAPublicKey,
        frozenset(der.sequence(der.oid(f"1.2.840.113549.1.1.{n}"), der.tlv(der.NULL, b"")) for n in (11, 12, 13)),
    ),
    (ed25519.Ed25519PublicKey, frozenset((der.sequence(der.oid("1.3.101.112")),))),
)


#: All of them, whatever the issuer's key.
SIGNATURES = frozenset().union(*(ids for _, ids in _ALGORITHMS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer's certificate as the rules see it."""

    subject: bytes
    """Its Name, as the octets that stand there."""
    algorithms: frozenset[bytes]
    """The AlgorithmIdentifiers with which it may sign."""
    not_before: datetime
    not_after: datetime
    key_identifier: bytes
    path_length: int | None
    constraints: tuple[x509.NameConstraints, ...]
    """Its own, and those of the certificates above it."""
    faults: tuple[str, ...]
    """Why it must not issue anything."""


@lru_cache(maxsize=64)
def issuer_of(certificate: x509.Certificate, above: tuple[x509.Certificate, ...]) -> Issuer:
    """The facts about ``certificate``, whose own issuers are ``above``; raises ValueError when it cannot be read."""
    public_key = certificate.public_key()
    # §4.2.1.2 demands the extension of every CA; where an old root lacks it, its key stands for it.
    identifier = _value(certificate, x509.SubjectKeyIdentifier) or x509.SubjectKeyIdentifier.from_public_key(public_key)
    basic, usage = _value(certificate, x509.BasicConstraints), _value(certificate, x509.KeyUsage)
    faults = []
    if basic is None or not basic.ca:
        faults.append("RFC 5280 §4.2.1.9: the issuer must be a CA")
    if usage is None or not usage.key_cert_sign:
        faults.append("RFC 5280 §4.2.1.3: the issuer's keyUsage must have keyCertSign")
    constraints = (_value(each, x509.NameConstraints) for each in (certificate, *above))
    return Issuer(
        subject=tbs_parts(certificate)[5],
        algorithms=next((ids for kind, ids in _ALGORITHMS if isinstance(public_key, kind)), frozenset()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_identifier=identifier.digest,
        path_length=basic.path_length if basic else None,
        constraints=tuple(constraint for constraint in constraints if constraint),
        faults=tuple(faults),
    )


def _value(certificate: x509.Certificate, kind: type[_Value]) -> _Value | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
