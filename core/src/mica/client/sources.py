"""Where the client's tokens come from: one ``TokenSource`` for each type of provisioner.

An entry point of the group ``mica.clients``, named by the type in lower case, names the class; it is built without
arguments. A source is asked for one token, and lent a ``Desk`` to ask the CA and the person in front of it. It may
also be able to make the table of a new provisioner of its type (``TableMaker``).
"""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mica.client.errors import ClientError

if TYPE_CHECKING:  # they import much, and most calls of the CA need no token source
    from importlib.metadata import EntryPoint

    from mica.grants import Operation

GROUP = "mica.clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """What the token is to say."""

    operation: "Operation"
    subject: str
    """The common name or key id, or the serial number that is to be revoked."""
    sans: tuple[str, ...] = ()
    """The names of the certificate; only for signing."""
    audience: str
    """The URL of the operation, without a fragment."""
    root_fingerprint: str = ""
    """Hex SHA-256 of the CA's root, for whoever receives the token."""
    issued_at: datetime
    not_before: datetime
    not_after: datetime
    confirmation: bytes | None = None
    """SHA-256 of the DER of the only CSR that the token may be used with."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further claims."""

    def claims(self, issuer: str, *, fragment: str = "") -> dict[str, Any]:
        """What step's command line puts in a token of the provisioner ``issuer``; no two are the same.

        ``fragment`` ends the audience as it is, ``x5c/edge``: step's clients escape nothing.
        """
        claims: dict[str, Any] = {
            **self.extra,
            "aud": f"{self.audience}#{fragment}" if fragment else self.audience,
            "exp": int(self.not_after.timestamp()),
            "iat": int(self.issued_at.timestamp()),
            "iss": issuer,
            "jti": os.urandom(32).hex(),
            "nbf": int(self.not_before.timestamp()),
            "sub": self.subject,
        }
        if self.root_fingerprint:
            claims["sha"] = self.root_fingerprint
        if self.sans:
            claims["sans"] = list(self.sans)
        if self.confirmation is not None:
            claims["cnf"] = {"x5rt#S256": urlsafe_b64encode(self.confirmation).rstrip(b"=").decode()}
        return claims


class ReadingDesk(Protocol):
    """What it takes to read a key file. Its methods raise what the command ends with."""

    def read(self, path: Path) -> bytes:
        """A file that the user named."""

    def passwords(self, label: str) -> Iterator[bytes]:
        """The password: one from where it was said to be, or up to three from whoever is asked."""


class Desk(ReadingDesk, Protocol):
    """What the command line lends to a source that makes a token."""

    @property
    def key_file(self) -> Path | None:
        """The private key that was named, instead of one that the CA keeps."""

    @property
    def certificate_file(self) -> Path | None:
        """The certificate that was named, whose key signs the token: ``key_file``."""

    @property
    def chain_files(self) -> tuple[Path, ...]:
        """Files with the issuers of that certificate, besides those that stand behind it in its own."""

    def encrypted_key(self, kid: str) -> str:
        """The provisioner's private key as the CA keeps it, encrypted."""


class TableDesk(ReadingDesk, Protocol):
    """What the command line lends to a source that makes a provisioner's table."""

    def new_password(self, label: str, flag: str) -> bytes:
        """A password for something new, from where it was said to be, or asked for twice; ``flag`` would have said."""


class TokenSource(Protocol):
    """Makes tokens for one type of provisioner."""

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """A token that says what ``order`` says; ``provisioner`` is its entry in the CA's list.

        Raises KeyProblem, and whatever the desk raises.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOption:
    """A flag of ``mica ca provisioner add`` that stands for no single field of the table."""

    flag: str
    """``--public-key``; its value is found under ``public_key``."""
    help: str
    is_flag: bool = False
    """It takes no value, and its value is True; otherwise a Path."""

    @property
    def key(self) -> str:
        """Where ``TableMaker.table`` finds its value."""
        return self.flag.removeprefix("--").replace("-", "_")


@runtime_checkable
class TableMaker(Protocol):
    """A source that can make what a provisioner's table holds and no flag can say, such as a key pair."""

    @property
    def options(self) -> tuple[TableOption, ...]:
        """What it can be asked for."""

    def table(self, name: str, options: Mapping[str, Any], desk: TableDesk) -> Mapping[str, Any]:
        """The members of the table of the provisioner ``name`` that follow from ``options``: those that were given.

        A member that is None must not stand in the table. Raises ValueError when the options do not fit together,
        KeyProblem when a key cannot be used, and whatever the desk raises.
        """


def installed() -> "dict[str, EntryPoint]":
    """Every source that there is, by type in lower case; raises ClientError when two distributions claim a type."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ClientError(
                f"two distributions make tokens of type {entry.name}: {_owner(other)} and {_owner(entry)}",
                hint="uninstall one of them",
            )
    return found


def token_source(type_: str) -> TokenSource:
    """The source for provisioners of that type, in any case; raises ClientError when none is installed."""
    entry = installed().get(type_.lower())
    if entry is None:
        raise ClientError(f"tokens of type {type_} cannot be made here", hint="install the plugin of that type")
    source: TokenSource = entry.load()()
    return source


def table_maker(type_: str) -> TableMaker:
    """As ``token_source``, for one that can make tables; raises ClientError when it cannot."""
    source = token_source(type_)
    if not isinstance(source, TableMaker):
        raise ClientError(f"a provisioner of type {type_} has no table that could be made: its flags say it all")
    return source


def _owner(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.value
