"""What the authority does is in the log, in its order; and what happens while the log cannot be written."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from plugins.auditlog.tests.conftest import event, verified

from mica.authority import Authority
from mica.errors import ConfigError, Refused, TokenReused, Unauthorized, Unavailable
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest, SSHSignRequest
from mica.revocation import revoke_by_token
from mica.sshissuance import sign_ssh_token
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA, csr
from mica.testing.contexts import Clock, make_context
from mica_auditlog import listener
from mica_auditlog.listener import AuditConfig, AuditLog
from mica_auditlog.places import Places


def _lines(ca: TestCA) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ca.directory / "audit/audit.jsonl").read_text().splitlines()]


def _log_of(authority: Authority) -> AuditLog:
    (found,) = (each for each in authority.extensions if isinstance(each, AuditLog))
    return found


def _configure(ca: TestCA, line: str) -> None:
    file = ca.directory / "ca.toml"
    text = file.read_text()
    if line.startswith("path"):
        text = text.replace('path = "audit/audit.jsonl"\n', "")
    file.write_text(text + line + "\n")


async def _sign(ca: TestCA, authority: Authority, name: str = "svc.example") -> x509.Certificate:
    issued = await sign_token(authority, SignRequest(csr=csr(name)), ca.token(name))
    return x509.load_der_x509_certificate(issued.certificate)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_who_what_and_how_it_is_known_stand_in_the_log(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    token = ca.token("svc.example", jti="the-order")
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example")), token)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    renewed = await renew(authority, RenewRequest(certificate=certificate))
    number = certificate.serial_number
    request = RevokeRequest(serial_number=number, reason_code=1, reason="it leaked")
    await revoke_by_token(authority, request, ca.token(str(number), "/1.0/revoke"))
    with pytest.raises(TokenReused):
        await sign_token(authority, SignRequest(csr=csr("svc.example")), token)
    await authority.aclose()
    begun, first, second, third, fourth = _lines(ca)
    assert [line["event"] for line in (begun, first, second, third, fourth)] == [
        "begun", "issued", "renewed", "revoked", "denied",
    ]  # fmt: skip
    assert first["certificate"] == {
        "kind": "x509",
        "serial_number": str(number),
        "issuer": issued.issuance.id.issuer.hex(),
        "subject": "svc.example",
        "names": ["svc.example"],
        "not_before": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "sha256_fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
    }
    assert first["provisioner"]["name"] == "admin" and first["provisioner"]["type"] == "JWK"
    assert first["provisioner"]["credential_id"] == first["evidence"]["kid"]
    assert (first["subject"], first["evidence"]["jti"], first["replaces"]) == ("svc.example", "the-order", None)
    assert second["certificate"]["serial_number"] == str(renewed.issuance.id.serial_number)
    assert second["replaces"]["serial_number"] == str(number)
    assert (third["certificate"]["serial_number"], third["reason_code"], third["reason"]) == (
        str(number),
        1,
        "it leaked",
    )
    assert (fourth["operation"], fourth["provisioner"]["name"]) == ("x509-sign", "admin")
    assert fourth["reasons"]
    assert verified(ca.directory / "audit/audit.jsonl").sound


async def test_ssh_certificates_stand_in_the_log_as_well(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    request = SSHSignRequest(public_key=SSHPublicKey.of(generate("EC-P256").public_key()))
    issued = await sign_ssh_token(authority, request, ca.ssh_token("ann@example", "user", ["ann"]))
    await authority.aclose()
    line = _lines(ca)[-1]
    assert (line["certificate"]["kind"], line["certificate"]["names"]) == ("ssh", ["ann"])
    assert line["certificate"]["serial_number"] == str(issued.issuance.id.serial_number)


async def test_strangers_are_in_the_log_without_their_tokens_and_at_bounded_length(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    canary = ca.token("svc.example", iss="x" * 5000 + "\n\u2028\x7f")
    with pytest.raises(Unauthorized):
        await sign_token(authority, SignRequest(csr=csr("svc.example")), canary)
    await authority.aclose()
    text = (ca.directory / "audit/audit.jsonl").read_text()
    assert _lines(ca)[-1]["event"] == "denied"
    assert not any(part in text for part in canary.split("."))
    assert len(text) < 6000


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\x1b[31m", "\ud800", "\x7f", '"},{"'], ids=range(6))
async def test_one_event_is_one_line_whatever_a_name_holds(ca: TestCA, name: str) -> None:
    authority = ca.authority()
    await authority.start()
    authority.listeners.tell(event(4711, name))
    await authority.aclose()
    raw = (ca.directory / "audit/audit.jsonl").read_bytes()
    assert all(0x20 <= octet < 0x7F or octet == 0x0A for octet in raw)
    assert len(raw.splitlines()) == 2
    assert _lines(ca)[1]["certificate"]["names"] == [name]
    assert verified(ca.directory / "audit/audit.jsonl").sound


def test_what_was_accepted_is_written_although_the_shutdown_is_cancelled(tmp_path: Path) -> None:
    log = AuditLog(AuditConfig(), make_context(Clock(), tmp_path))

    async def serve() -> None:
        await log.start()
        for number in range(3000):
            log.notify(event(number))
        closing = asyncio.create_task(log.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing

    asyncio.run(serve())
    report = verified(tmp_path / "audit/audit.jsonl")
    assert report.sound and report.lines == 3001


async def test_closing_twice_does_nothing_the_second_time(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    await authority.aclose()
    await _log_of(authority).aclose()


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('on_failure = "pray"', 'plugin.auditlog.on_failure: must be "continue" or "refuse"'),
        ("max_size = -1", "plugin.auditlog.max_size: must not be negative; 0 is without limit"),
        (
            "path = 'audit.lock'",
            "plugin.auditlog.path: must not end with .head or .lock or .head.new: so do the files beside the log",
        ),
        ("size = 1", 'plugin.auditlog: extra field "size"; known: max_size, on_failure, path'),
    ],
    ids=["on_failure", "max_size", "path", "extra"],
)
def test_a_mistake_in_the_table_is_told_with_its_place(ca: TestCA, table: str, fault: str) -> None:
    _configure(ca, table)
    with pytest.raises(ConfigError) as caught:
        ca.authority()
    assert caught.value.faults == (fault,)


@pytest.mark.parametrize("on_failure", ["continue", "refuse"])
def test_it_is_asked_about_certificates_only_where_it_may_refuse_them(ca: TestCA, on_failure: str) -> None:
    _configure(ca, f'on_failure = "{on_failure}"')
    answers = ca.authority().hooks.answers()
    assert "auditlog" in answers["notify"]
    for hook in ("refuse_x509", "refuse_ssh"):
        assert ("auditlog" in answers.get(hook, [])) is (on_failure == "refuse")


async def test_a_link_in_the_place_of_the_log_stops_the_start(ca: TestCA) -> None:
    (ca.directory / "audit").symlink_to(ca.directory / "db")
    authority = ca.authority()
    with pytest.raises(ConfigError, match=r"plugin.auditlog.path: .* no link"):
        await authority.start()
    await authority.aclose()


class Outage:
    """The log's folder is where nothing can be written: a file stands in the way of its lock."""

    def __init__(self, ca: TestCA) -> None:
        self._lock = Places(ca.directory / "audit/audit.jsonl").lock

    def begin(self) -> None:
        self._lock.unlink(missing_ok=True)
        self._lock.mkdir(parents=True)

    def end(self) -> None:
        self._lock.rmdir()


@pytest.fixture
def outage(ca: TestCA) -> Outage:
    return Outage(ca)


async def test_while_it_cannot_be_written_the_authority_goes_on_loudly_and_nothing_is_lost(
    ca: TestCA, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    authority = ca.authority()
    await authority.start()
    outage.begin()
    certificates = [await _sign(ca, authority) for _ in range(3)]
    await _until(lambda: caplog.text.count("not in the audit log, to be tried again") == 3)
    assert "certificates are issued all the same" in caplog.text
    assert all(str(certificate.serial_number) in caplog.text for certificate in certificates)
    outage.end()
    await _until(lambda: "can be written again" in caplog.text)
    await authority.aclose()
    numbers = [line["certificate"]["serial_number"] for line in _lines(ca)[1:]]
    assert numbers == [str(certificate.serial_number) for certificate in certificates]


async def test_while_it_cannot_be_written_nothing_is_issued_where_that_is_asked_for(
    ca: TestCA, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    _configure(ca, 'on_failure = "refuse"')
    authority = ca.authority()
    await authority.start()
    outage.begin()
    await _sign(ca, authority)
    await _until(lambda: "nothing is issued until it can be" in caplog.text)
    token = ca.token("late.example")
    request = SignRequest(csr=csr("late.example"))
    with pytest.raises(Unavailable, match="plugin auditlog: the audit log cannot be written"):
        await sign_token(authority, request, token)
    ssh = SSHSignRequest(public_key=SSHPublicKey.of(generate("EC-P256").public_key()))
    with pytest.raises(Unavailable):
        await sign_ssh_token(authority, ssh, ca.ssh_token("ann"))
    outage.end()
    await _until(lambda: "can be written again" in caplog.text)
    await sign_token(authority, request, token)
    await authority.aclose()
    assert [line["event"] for line in _lines(ca)] == ["begun", "issued", "issued"]


async def test_a_start_without_a_log_that_can_be_written(
    ca: TestCA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    _configure(ca, "")
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text().replace("audit/audit.jsonl", f"{tmp_path}/file/audit/audit.jsonl"))
    authority = ca.authority()
    await authority.start()
    assert await _sign(ca, authority)
    await authority.aclose()
    assert "lost to the audit log, it cannot be written: issued x509" in caplog.text
    _configure(ca, 'on_failure = "refuse"')
    refusing = ca.authority()
    with pytest.raises(Unavailable, match="cannot be written"):
        await refusing.start()
    await refusing.aclose()


async def test_what_there_is_no_room_for_is_lost_loudly_and_counted_in_the_log(
    ca: TestCA, outage: Outage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "CAPACITY", 2)
    authority = ca.authority()
    await authority.start()
    outage.begin()
    for _ in range(5):
        await _sign(ca, authority)
    log = _log_of(authority)
    await _until(lambda: log.lost == 3)
    assert caplog.text.count("lost to the audit log, too many wait") == 3
    outage.end()
    await _until(lambda: log.lost == 0)
    await authority.aclose()
    assert [(line["event"], line.get("count")) for line in _lines(ca)[1:]] == [
        ("lost", 3), ("issued", None), ("issued", None),
    ]  # fmt: skip


async def test_a_batch_that_half_fits_where_nothing_can_be_cut_is_not_written_twice(
    ca: TestCA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import os

    authority = ca.authority()
    await authority.start()
    log, write = _log_of(authority), os.write
    left = 2500

    def scant(descriptor: int, data: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        written = write(descriptor, bytes(data)[:left])
        left -= written
        return written

    def forbidden(descriptor: int, size: int) -> None:
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scant)
        patch.setattr(os, "ftruncate", forbidden)
        log._change.acquire()  # so that they are one batch
        for number in range(10):
            log._waiting.append(event(number))
        log._change.notify()
        log._change.release()
        await _until(lambda: "No space left" in caplog.text)
    await _until(lambda: "can be written again" in caplog.text)
    await authority.aclose()
    texts = (ca.directory / "audit/audit.jsonl").read_bytes().splitlines()
    numbers = [
        json.loads(t)["certificate"]["serial_number"] for t in texts if b'"event":"issued"' in t and t[-1:] == b"}"
    ]
    assert numbers == [str(number) for number in range(10)]
    report = verified(ca.directory / "audit/audit.jsonl")
    assert report.sound and [found.finding.code for found in report.found] == ["recovered-torn"]


async def test_a_refused_request_is_denied_in_the_log_with_every_reason(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    with pytest.raises(Refused) as caught:
        await sign_token(authority, SignRequest(csr=csr("evil.example")), ca.token("svc.example"))
    await authority.aclose()
    line = _lines(ca)[-1]
    assert line["reasons"] == list(caught.value.reasons) and line["subject"] == "svc.example"


def test_nothing_is_written_before_the_start(ca: TestCA) -> None:
    ca.authority()
    assert not (ca.directory / "audit").exists()
