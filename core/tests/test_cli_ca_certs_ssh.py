"""On its own host, a CA's operator sees SSH certificates beside those of X.509; ssh-keygen says the same of them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from core.tests.operator_desk import DAY, Operator, issuance

from mica.clock import system_clock
from mica.records import CertificateId, CertificateKind, Issuance, ProvisionerRef
from mica.sshcert import SSHCertificate
from mica.testing.ca import TestCA
from mica.testing.keygen import Keygen, blob_of
from mica.testing.records import make_id, make_issuance, make_revocation

MOST = 2**64 - 1
ALICE, WEB = 6120458813370942711, 15843007992231120450


@pytest.fixture
def operator(ca: TestCA, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("MICAPATH", str(ca.directory))
    monkeypatch.setenv("MICA_NON_INTERACTIVE", "1")
    return Operator(ca, capfd)


@pytest.fixture
def keygen(tmp_path_factory: pytest.TempPathFactory) -> Keygen:
    return Keygen(tmp_path_factory.mktemp("keygen"))


def ssh_issuance(path: Path, **members: Any) -> Issuance:
    """What the CA would have put on record for the certificate in ``path``."""
    blob = blob_of(path)
    tbs = SSHCertificate.decode(blob).tbs
    id = CertificateId(
        kind=CertificateKind.SSH, issuer=sha256(tbs.signature_key.blob).digest(), serial_number=tbs.serial
    )
    usual = {"id": id, "certificate": blob, "subject": tbs.key_id, "names": tbs.valid_principals}
    return make_issuance(**{**usual, "not_before": tbs.valid_after, "not_after": tbs.valid_before, **members})


def user(keygen: Keygen, serial: int = ALICE, *options: str, **members: Any) -> Issuance:
    """The record of a certificate that ssh-keygen made for alice, for 16 hours."""
    of_alice = ("-I", "alice@harbour.example", "-n", "alice,admin", "-V", "-1m:+16h", "-z", str(serial))
    return ssh_issuance(keygen.certificate("ed25519", keygen.key("p256"), *of_alice, *options), **members)


def host(keygen: Keygen, serial: int = WEB) -> Issuance:
    """The record of a certificate that ssh-keygen made for a host."""
    options = ("-h", "-I", "web.harbour.example", "-n", "web.harbour.example", "-V", "-1m:+720h", "-z", str(serial))
    return ssh_issuance(keygen.certificate("p384", keygen.key("ed25519"), *options))


def listed(ran_out: str) -> list[list[str]]:
    """The rows of a table: serial, status, kind, and the rest."""
    rows = [line.split(maxsplit=5) for line in ran_out.splitlines()[1:]]
    return [[row[0], row[1], row[4], row[5]] for row in rows]


def test_the_table_tells_ssh_from_x509_and_users_from_hosts(operator: Operator, keygen: Keygen) -> None:
    operator.put(issuance("svc.example"), user(keygen), host(keygen))
    ran = operator.run("list")
    head = ran.out.splitlines()[0]
    assert head.split() == ["SERIAL", "NUMBER", "STATUS", "NOT", "AFTER", "PROVISIONER", "KIND", "NAMES"]
    rows = listed(ran.out)
    assert rows[:2] == [
        [str(WEB), "valid", "ssh-host", "web.harbour.example: web.harbour.example"],
        [str(ALICE), "valid", "ssh-user", "alice@harbour.example: alice, admin"],
    ]
    assert rows[2][1:] == ["valid", "x509", "svc.example"]


def test_json_tells_the_kind_and_the_type(operator: Operator, keygen: Keygen) -> None:
    operator.put(issuance("svc.example"), user(keygen, MOST), host(keygen))
    rows = operator.run("list", "--json").json
    assert [(row["kind"], row["cert_type"], row["subject"], row["names"]) for row in rows] == [
        ("ssh", "host", "web.harbour.example", ["web.harbour.example"]),
        ("ssh", "user", "alice@harbour.example", ["alice", "admin"]),
        ("x509", None, "svc.example", ["svc.example"]),
    ]
    assert rows[1]["serial_number"] == str(MOST)


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (("--kind", "ssh"), ["web.harbour.example", "Alice", "alice@harbour.example"]),
        (("--kind", "x509"), ["svc.example"]),
        (("--kind", "ssh", "--name", "alice"), ["alice@harbour.example"]),
        (("--kind", "ssh", "--name", "Alice"), ["Alice"]),
        (("--kind", "x509", "--name", "alice"), []),
        (("--kind", "x509", "--name", "SVC.Example"), ["svc.example"]),
        (("--name", "web.harbour.example"), ["web.harbour.example"]),
        (("--subject", "alice@harbour.example"), ["alice@harbour.example"]),
        (("--kind", "ssh", "--status", "revoked"), ["web.harbour.example"]),
        (("--kind", "ssh", "--expires-within", "1d", "--status", "valid"), ["Alice", "alice@harbour.example"]),
        (("--serial", str(ALICE)), ["alice@harbour.example"]),
        (("--kind", "x509", "--serial", str(ALICE)), []),
    ],
)
def test_filters_leave_certificates_of_the_kind(
    operator: Operator, keygen: Keygen, flags: Sequence[str], left: list[str]
) -> None:
    lost = host(keygen)
    other = user(keygen, 7, subject="Alice", names=("Alice",))
    operator.put(issuance("svc.example"), user(keygen), other, lost, revocations=[make_revocation(lost.id)])
    assert operator.list(*flags) == left


def test_a_name_that_is_written_otherwise_in_x509_is_said_to_be(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen, names=("Alice",)))
    ran = operator.run("list", "--name", "Alice")
    assert (ran.code, ran.out) == (0, "")
    assert "looked for as X.509 has them, here alice. For a principal in SSH: --kind ssh" in ran.err
    assert operator.run("list", "--name", "alice").err == "No certificate on record matches.\n"
    assert operator.run("list", "--name", "Alice", "--kind", "ssh").err == ""


def test_everything_about_an_ssh_certificate_is_shown_as_ssh_keygen_shows_it(
    operator: Operator, keygen: Keygen
) -> None:
    record = user(keygen, ALICE, "-O", "force-command=/bin/true", "-O", "no-x11-forwarding")
    operator.put(replace(record, replaces=host(keygen).id))
    ran = operator.run("show", hex(ALICE))
    assert ran.code == 0
    for row in (
        f"Serial number: {ALICE} ({ALICE:#x})",
        "Kind:          SSH user",
        "Status:        valid",
        "Key id:        alice@harbour.example",
        "Principals:    alice",
        "               admin",
        "Provisioner:   admin (JWK) [ID: kid]",
        f"Replaces:      {WEB}",
        f"Fingerprint:   {sha256(record.certificate).hexdigest()}",
    ):
        assert row in ran.out.splitlines()
    layout = ran.out.partition("Certificate:\n")[2].splitlines()
    theirs = keygen("-L", "-f", user_file(keygen)).splitlines()[1:]
    assert [line.rstrip() for line in layout[: len(theirs)]] == [line.rstrip() for line in theirs]
    assert re.fullmatch(r" {8}Status: valid, 15h 59m remaining; times are UTC", layout[-1])


def user_file(keygen: Keygen) -> Path:
    return keygen.folder / "p256-cert.pub"


def test_a_revoked_ssh_certificate_is_nowhere_called_valid(operator: Operator, keygen: Keygen) -> None:
    record = user(keygen)
    sshpop = ProvisionerRef(name="sshpop", type="SSHPOP")
    operator.put(record, revocations=[make_revocation(record.id, provisioner=sshpop)])
    out = operator.run("show", str(ALICE)).out
    assert [line.strip() for line in out.splitlines() if "Status:" in line] == [
        "Status:        REVOKED", "Status: REVOKED; times are UTC",
    ]  # fmt: skip
    assert "  Provisioner: sshpop (SSHPOP)" in out
    assert "remaining" not in out
    (shown,) = operator.run("show", str(ALICE), "--json").json["certificates"]
    assert (shown["status"], shown["ssh"]["Status"]) == ("revoked", "revoked")


def test_the_json_has_the_line_that_ssh_keygen_reads(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen, MOST))
    (shown,) = operator.run("show", str(MOST), "--json").json["certificates"]
    (keygen.folder / "again-cert.pub").write_text(shown["certificate"] + "\n")
    assert f"Serial: {MOST}" in keygen("-L", "-f", keygen.folder / "again-cert.pub")
    assert shown["certificate"].endswith(" alice@harbour.example")
    assert (shown["ssh"]["Serial"], shown["ssh"]["Principals"]) == (str(MOST), ["alice", "admin"])
    assert (shown["kind"], shown["cert_type"]) == ("ssh", "user")


def test_a_serial_number_of_both_kinds_asks_which_is_meant(operator: Operator, keygen: Keygen) -> None:
    operator.put(issuance("svc.example", id=replace(make_id(), serial_number=ALICE)), user(keygen))
    for arguments in ((), ("--json",), ("--pem",)):
        ran = operator.run("show", str(ALICE), *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert f"an X.509 and an SSH certificate have the serial number {ALICE}" in ran.err
        assert "--kind x509 or --kind ssh" in ran.err
    assert "Subject:       svc.example" in operator.run("show", str(ALICE), "--kind", "x509").out
    assert "Key id:        alice@harbour.example" in operator.run("show", str(ALICE), "--kind", "ssh").out


def test_one_serial_number_under_two_ssh_keys_shows_both(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen, 7), host(keygen, 7))
    out = operator.run("show", "7").out
    assert re.findall("^Kind: +(.*)$", out, re.MULTILINE) == ["SSH host", "SSH user"]


def test_the_other_kind_is_not_on_record(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen))
    ran = operator.run("show", str(ALICE), "--kind", "x509")
    assert (ran.code, ran.out) == (1, "")
    assert f"error: no X.509 certificate with the serial number {ALICE} is on record" in ran.err


def test_an_ssh_certificate_has_no_pem(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen))
    ran = operator.run("show", str(ALICE), "--pem")
    assert (ran.code, ran.out) == (1, "")
    assert "is an SSH certificate: it has no PEM" in ran.err
    assert "--json has it" in ran.err


@pytest.mark.parametrize("place", ["certs/ssh_user_ca_key.pub", "further_user_keys", "record"])
def test_a_revocation_without_its_ssh_certificate_is_shown(operator: Operator, keygen: Keygen, place: str) -> None:
    record, public = user(keygen), keygen.key("ed25519", file="ca-ed25519")
    folder = operator.ca.directory
    if place == "record":
        operator.put(user(keygen, 7))
    elif place == "further_user_keys":
        (folder / "old.pub").write_bytes(public.read_bytes())
        with (folder / "ca.toml").open("a") as file:
            file.write('\n[signers.ssh]\ntype = "sshsigner"\nfurther_user_keys = ["old.pub", "missing.pub"]\n')
    else:
        (folder / place).write_bytes(public.read_bytes().strip() + b"\r\n")
    operator.put(revocations=[make_revocation(record.id)])
    ran = operator.run("show", str(ALICE))
    assert ran.code == 0, ran.err
    assert "Kind:          SSH" in ran.out.splitlines()
    assert "REVOKED, and not on record itself" in ran.out
    assert [end["kind"] for end in operator.run("show", str(ALICE), "--json").json["revocations"]] == ["ssh"]
    assert operator.run("show", str(ALICE), "--kind", "x509").code == 1


@pytest.mark.parametrize("octets", [b"", b"\x00\x00\x00\x07ssh-rsa", b"no certificate" * 100])
def test_octets_that_are_no_certificate_hide_no_record(operator: Operator, keygen: Keygen, octets: bytes) -> None:
    operator.put(user(keygen, certificate=octets))
    assert listed(operator.run("list").out) == [[str(ALICE), "valid", "ssh", "alice@harbour.example: alice, admin"]]
    assert operator.run("list", "--json").json[0]["cert_type"] is None
    ran = operator.run("show", str(ALICE))
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "Certificate:   cannot be read; see --json")
    assert operator.run("show", str(ALICE), "--json").json["certificates"][0]["ssh"] is None


def test_key_ids_cannot_act_upon_a_terminal(operator: Operator, keygen: Keygen) -> None:
    operator.put(user(keygen, ALICE, "-I", "a\x1b[2J\nb\u202ec"))
    for arguments in (["list"], ["list", "--json"], ["show", str(ALICE)], ["show", str(ALICE), "--json"]):
        ran = operator.run(*arguments)
        assert ran.code == 0, ran.err
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", ran.out)
    assert len(operator.run("list").out.splitlines()) == 2


def test_certificates_that_end_in_the_year_9999_are_listed_and_shown(operator: Operator, keygen: Keygen) -> None:
    end = system_clock().replace(year=9999, microsecond=0) - DAY
    operator.put(user(keygen, not_after=end))
    (row,) = operator.run("list", "--kind", "ssh", "--status", "valid", "--json").json
    assert row["not_after"].startswith("9999-")
    assert operator.run("show", str(ALICE)).code == 0
    assert operator.list("--kind", "ssh", "--expires-within", str(timedelta(days=7).days) + "d") == []


def test_an_unknown_kind_is_a_usage_error(operator: Operator) -> None:
    for command in (("list",), ("show", "7")):
        ran = operator.run(*command, "--kind", "pgp")
        assert (ran.code, ran.out) == (2, "")
        assert "x509" in ran.err
