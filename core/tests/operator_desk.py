"""Someone at the CA's host, who types ``mica ca certs``, and what is on record there."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from mica.cli import main
from mica.cli.ca import record
from mica.clock import system_clock
from mica.config import load
from mica.issuance import sign_token
from mica.records import Commit, Issuance, Revocation
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_token
from mica.testing.ca import TestCA, csr
from mica.testing.records import make_issuance

DAY = timedelta(days=1)


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """Someone at the CA's host."""

    def __init__(self, ca: TestCA, capfd: pytest.CaptureFixture[str]) -> None:
        self.ca, self._capfd = ca, capfd

    def run(self, *arguments: str) -> Ran:
        self._capfd.readouterr()
        code = main(["ca", "certs", *arguments])
        return Ran(code, *self._capfd.readouterr())

    def list(self, *arguments: str) -> list[str]:
        ran = self.run("list", "--json", *arguments)
        assert ran.code == 0, ran.err
        return [row["subject"] for row in ran.json]

    def put(self, *issuances: Issuance, revocations: Iterable[Revocation] = ()) -> None:
        """The records are in the store."""

        async def commit() -> None:
            async with record.opened(load(self.ca.directory / "ca.toml")) as store:
                await store.commit(Commit(issuances=issuances, revocations=tuple(revocations)))

        asyncio.run(commit())

    def issue(self, *names: str) -> x509.Certificate:
        """A real certificate is on record."""

        async def issue() -> bytes:
            authority = self.ca.authority()
            await authority.start()
            try:
                token = self.ca.token(names[0], sans=list(names))
                return (await sign_token(authority, SignRequest(csr=csr(*names)), token)).certificate
            finally:
                await authority.aclose()

        return x509.load_der_x509_certificate(asyncio.run(issue()))

    def revoke(self, serial_number: int) -> None:
        """The CA has revoked that certificate, for a compromised key."""

        async def revoke() -> None:
            authority = self.ca.authority()
            await authority.start()
            try:
                token = self.ca.token(str(serial_number), "/1.0/revoke")
                request = RevokeRequest(serial_number=serial_number, reason_code=1, reason="stolen")
                await revoke_by_token(authority, request, token)
            finally:
                await authority.aclose()

        asyncio.run(revoke())

    def renew(self, certificate: x509.Certificate) -> x509.Certificate:
        async def again() -> bytes:
            authority = self.ca.authority()
            await authority.start()
            try:
                return (await renew(authority, RenewRequest(certificate=certificate))).certificate
            finally:
                await authority.aclose()

        return x509.load_der_x509_certificate(asyncio.run(again()))


def issuance(subject: str, **members: Any) -> Issuance:
    """A certificate that is valid now."""
    now = system_clock()
    usual = {"subject": subject, "names": (subject,), "not_before": now - DAY, "not_after": now + DAY}
    return make_issuance(**{**usual, **members})
