"""What exactly one part must do: the roles that plugins fill, as small Protocols.

An optional ability is a further Protocol that a role may implement (``Startable``, ``Closeable``,
``RenewalProvisioner``, ``KeyCreator``); it is found once, when the authority is assembled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mica.audiences import Audiences
from mica.egress import Egress
from mica.grants import Grant, Operation
from mica.pkix import SubjectPublicKey
from mica.records import CertificateId, CertificateKind, Commit, Issuance, Page, Query, Revocation, SpentToken
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey
from mica.tokens import UnverifiedToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a plugin is given when it is built: the authority's outside, never the authority itself."""

    url: str
    """The URL at which clients reach the authority, without a trailing slash."""
    audiences: Audiences
    directory: Path
    """The folder of ``ca.toml``, to which relative paths refer."""
    now: Callable[[], datetime]
    """The current time, aware, in UTC. Plugins never ask the system."""
    random: Callable[[int], bytes]
    """That many octets from the system's secure source."""
    read: Callable[[Path], bytes]
    """A file of the configuration at an absolute path, ``context.directory / path``, as it was when this generation was
    validated; raises ConfigError."""
    read_secret: Callable[[Path], bytes]
    """As ``read``, and the file must not be readable by others; raises ConfigError."""
    http: Egress = field(default_factory=Egress)
    """The way out to other servers. Plugins open no connections of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext(Context):
    """What a key backend is given besides."""

    password: bytes | None = field(default=None, repr=False)
    """The password that the operator gave to ``mica ca serve``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerContext(Context):
    """What an X.509 signer is given besides: the key and the chain of its own table, and no other's."""

    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    """Issuer first, without the root."""
    blocking: bool = False
    """Whether the key's ``sign`` waits for something outside the process, as its backend says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionContext(Context):
    """What a policy, a listener or a service is given besides."""

    tables: Mapping[str, Any] = field(default_factory=dict)
    """What the tables of provisioners hold under the extension's name, by the provisioners' names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHKey:
    """A CA key for one type of SSH certificate."""

    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    blocking: bool = False
    """Whether its ``sign`` waits for something outside the process, as its backend says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHSignerContext(Context):
    """What an SSH signer is given besides: the keys of its own table, and no other's."""

    keys: Mapping[CertType, SSHKey] = field(repr=False)
    """At least one; a type without a key is not issued."""


Role_co = TypeVar("Role_co", covariant=True)
Config = TypeVar("Config")
Ctx = TypeVar("Ctx", bound=Context)
Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class Kind(Generic[Role_co]):
    """A kind of part that a plugin offers: its name in ``ca.toml``, what its table is read into, its constructor."""

    name: str
    config: type[Any]
    build: Callable[[Any, Any], Role_co]
    provisioners: type[Any] | None = None
    """What the table of a provisioner may hold under the kind's name; only extensions have it."""


def kind(
    name: str, config: type[Config], build: Callable[[Config, Ctx], Built], *, provisioners: type[Any] | None = None
) -> Kind[Built]:
    """A Kind whose constructor takes what its table is read into. The name is the plugin's, or ``plugin.kind``.

    ``config`` is a frozen dataclass; the constructor does no I/O but ``context.read``. An extension may have settings
    at each provisioner too: ``provisioners`` is their dataclass, and ``ExtensionContext.tables`` has them.
    """
    return Kind(name, config, build, provisioners)


@runtime_checkable
class Startable(Protocol):
    """Needs the outside world before it can serve."""

    async def start(self) -> None:
        """It can serve; any exception means not yet, and it is tried again."""


@runtime_checkable
class Closeable(Protocol):
    """Holds something that must be given back."""

    async def aclose(self) -> None:
        """Everything it held is given back; a second call does nothing."""


class Provisioner(Protocol):
    """Somebody who can vouch. Its table has ``type``, ``name`` and ``claims``, and what its config dataclass adds."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str:
        """The type as clients know it: ``JWK``, ``X5C`` …"""

    @property
    def operations(self) -> frozenset[Operation]:
        """What its grants can be for; anything else is refused before it is asked."""

    def describe(self) -> Mapping[str, Any]:
        """Its public JSON members in ``GET /provisioners``, besides ``type``, ``name`` and ``claims``."""


@runtime_checkable
class TokenProvisioner(Provisioner, Protocol):
    """Vouches for the bearer of a token."""

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token claims to be one of its own. Cheap, and proves nothing."""

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The token is genuine, current, and meant for this authority and operation; raises Unauthorized, Refused.

        Unavailable means that it cannot be judged now, as while an identity provider does not answer.
        """


@runtime_checkable
class RenewalProvisioner(Provisioner, Protocol):
    """Lets the certificates that it once vouched for be renewed by whoever holds their key."""

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew or rekey ``issuance``, whose possession the core has verified; raises as ``authorize``."""


@runtime_checkable
class Keyed(Protocol):
    """Believes signatures by keys of its own, which must not be keys of the authority."""

    @property
    def public_keys(self) -> tuple[SubjectPublicKey, ...]:
        """Those keys."""


class KeyBackend(Protocol):
    """Finds private keys by URI; its kind's name or ``scheme`` is the URI's scheme."""

    @property
    def scheme(self) -> str:
        """The URI scheme that it serves, in lower case: ``file``."""

    @property
    def blocking(self) -> bool:
        """Whether the keys' ``sign`` waits for something outside the process, and so belongs in a thread."""

    def load(self, uri: str) -> CertificateIssuerPrivateKeyTypes:
        """The key at ``uri``; raises ConfigError that names the URI and the remedy, never the secret."""


@runtime_checkable
class KeyCreator(KeyBackend, Protocol):
    """Can also make keys."""

    def create(self, uri: str, algorithm: str) -> CertificateIssuerPrivateKeyTypes:
        """A new key is kept at ``uri``, where there was none. ``algorithm``: ``EC-P256``, ``RSA-3072``, ``Ed25519``."""


class X509Signer(Protocol):
    """Signs what the core wrote."""

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The issuer's certificate, then its issuers, without the root."""

    @property
    def algorithm(self) -> bytes:
        """The DER AlgorithmIdentifier of its signatures (RFC 5280 §4.1.1.2)."""

    async def sign(self, tbs: bytes) -> bytes:
        """The signature over exactly these octets, by the key of ``chain[0]``, as a certificate carries it."""


class SSHSigner(Protocol):
    """Signs what the core wrote, for users and for hosts."""

    def authority_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
        """What certificates of this type are believed by: first the key of ``sign``, then those before and after it.

        Empty where none are issued; always the same.
        """

    async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
        """The blob of the signature over exactly these octets, by ``authority_keys(cert_type)[0]`` (RFC 4253 §6.6)."""


class Store(Protocol):
    """Remembers what must not be forgotten. Every method raises Unavailable when it cannot answer."""

    async def commit(self, commit: Commit) -> None:
        """Everything in ``commit`` is durably on record, or nothing is.

        Raises TokenReused when a token of it has been spent, CertificateRevoked when a certificate of
        ``unless_revoked`` is revoked, AlreadyRevoked when one to be revoked is, Conflict when a certificate's
        issuer and serial number are taken. Cancelling the caller leaves either everything or nothing, and the
        store alive.
        """

    async def find(self, id: CertificateId) -> Issuance | None:
        """The certificate on record under ``id``."""

    async def revocation(self, id: CertificateId) -> Revocation | None:
        """The revocation of ``id``, whether or not the certificate is on record."""

    async def is_spent(self, token: SpentToken) -> bool:
        """Whether the token has been spent, or may have been: it ends no later than one that ``prune`` forgot.

        A spent token is spent whatever its ``until`` is said to be.
        """

    async def search(self, query: Query) -> Page:
        """One page of the certificates that match, newest first, with their revocations."""

    async def prune(self, now: datetime) -> int:
        """Tokens whose ``until`` lies before ``now`` are forgotten, their number returned. Nothing else ever is."""

    async def probe(self) -> None:
        """A write would succeed now."""

    async def aclose(self) -> None:
        """Every commit that was accepted is on disk, and everything is given back."""


@runtime_checkable
class RevocationLister(Protocol):
    """A store that can tell all that is revoked: what revocation lists are made of."""

    async def revocations(
        self, kind: CertificateKind, issuer: bytes, *, after: int = -1, limit: int = 1000
    ) -> tuple[Revocation, ...]:
        """The revocations of an issuer's certificates, on record or not, whose serial numbers lie above ``after``.

        In ascending order, at most ``limit``. Raises Unavailable.
        """
