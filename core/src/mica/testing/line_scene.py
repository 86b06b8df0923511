"""A whole authority with the provisioner under test, and what its bearers order there: all that the suites share."""

import base64
import dataclasses
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest
import pytest_asyncio
from cryptography import x509

from mica.authority import Authority
from mica.grants import Operation
from mica.hookspecs import hookimpl
from mica.keyfiles import generate
from mica.names import classify
from mica.records import CertificateId, CertificateKind, Query
from mica.registry import Entry
from mica.roles import Context, Kind, TokenProvisioner
from mica.sshissuers import id_of
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA, csr_pem
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.line_requests import Reply, send
from mica.testing.makers import Maker
from mica.testing.plugins import append, enable
from mica.testing.service import free_port
from mica.web.app import Application, create_app

#: Every path at which something can be ordered, and what is ordered there.
ROUTES: Mapping[str, Operation] = {
    "/sign": Operation.X509_SIGN,
    "/renew": Operation.X509_RENEW,
    "/re-sign": Operation.X509_RENEW,
    "/rekey": Operation.X509_REKEY,
    "/revoke": Operation.X509_REVOKE,
    "/ssh/sign": Operation.SSH_SIGN,
    "/sign-ssh": Operation.SSH_SIGN,
    "/ssh/renew": Operation.SSH_RENEW,
    "/ssh/rekey": Operation.SSH_REKEY,
    "/ssh/revoke": Operation.SSH_REVOKE,
}
#: The first of each operation.
PATHS = {operation: path for path, operation in reversed(list(ROUTES.items()))}
REVOCATIONS = (Operation.X509_REVOKE, Operation.SSH_REVOKE)
#: Whose certificates are ordered.
KEY = generate("EC-P256")
SSH_KEY = base64.b64encode(SSHPublicKey.of(KEY.public_key()).blob).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request that is to be served once, and the credential that pays for it."""

    operation: Operation
    maker: Maker
    token: str
    body: Mapping[str, Any]
    """Its members, the token included."""

    @property
    def path(self) -> str:
        """Where it belongs."""
        return PATHS[self.operation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One process of a certificate authority: the folder that it serves, and the application."""

    ca: TestCA
    authority: Authority
    app: Application

    @classmethod
    def of(cls, ca: TestCA, authority: Authority) -> "Line":
        """What the authority, whose last provisioner is the one under test, serves."""
        return cls(ca=ca, authority=authority, app=create_app(authority))

    @property
    def entry(self) -> Entry:
        """The provisioner under test, as the authority has it."""
        return self.authority.provisioners[-1]

    async def ask(self, order: Order, path: str = "", **members: Any) -> Reply:
        """The answer to the order at its own path or another, with other ``members`` where given."""
        return await send(self.app, "POST", path or order.path, {**order.body, **members})

    async def traces(self, order: Order) -> int:
        """How much is on record of the order's kind: certificates, or the one revocation."""
        if order.operation in REVOCATIONS:
            ids = self._ids(int(order.body["serial"]))
            return max([int(await self.authority.store.revocation(id) is not None) for id in ids])
        is_ssh = order.operation.startswith("ssh")
        return len(await issued(self.authority, CertificateKind.SSH if is_ssh else CertificateKind.X509))

    def _ids(self, serial: int) -> list[CertificateId]:
        ssh = self.authority.ssh
        own = [id_of(key, serial) for _, key in ssh.all_keys()] if ssh else []
        return [self.authority.issuer.id_of(serial), *own]


async def issued(authority: Authority, kind: CertificateKind) -> list[bytes]:
    """Every certificate of the kind on record."""
    found: list[bytes] = []
    query = Query(now=authority.now(), kind=kind, limit=1000)
    while True:
        page = await authority.store.search(query)
        found += [row.issuance.certificate for row in page.rows]
        if not page.next_cursor:
            return found
        query = dataclasses.replace(query, cursor=page.next_cursor)


class Builder(Protocol):
    """Whoever builds the provisioner under test."""

    def build(self, context: Context) -> TokenProvisioner:
        """The provisioner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    name: str


class Adopted:
    """A plugin around a suite's own ``build``, for provisioners that no installed plugin offers."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    @hookimpl
    def register_provisioners(self) -> list[Kind[Any]]:
        """The one kind, whose tables have a name and nothing else."""
        return [Kind(name=_ADOPTED, config=_Named, build=lambda config, context: self._builder.build(context))]


_ADOPTED = "under-test"


class LineScene:
    """What the author of a provisioner says of it, and an authority that has it."""

    #: What a token of this provisioner can order.
    ordered: ClassVar[tuple[Operation, ...]] = (Operation.X509_SIGN, Operation.X509_REVOKE)
    #: Operations among which the request chooses, where tokens say who somebody is and nothing of what they order.
    unbound: ClassVar[frozenset[Operation]] = frozenset()
    #: The name of the installed plugin, as ``plugins`` in ca.toml has it; without, ``build`` is all there is.
    plugin: ClassVar[str] = ""
    #: Why a token serves at every authority that believes its signer. Empty: it names its authority, and no other.
    serves_elsewhere: ClassVar[str] = ""

    def build(self, context: Context) -> TokenProvisioner:
        """The provisioner under test."""
        raise NotImplementedError

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """Somebody with the rightful key, whose good token orders ``operation`` and has not been made before."""
        raise NotImplementedError

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere: private keys, passwords."""
        yield from ()

    def table(self, folder: Path) -> str:
        """The members of the provisioner's table in ca.toml, which lies in ``folder``; they agree with ``build``.

        What may be ordered for SSH is added. Needed with ``plugin``.
        """
        raise NotImplementedError

    async def bearer(self, line: Line, operation: Operation) -> Maker:
        """As ``maker``, at that authority: for credentials that come from the CA itself, override this one."""
        maker = self.maker(operation, line.ca.clock())
        if operation in REVOCATIONS and str(maker.payload.get("sub", "")).isdigit():  # what is revoked is so for ever
            fresh = {**maker.payload, "sub": str(secrets.randbits(62) + 1)}
            maker = dataclasses.replace(maker, payload=fresh)
        return maker

    def names(self, maker: Maker) -> frozenset[x509.GeneralName] | None:
        """The names that the good token entitles to in an X.509 certificate; None: those of the request."""
        return frozenset(map(classify, maker.payload.get("sans") or (maker.payload["sub"],)))

    def principals(self, maker: Maker) -> frozenset[str] | None:
        """Those that the good token entitles to in an SSH certificate; None: those of the request."""
        return frozenset(maker.payload["step"]["ssh"]["principals"])

    def details(self, maker: Maker, operation: Operation) -> Mapping[str, Any]:
        """Members that a good request has besides the CSR, the keys and the serial number, which all have."""
        return {}

    async def order(self, line: Line, operation: Operation) -> Order:
        """A request of ``operation`` that is good, with a credential of its own."""
        maker = await self.bearer(line, operation)
        return self.order_of(maker, operation)

    def order_of(self, maker: Maker, operation: Operation) -> Order:
        """The good request of ``maker``; its body would suit every route."""
        subject, token = str(maker.payload.get("sub", "")), maker.good()
        wanted = self.names(maker) if operation is Operation.X509_SIGN else None
        texts = sorted(str(name.value) for name in wanted) if wanted else ["svc.example"]
        body = {
            "csr": csr_pem(*texts, common_name="", key=KEY),
            "publicKey": SSH_KEY,
            "serial": subject if subject.isdigit() else str(secrets.randbits(62) + 1),
            "passive": True,
            "ott": token,
            **self.details(maker, operation),
        }
        return Order(operation=operation, maker=maker, token=token, body=body)

    @property
    def plugins(self) -> Mapping[str, object]:
        """What is given as an object instead of being found by its entry point."""
        return {} if self.plugin else {_ADOPTED: Adopted(self)}

    def found(self, folder: Path, url: str = URL) -> TestCA:
        """A CA at ``url`` whose last provisioner is the one under test, for X.509 and SSH."""
        ca = TestCA.found(folder, port=free_port(), ssh=True, url=url)
        if self.plugin and f'"{self.plugin}"' not in (folder / "ca.toml").read_text():
            enable(ca, self.plugin)
        table = self.table(folder) if self.plugin else self._adopted(folder)
        ssh = "" if "enable_ssh_ca" in table else "\n[provisioners.claims]\nenable_ssh_ca = true\n"
        append(ca, f"\n[[provisioners]]\n{table}{ssh}")
        return ca

    def _adopted(self, folder: Path) -> str:
        """The table of a provisioner that ``build`` makes, which knows its own name."""
        name = self.build(make_context(Clock(), folder)).name
        return f'type = "{_ADOPTED}"\nname = {json.dumps(name)}\n'

    @asynccontextmanager
    async def started(self, ca: TestCA, **more: object) -> AsyncIterator[Line]:
        """The CA in this process, with ``more`` plugins."""
        authority = ca.authority({**self.plugins, **more})
        await authority.start()
        try:
            yield Line.of(ca, authority)
        finally:
            await authority.aclose()

    @pytest.fixture
    def ca(self, tmp_path: Path) -> TestCA:
        """A CA with the provisioner under test, not served."""
        return self.found(tmp_path / "ca")

    @pytest_asyncio.fixture
    async def line(self, ca: TestCA) -> AsyncIterator[Line]:
        """That CA in this process."""
        async with self.started(ca) as line:
            yield line
