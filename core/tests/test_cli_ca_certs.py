"""On its own host, a CA's operator sees what it has issued, with no key and no password."""

import re
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from core.tests.operator_desk import DAY, Operator, issuance

from mica.cli.ca import record
from mica.clock import system_clock
from mica.records import CertificateId
from mica.testing.ca import TestCA
from mica.testing.records import make_id, make_issuance, make_revocation


@pytest.fixture
def operator(ca: TestCA, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("MICAPATH", str(ca.directory))
    monkeypatch.setenv("MICA_NON_INTERACTIVE", "1")
    return Operator(ca, capfd)


def test_a_table_shows_who_got_what_until_when(operator: Operator) -> None:
    certificate = operator.issue("svc.example", "10.20.0.7")
    ran = operator.run("list")
    assert ran.code == 0
    head, row = ran.out.splitlines()
    assert head.split("  ")[0] == "SERIAL NUMBER"
    assert row.split() == [
        str(certificate.serial_number),
        "valid",
        certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "admin",
        "x509",
        "svc.example,",
        "10.20.0.7",
    ]
    assert head.index("NAMES") == row.index("svc.example")
    assert ran.err == ""


def test_no_password_is_needed_and_no_key_is_read(operator: Operator) -> None:
    operator.issue("svc.example")
    (operator.ca.directory / "secrets/intermediate_ca_key").unlink()
    (operator.ca.directory / "certs/intermediate_ca.crt").unlink()
    assert operator.list("--subject", "svc.example") == ["svc.example"]


def test_expired_and_revoked_certificates_are_marked(operator: Operator) -> None:
    now = system_clock()
    old, lost, good = issuance("old", not_after=now - DAY), issuance("lost"), issuance("good")
    operator.put(old, lost, good, revocations=[make_revocation(lost.id)])
    rows = [line.split() for line in operator.run("list").out.splitlines()[1:]]
    assert [(row[-1], row[1]) for row in rows] == [("good", "valid"), ("lost", "REVOKED"), ("old", "EXPIRED")]
    assert [row["status"] for row in operator.run("list", "--json").json] == ["valid", "revoked", "expired"]


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        ((), ["soon", "good", "lost", "old"]),
        (("--status", "valid"), ["soon", "good"]),
        (("--status", "expired"), ["old"]),
        (("--status", "revoked"), ["lost"]),
        (("--name", "GOOD.Example"), ["good"]),
        (("--subject", "lost"), ["lost"]),
        (("--provisioner", "other"), ["soon"]),
        (("--expires-within", "2h"), ["soon"]),
        (("--expires-within", "7d", "--status", "valid"), ["soon", "good"]),
        (("--serial", "4711"), ["good"]),
        (("--serial", "0x12:67"), ["good"]),
        (("--serial", "4711", "--status", "revoked"), []),
        (("--limit", "2"), ["soon", "good"]),
    ],
)
def test_filters_leave_what_meets_all_of_them(operator: Operator, flags: Sequence[str], left: list[str]) -> None:
    now = system_clock()
    lost = issuance("lost")
    good = issuance(
        "good",
        names=("good.example",),
        id=CertificateId(kind=lost.id.kind, issuer=lost.id.issuer, serial_number=4711),
    )
    soon = issuance("soon", not_after=now + timedelta(hours=1), provisioner=_provisioner("other"))
    operator.put(issuance("old", not_after=now - DAY), lost, good, soon, revocations=[make_revocation(lost.id)])
    assert operator.list(*flags) == left


def _provisioner(name: str) -> Any:
    return type(make_issuance().provisioner)(name=name, type="JWK")


def test_only_the_newest_are_listed_unless_all_are_asked_for(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PAGE", 40)
    operator.put(*(issuance(f"svc{number}") for number in range(130)))
    first = operator.run("list")
    assert len(first.out.splitlines()) == 101
    assert "newest 100. There are more" in first.err
    everything = operator.run("list", "--all")
    lines = everything.out.splitlines()
    assert everything.err == ""
    assert len(lines) == 131
    assert len({line.split()[0] for line in lines}) == 131
    assert operator.list("--all") == [f"svc{number}" for number in reversed(range(130))]
    assert len(operator.list("--limit", "120")) == 120


def test_an_empty_list_is_no_error(operator: Operator) -> None:
    assert operator.run("list", "--json").json == []
    ran = operator.run("list")
    assert (ran.code, ran.out) == (0, "")
    assert "No certificate" in ran.err


def test_names_cannot_act_upon_a_terminal(operator: Operator) -> None:
    nasty = issuance("a\x1b[2J\nb", names=("\u202ec",), request_id="r\r1")
    operator.put(nasty, revocations=[make_revocation(nasty.id, reason="\x1b]0;x\x07")])
    for arguments in (["list"], ["list", "--json"], ["show", str(nasty.id.serial_number)]):
        out = operator.run(*arguments).out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert len(operator.run("list").out.splitlines()) == 2


def test_serial_numbers_are_texts_in_json(operator: Operator) -> None:
    certificate = operator.issue("svc.example")
    (row,) = operator.run("list", "--json").json
    assert row["serial_number"] == str(certificate.serial_number)
    assert row["provisioner"]["name"] == "admin"
    assert row["revocation"] is None


def test_everything_about_one_certificate_is_shown(operator: Operator) -> None:
    first = operator.issue("svc.example", "10.20.0.7")
    second = operator.renew(first)
    operator.revoke(second.serial_number)
    ran = operator.run("show", hex(second.serial_number))
    assert ran.code == 0
    for row in (
        f"Serial number: {second.serial_number} ({second.serial_number:#x})",
        "Status:        REVOKED",
        "Subject:       svc.example",
        "               10.20.0.7",
        "Provisioner:   admin (JWK) [ID: ",
        f"Replaces:      {first.serial_number}",
        "  Reason:      keyCompromise (1): stolen",
        "  Provisioner: admin (JWK)",
    ):
        assert row in ran.out
    shown = operator.run("show", str(second.serial_number), "--json").json["certificates"][0]
    assert shown["replaces"] == str(first.serial_number)
    assert shown["revocation"]["reason"] == "stolen"


def test_the_pem_is_the_certificate_as_openssl_reads_it(operator: Operator) -> None:
    certificate = operator.issue("svc.example")
    pem = operator.run("show", str(certificate.serial_number), "--pem").out
    read = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-fingerprint", "-sha256"],
        input=pem.encode(),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert int(read.splitlines()[0].removeprefix("serial="), 16) == certificate.serial_number
    shown = operator.run("show", str(certificate.serial_number)).out
    assert read.splitlines()[1].partition("=")[2].replace(":", "").lower() in shown


def test_a_revocation_without_its_certificate_is_shown(operator: Operator) -> None:
    operator.revoke(12345)
    ran = operator.run("show", "12345")
    assert ran.code == 0
    assert "REVOKED, and not on record itself" in ran.out
    told = operator.run("show", "12345", "--json").json
    assert (told["certificates"], told["revocations"][0]["reason_code"]) == ([], 1)
    assert operator.run("show", "12345", "--pem").code == 1


def test_two_certificates_with_one_serial_number_are_both_shown(operator: Operator) -> None:
    id = make_id()
    other = CertificateId(kind=id.kind, issuer=b"\x02" * 32, serial_number=id.serial_number)
    operator.put(issuance("one", id=id), issuance("two", id=other))
    out = operator.run("show", str(id.serial_number)).out
    assert "Subject:       one" in out
    assert "Subject:       two" in out


def test_an_unknown_serial_number_is_told(operator: Operator) -> None:
    ran = operator.run("show", "0xff")
    assert (ran.code, ran.out) == (1, "")
    assert "error: no certificate with the serial number 255 is on record" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "x"),
        ("show", "0x"),
        ("show", "-5"),
        ("show", "9" * 60),
        ("show", "1", "--pem", "--json"),
        ("list", "--all", "--limit", "3"),
        ("list", "--limit", "0"),
        ("list", "--expires-within", "0"),
        ("list", "--expires-within", "soon"),
        ("list", "--expires-within", "99999999d"),
        ("list", "--status", "good"),
        ("list", "--serial", "١"),
    ],
)
def test_wrong_flags_are_usage_errors(operator: Operator, arguments: Sequence[str]) -> None:
    ran = operator.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err


def test_defaults_hide_no_certificate(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.put(issuance("svc"))
    (operator.ca.directory / "defaults.json").write_text('{"provisioner": "nobody", "limit": 1}')
    monkeypatch.setenv("MICA_PROVISIONER", "nobody")
    assert operator.list() == ["svc"]


def test_the_configuration_can_be_named(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.put(issuance("svc"))
    monkeypatch.setenv("MICAPATH", str(tmp_path_factory.mktemp("elsewhere")))
    assert operator.list("--ca-config", str(operator.ca.directory / "ca.toml")) == ["svc"]
    missing = operator.run("list")
    assert missing.code == 5
    assert "ca.toml: there is no such file" in missing.err
    assert "--ca-config" in missing.err


def test_a_fault_elsewhere_in_the_configuration_does_not_hide_the_record(operator: Operator) -> None:
    operator.put(issuance("svc"))
    port = operator.ca.url.rpartition(":")[2]
    _edit(operator.ca.directory / "ca.toml", f'address = "127.0.0.1:{port}"', 'address = "nowhere"')
    assert operator.list() == ["svc"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('type = "storage_sqlite"', 'type = "paper"', 'store.type: "paper" is not offered by an enabled plugin'),
        ('path = "db/mica.db"', 'path = 7\nspeed = "high"', "store.path: must be a path"),
        ("url =", "url", "is not TOML"),
    ],
)
def test_a_store_that_cannot_be_built_is_told(operator: Operator, old: str, new: str, fault: str) -> None:
    _edit(operator.ca.directory / "ca.toml", old, new)
    ran = operator.run("list")
    assert (ran.code, ran.out) == (5, "")
    assert fault in ran.err


def test_a_damaged_database_is_told_in_words(operator: Operator) -> None:
    operator.put(issuance("svc"))
    for suffix in ("-wal", "-shm"):
        (operator.ca.directory / f"db/mica.db{suffix}").unlink(missing_ok=True)
    (operator.ca.directory / "db/mica.db").write_bytes(b"no database" * 1000)
    ran = operator.run("list")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert "should not" not in ran.err


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
