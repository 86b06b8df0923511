"""Somebody who talks to a served CA over real TLS, and a look at what the CA has on record."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mica.cli.ca import record
from mica.clock import system_clock
from mica.config import load
from mica.records import Found, Query
from mica.testing import line_crowd
from mica.testing.ca import TestCA, csr_pem
from mica.testing.line_crowd import HeldBack
from mica.testing.service import Service


@dataclass
class Client:
    """Orders certificates from ``service``, all for one key."""

    service: Service
    folder: Path
    key: ec.EllipticCurvePrivateKey

    def __post_init__(self) -> None:
        self._context = self.service.context()
        self._key_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def ca(self) -> TestCA:
        return self.service.ca

    def connect_to_both(self, number: int) -> list[HTTPSConnection]:
        """So many open connections, of which each of two workers has a tenth or more."""
        return line_crowd.connect_to_both(number, self.connect)

    def connect(self, certificate: str = "") -> HTTPSConnection:
        """An open connection; ``certificate`` (PEM, for our key) is shown in its handshake."""
        context = self._context
        if certificate:
            identity = self.folder / f"{uuid4().hex}.pem"
            identity.write_bytes(certificate.encode() + self._key_pem)
            context = self.service.context()
            context.load_cert_chain(identity)
            identity.unlink()
        connection = self.service.connect(context)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.auto_open = 0  # one that the service has closed is not opened again in silence
        return connection

    @staticmethod
    def ask(connection: HTTPSConnection, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer to one request; the connection can serve another. ``body``: JSON or bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    @staticmethod
    def hold_back(connection: HTTPSConnection, path: str, body: object = None) -> HeldBack:
        """A POST whose last octet is still to be sent."""
        return HeldBack(connection, path, body)

    worker_of = staticmethod(line_crowd.worker_of)

    def order(self, name: str, token: str = "") -> dict[str, Any]:
        """The body of ``/sign`` for ``name``, with ``token`` or a new one."""
        return {"csr": csr_pem(name, key=self.key), "ott": token or self.ca.token(name)}

    def revocation(self, certificate: str, *, by_token: bool = True) -> dict[str, Any]:
        """The body of ``/revoke`` for ``certificate`` (PEM)."""
        serial = str(x509.load_pem_x509_certificate(certificate.encode()).serial_number)
        body = {"serial": serial, "passive": True}
        return body | {"ott": self.ca.token(serial, "/1.0/revoke")} if by_token else body

    def sign(self, connection: HTTPSConnection, name: str, token: str = "") -> str:
        """A certificate for ``name`` (PEM)."""
        status, answer = self.ask(connection, "POST", "/sign", self.order(name, token))
        assert status == 201, answer
        return str(answer["crt"])

    def renewal_status(self, certificate: str) -> int:
        """What a renewal on a connection of its own, with ``certificate`` shown, is answered with."""
        with closing(self.connect(certificate)) as connection:
            return self.ask(connection, "POST", "/renew")[0]


@pytest.fixture
def make_client(tmp_path: Path) -> Callable[[Service], Client]:
    """Makes clients of a service, all with one key."""
    folder, key = tmp_path / "clients", ec.generate_private_key(ec.SECP256R1())
    folder.mkdir()
    return lambda service: Client(service, folder, key)


@pytest.fixture(scope="session")
def recorded() -> Callable[[TestCA], dict[str, list[Found]]]:
    """Reads what the CA in a folder has on record, as ``mica ca certs list --all`` does: certificates by name."""

    async def read(ca: TestCA) -> dict[str, list[Found]]:
        found: dict[str, list[Found]] = {}
        async with record.opened(load(ca.directory / "ca.toml")) as store:
            async for rows, _ in record.pages(store, Query(now=system_clock()), None):
                for row in rows:
                    for name in row.issuance.names:
                        found.setdefault(name, []).append(row)
        return found

    return lambda ca: asyncio.run(read(ca))


@pytest.fixture(autouse=True)
def connected_anew(request: pytest.FixtureRequest) -> None:
    """Connections that the tests of a module share are opened again for each: the CA ends one that rests for 15 s."""
    for name in ("connection", "identified"):
        if name in request.fixturenames:
            request.getfixturevalue(name).close()
