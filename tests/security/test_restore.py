"""A CA goes on from a backup: what the record still refuses, what it has forgotten, and what the procedure mends.

docs/production.md tells operators to wait until the tokens of before have ended, and to revoke again.
"""

import re
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from tests.security.sshorders import host

from mica.authority import Authority
from mica.errors import AlreadyRevoked, CertificateRevoked, TokenReused, Unauthorized
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest, SSHRevokeRequest
from mica.revocation import revoke_by_token
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA, csr
from mica.testing.line_requests import send
from mica.web.app import create_app

KEY = generate("EC-P256")
PAGE = (Path(__file__).parents[2] / "docs/production.md").read_text()
SECTION = PAGE.partition("## Backup and restore")[2].partition("\n## ")[0]
#: How long tokens live, and a minute of leeway.
TOKENS_LIVE = timedelta(minutes=5, seconds=61)


@pytest.fixture
def ca(ssh_ca: TestCA) -> TestCA:
    return ssh_ca


@asynccontextmanager
async def running(ca: TestCA) -> AsyncIterator[Authority]:
    authority = ca.authority()
    await authority.start()
    yield authority
    await authority.aclose()


def back_up(ca: TestCA, to: Path) -> None:
    """As sqlite3's ``.backup`` does, which calls the same function: while the CA runs."""
    with closing(sqlite3.connect(ca.directory / "db/mica.db")) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)


def restore(ca: TestCA, backup: Path) -> None:
    """The lines of the page have been run, for this backup."""
    lines = re.findall(r"^    (rm .*|install .*)$", SECTION, re.MULTILINE)
    assert len(lines) == 2
    script = "\n".join(lines).replace("/backup/mica.db", str(backup))
    subprocess.run(["sh", "-euc", script], cwd=ca.directory, check=True)


async def sign(authority: Authority, token: str) -> x509.Certificate:
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example", key=KEY)), token)
    return x509.load_der_x509_certificate(issued.certificate)


async def revoke(ca: TestCA, authority: Authority, serial_number: int) -> None:
    token = ca.token(str(serial_number), "/1.0/revoke")
    await revoke_by_token(authority, RevokeRequest(serial_number=serial_number), token)


async def test_what_a_backup_has_on_record_holds_after_a_restore(ca: TestCA, tmp_path: Path) -> None:
    token = ca.token("svc.example")
    async with running(ca) as authority:
        ended = await sign(authority, token)
        await revoke(ca, authority, ended.serial_number)
        back_up(ca, tmp_path / "backup")
        await sign(authority, ca.token("svc.example"))
    restore(ca, tmp_path / "backup")
    async with running(ca) as authority:
        with pytest.raises(TokenReused):
            await sign(authority, token)
        with pytest.raises(CertificateRevoked):
            await renew(authority, RenewRequest(certificate=ended))
        with pytest.raises(AlreadyRevoked):
            await revoke(ca, authority, ended.serial_number)


async def test_what_was_issued_since_is_not_renewed_and_its_token_does_not_serve_once_the_wait_is_over(
    ca: TestCA, tmp_path: Path
) -> None:
    token = ca.token("svc.example")
    async with running(ca) as authority:
        back_up(ca, tmp_path / "backup")
        lost = await sign(authority, token)
    restore(ca, tmp_path / "backup")
    ca.clock.moment += TOKENS_LIVE
    async with running(ca) as authority:
        with pytest.raises(Unauthorized, match="not on record"):
            await renew(authority, RenewRequest(certificate=lost))
        with pytest.raises(Unauthorized):
            await sign(authority, token)
        await sign(authority, ca.token("svc.example"))


async def test_what_was_revoked_since_can_be_revoked_again_on_record_or_not_and_then_holds(
    ca: TestCA, tmp_path: Path
) -> None:
    async with running(ca) as authority:
        known = await sign(authority, ca.token("svc.example"))
        back_up(ca, tmp_path / "backup")
        lost = await sign(authority, ca.token("svc.example"))
        for certificate in (known, lost):
            await revoke(ca, authority, certificate.serial_number)
    restore(ca, tmp_path / "backup")
    async with running(ca) as authority:
        for certificate in (known, lost):
            await revoke(ca, authority, certificate.serial_number)
            with pytest.raises(AlreadyRevoked):
                await revoke(ca, authority, certificate.serial_number)
            with pytest.raises((CertificateRevoked, Unauthorized)):
                await renew(authority, RenewRequest(certificate=certificate))


async def test_the_list_for_ssh_hosts_never_goes_back_to_a_smaller_number(
    ca: TestCA, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    async def number(authority: Authority) -> int:
        (tmp_path / "krl").write_bytes((await send(create_app(authority), "GET", "/ssh/krl")).body)
        listed = subprocess.run([tool("ssh-keygen"), "-Ql", "-f", tmp_path / "krl"], capture_output=True, check=True)
        found = re.search(rb"KRL version (\d+)", listed.stdout)
        assert found is not None
        return int(found[1])

    async with running(ca) as authority:
        back_up(ca, tmp_path / "backup")
        certificate = await host(ca, authority, KEY)
        serial = certificate.tbs.serial
        token = ca.token(str(serial), "/ssh/revoke")
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), token)
        before = await number(authority)
    restore(ca, tmp_path / "backup")
    ca.clock.moment += timedelta(seconds=1)
    async with running(ca) as authority:
        assert await number(authority) > before


def test_operators_are_told_what_a_restored_record_has_forgotten_and_what_to_do() -> None:
    for words in ("wait until every token", "revoke again", "`renew_unrecorded` must be false", ".backup"):
        assert words in SECTION
