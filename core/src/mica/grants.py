"""A grant: what a provisioner's verified credential entitles its bearer to.

A provisioner answers with a ``Grant`` or raises; there is no third way, and what the grant's permits do not
allow is not issued. The core verifies each grant that comes back from a plugin (``mica.authorization``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.records import CertificateKind, Issuance, ProvisionerRef
from mica.requests import TimeOrDuration
from mica.sshcert import CertType, Options

#: What a leaf may do unless its permit says otherwise: TLS server and TLS client (RFC 5280 §4.2.1.12).
TLS_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

#: What a certificate is for: a GeneralName in X.509, a principal in SSH.
Name = TypeVar("Name")


class Operation(StrEnum):
    """What a credential can be used for. A token serves exactly one of them."""

    X509_SIGN = "x509-sign"
    X509_RENEW = "x509-renew"
    X509_REKEY = "x509-rekey"
    X509_REVOKE = "x509-revoke"
    SSH_SIGN = "ssh-sign"
    SSH_RENEW = "ssh-renew"
    SSH_REKEY = "ssh-rekey"
    SSH_REVOKE = "ssh-revoke"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTime:
    """The credential serves once: its ``id`` is remembered, per provisioner, until ``until``."""

    id: str
    until: datetime

    @classmethod
    def of(cls, id: str, expires_at: datetime) -> "OneTime":
        """What is remembered for as long as it could be accepted, also by a store that keeps whole seconds."""
        return cls(id=id, until=expires_at.replace(microsecond=0) + timedelta(seconds=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reusable:
    """The credential may serve again, for the ``reason`` given, which is logged."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exactly(Generic[Name]):
    """The certificate carries these names, all of them and no other."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Within(Generic[Name]):
    """The certificate carries the request's names, each of which must be one of these."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsRequested:
    """The certificate carries the request's names, whatever they are, provided each is of one of these kinds."""

    kinds: frozenset[type[x509.GeneralName]]


class CSRNames(Enum):
    """What to make of the names in a request whose certificate's names are given by the grant."""

    MUST_MATCH = auto()
    """Each kind of name that the CSR has must be the same set as the grant's; a kind it lacks is not compared."""
    IGNORED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignX509:
    """A new X.509 certificate for the key of the request."""

    subject_common_name: str
    """The issued subject is this CN alone, never the CSR's subject; empty: no subject."""
    names: Exactly[x509.GeneralName] | Within[x509.GeneralName] | AsRequested
    csr_names: CSRNames = CSRNames.MUST_MATCH
    common_names: frozenset[str] | None = frozenset()
    """The CNs that the CSR may have besides none and ``subject_common_name``; None: its CN is ignored."""
    confirmation: bytes | None = None
    """SHA-256 of the DER of the only CSR that may be used (``cnf``, ``x5rt#S256``)."""
    not_before: datetime | None = None
    """The certificate is not valid before; an earlier request is refused, a default start is moved."""
    not_after: datetime | None = None
    """The certificate is not valid after; a later request is refused, a default end is cut."""
    extended_key_usages: tuple[x509.ObjectIdentifier, ...] = TLS_USAGES
    ca: bool = False
    """Reserved: mica issues no CA certificates over its API, and refuses a grant that asks for one."""
    signer: str = "x509"
    """The signer's name: the table ``[signers.<name>]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignSSH:
    """A new SSH certificate for the key of the request (OpenSSH PROTOCOL.certkeys)."""

    cert_type: CertType
    """Whom it is for; a request for the other type is refused."""
    key_id: str
    """What it is called in sshd's log and in the record, whatever the request says."""
    principals: Exactly[str] | Within[str]
    """A request may name some of them, whatever their case; where it names none, ``Within`` means all."""
    valid_after: TimeOrDuration | None = None
    valid_before: TimeOrDuration | None = None
    """Exactly these bounds, as a request would have them; one that has another is refused."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    """It lies between these; a request beyond is refused, a default is cut."""
    critical_options: Options = ()
    """Sorted by name: ``force-command``, ``source-address``."""
    extensions: Options | None = None
    """Sorted by name; None: what users have by default, and nothing for hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignSSHAsRequested:
    """A new SSH certificate as an administrator asks for it: its type, key id and principals are the request's.

    The request must name all three. What no certificate may carry is refused all the same.
    """

    cert_types: frozenset[CertType]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddUser:
    """Beside a user's certificate, one for another key that can do nothing but make the account on a host."""

    account: str
    """Whose; it stands in the operator's command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewSSH:
    """An SSH certificate equal to this one but for serial, nonce, validity, CA key; on rekey, key."""

    certificate: bytes
    """As it was presented, its wire blob. Its key has signed the token; that it is on record, the core finds out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """A certificate equal to ``certificate`` but for serial number, validity, issuer, AKI; on rekey, key and SKI."""

    certificate: Issuance


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """The end of the certificates that bear these serial numbers, whichever of this authority's issuers signed them."""

    kind: CertificateKind
    serial_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAny:
    """The end of whichever certificate of this kind the request names: an administrator's permit."""

    kind: CertificateKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKeyId:
    """The end of every SSH certificate with this key id on record that is of any use: expired ones of hosts as well."""

    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeHeld:
    """The end of exactly this SSH certificate, whose key has signed the token."""

    certificate: bytes
    """Its wire blob. That it is on record, the core finds out."""


Permit = (
    SignX509 | SignSSH | SignSSHAsRequested | AddUser | Renew | RenewSSH | Revoke | RevokeAny | RevokeKeyId | RevokeHeld
)
Spend = OneTime | Reusable


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who asked, how that is known, and what exactly they may have. Everything in it is immutable."""

    provisioner: ProvisionerRef
    operation: Operation
    subject: str
    spend: Spend
    """No default: to forget whether a credential is one-time is a type error."""
    expires_at: datetime
    permits: tuple[Permit, ...]
    claims: Mapping[str, object] = field(default_factory=dict)
    """The verified claims, as facts for policies."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What is worth logging about how the identity was proved; never a secret."""
