"""What issuance writes: chain, root, DER, PKCS #12; whose the files are and who may read them."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mica.cli.ca.outputflags import Wanted
from mica.cli.ca.outputs import Plan
from mica.client import Issued, NotTheCA
from mica.testing.ca import TestCA

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NOWHERE = ["--ca-url", "https://127.0.0.1:1"]
PAIR = ["ca", "certificate", "svc.example", "svc.crt", "svc.key"]


def mode(machine: Any, name: str) -> int:
    return stat.S_IMODE(machine.path(name).stat().st_mode)


def files(machine: Any) -> set[str]:
    return {path.name for path in machine.folder.iterdir()} - {"password"}


def certificates(machine: Any, name: str) -> int:
    count: int = machine.path(name).read_text().count("BEGIN CERTIFICATE")
    return count


def test_chain_and_root_have_files_of_their_own(ca: Any, machine: Any) -> None:
    ran = machine.mica(*PAIR, "--chain-out", "chain.crt", "--root-out", "root.crt", "--json")
    assert machine.path("root.crt").read_text() == ca.root.read_text()
    assert (certificates(machine, "svc.crt"), certificates(machine, "chain.crt")) == (2, 1)
    assert machine.path("svc.crt").read_text().endswith(machine.path("chain.crt").read_text())
    machine.openssl("verify", "-x509_strict", "-CAfile", "root.crt", "-untrusted", "chain.crt", "svc.crt")
    assert ran.err.splitlines()[2:] == [
        "✔ Certificate: svc.crt", "✔ Private Key: svc.key", "✔ Chain: chain.crt", "✔ Root: root.crt"
    ]  # fmt: skip
    assert json.loads(ran.out)["files"] == {
        "certificate": "svc.crt", "private_key": "svc.key", "chain": "chain.crt", "root": "root.crt"
    }  # fmt: skip


def test_the_chain_may_end_with_the_root(ca: Any, machine: Any) -> None:
    machine.mica(*PAIR, "--fullchain-with-root")
    assert certificates(machine, "svc.crt") == 3
    assert machine.path("svc.crt").read_text().endswith(ca.root.read_text())


def test_a_stranger_with_a_token_gets_them_too(ca: Any, machine: Any, stranger: Any) -> None:
    token = machine.mica("ca", "token", "svc.example").out.strip()
    stranger.mica(*PAIR, "--token", token, "--root-out", "root.crt", "--chain-out", "chain.crt")
    assert stranger.path("root.crt").read_text() == ca.root.read_text()


def test_a_request_is_answered_in_der(ca: Any, machine: Any) -> None:
    machine.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "a.csr", "-subj", "/CN=a")
    machine.mica("ca", "sign", "a.csr", "a.der", "--format", "der", "--chain-out", "chain.crt")
    machine.openssl("x509", "-inform", "DER", "-in", "a.der", "-out", "a.crt")
    machine.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", "chain.crt", "a.crt")


def test_in_der_the_certificate_is_alone_and_the_key_stays_readable(machine: Any) -> None:
    machine.mica(*PAIR, "--format", "der")
    text = machine.openssl("x509", "-inform", "DER", "-in", "svc.crt", "-noout", "-pubkey")
    assert machine.openssl("pkey", "-in", "svc.key", "-pubout") == text
    machine.mica("ca", "revoke", "--cert", "svc.crt", "--key", "svc.key")


@pytest.mark.parametrize("kind", [[], ["--kty", "EC", "--curve", "P-521"], ["--kty", "RSA"], ["--kty", "OKP"]])
def test_pkcs12_holds_certificate_chain_and_key(ca: Any, machine: Any, kind: list[str]) -> None:
    machine.write("secret", "pass wörd\n")
    arguments = ["--format", "p12", "--p12-password-file", "secret", "--fullchain-with-root", *kind]
    ran = machine.mica("ca", "certificate", "svc.example", "svc.p12", *arguments, "--json", "--mode", "0644")
    assert json.loads(ran.out)["files"] == {"pkcs12": "svc.p12"}
    assert files(machine) == {"svc.p12", "secret"}
    assert mode(machine, "svc.p12") == 0o600
    opened = ["pkcs12", "-in", "svc.p12", "-passin", "file:secret"]
    machine.openssl(*opened, "-nodes", "-nocerts", "-out", "key.pem")
    machine.openssl(*opened, "-clcerts", "-nokeys", "-out", "leaf.pem")
    machine.openssl(*opened, "-cacerts", "-nokeys", "-out", "chain.pem")
    machine.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", "chain.pem", "leaf.pem")
    assert certificates(machine, "chain.pem") == 2
    assert "friendlyName: svc.example" in machine.path("leaf.pem").read_text()
    public = machine.openssl("x509", "-in", "leaf.pem", "-noout", "-pubkey")
    assert machine.openssl("pkey", "-in", "key.pem", "-pubout") == public


def test_the_password_of_a_pkcs12_file_is_asked_for_twice(ca: Any, machine: Any) -> None:
    environment = {**os.environ, **machine.environment, "MICAPATH": str(machine.home), "NO_COLOR": "1"}
    arguments = ["-m", "mica.cli", "ca", "certificate", "svc.example", "svc.p12", "--format", "p12"]
    child = pexpect.spawn(
        sys.executable, arguments, cwd=str(machine.folder), env=environment, encoding="utf-8", timeout=30
    )
    for answer in ("one", "two", "right", "right"):
        child.expect("(for the PKCS #12 file|The same once more): ")
        child.sendline(answer)
    child.expect("PKCS12: svc.p12")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    machine.openssl("pkcs12", "-in", "svc.p12", "-passin", "pass:right", "-noout")


def test_a_password_that_is_no_text_or_not_there_is_told_before_the_ca_is_asked(machine: Any) -> None:
    machine.path("latin").write_bytes(b"p\xe4ss")
    base = ["ca", "certificate", "svc.example", "svc.p12", "--format", "p12", *NOWHERE]
    assert "latin: must be text in UTF-8" in machine.mica(*base, "--p12-password-file", "latin", code=5).err
    assert "--p12-password-file" in machine.mica(*base, code=6).err
    assert files(machine) == {"latin"}


def test_a_mode_that_was_asked_for_counts_whatever_was_there_and_never_for_the_key(machine: Any) -> None:
    machine.mica(*PAIR)
    assert mode(machine, "svc.crt") == 0o600
    machine.path("chain.crt").touch(mode=0o600)
    before = os.umask(0o077)
    try:
        machine.mica(*PAIR, "--force", "--mode", "644", "--chain-out", "chain.crt", "--root-out", "root.crt")
    finally:
        os.umask(before)
    assert [mode(machine, name) for name in ("svc.crt", "chain.crt", "root.crt")] == [0o644] * 3
    assert mode(machine, "svc.key") == 0o600
    machine.mica(*PAIR, "--force", "--mode", "0400")
    assert (mode(machine, "svc.crt"), mode(machine, "svc.key")) == (0o400, 0o400)


@root_only
@pytest.mark.parametrize(
    ("flags", "owner", "crt", "key"),
    [
        (["--owner", "1234"], (1234, 0), 0o600, 0o600),
        (["--owner", "1234", "--mode", "0644"], (1234, 0), 0o644, 0o600),
        (["--owner", "1234:2345"], (1234, 2345), 0o600, 0o600),
        (["--owner", "1234:2345", "--mode", "0644"], (1234, 2345), 0o644, 0o640),
        (["--owner", ":2345", "--mode", "0440"], (0, 2345), 0o440, 0o440),
        (["--owner", "nobody:daemon", "--mode", "0600"], (65534, 1), 0o600, 0o600),
    ],
)
def test_files_are_given_to_who_uses_them_and_a_group_reads_the_key_only_when_both_flags_say_so(
    machine: Any, flags: list[str], owner: tuple[int, int], crt: int, key: int
) -> None:
    machine.mica(*PAIR, *flags)
    for name, expected in (("svc.crt", crt), ("svc.key", key)):
        status = machine.path(name).stat()
        assert (status.st_uid, status.st_gid) == owner
        assert stat.S_IMODE(status.st_mode) == expected


@root_only
def test_only_root_gives_files_away() -> None:
    program = (
        "import os; from mica.cli.ca.outputflags import _access; from mica.cli.errors import FileProblem\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "_access(None, '65534:65534')\n"
        "try:\n    _access(None, '0')\nexcept FileProblem as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "--owner 0: only root may give files away\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*PAIR, "--mode", "0666"], "invalid value '0666' for flag '--mode'"),
        ([*PAIR, "--mode", "0755"], "from 0400 to 0644"),
        ([*PAIR, "--mode", "0044"], "its owner reads"),
        ([*PAIR, "--mode", "u=rw"], "invalid value 'u=rw'"),
        ([*PAIR, "--mode", "4644"], "invalid value '4644'"),
        ([*PAIR, "--owner", "nobody-of-that-name"], "there is no user of that name"),
        ([*PAIR, "--owner", "root:nobody-of-that-name"], "there is no group of that name"),
        ([*PAIR, "--owner", "root:"], "there is no group of that name"),
        ([*PAIR, "--owner", ""], "USER, USER:GROUP or :GROUP"),
        ([*PAIR, "--format", "jks"], "'jks'"),
        ([*PAIR, "--format", "der", "--fullchain-with-root"], "incompatible with '--format der'"),
        ([*PAIR, "--format", "p12"], "'KEY_FILE' is incompatible with '--format p12'"),
        ([*PAIR, "--p12-password-file", "password"], "requires '--format p12'"),
        ([*PAIR[:-1], "--format", "p12", "--key-password-file", "password"], "incompatible with '--format p12'"),
        (PAIR[:-1], "missing argument 'KEY_FILE'"),
        ([*PAIR, "--chain-out", "svc.crt"], "are the same file"),
        ([*PAIR, "--chain-out", "x", "--root-out", "x"], "are the same file"),
        (["ca", "sign", "a.csr", "a.p12", "--format", "p12"], "'p12'"),
    ],
)
def test_a_wrong_command_line_is_told_before_the_ca_is_asked(machine: Any, arguments: list[str], said: str) -> None:
    assert said in machine.mica(*arguments, *NOWHERE, code=2).err
    assert files(machine) == set()


@pytest.mark.parametrize("flag", ["--chain-out", "--root-out"])
def test_every_file_is_settled_before_the_ca_is_asked(machine: Any, flag: str) -> None:
    machine.write("old", "old")
    assert "there is no directory" in machine.mica(*PAIR, flag, "missing/x", *NOWHERE, code=5).err
    assert "--force" in machine.mica(*PAIR, flag, "old", *NOWHERE, code=6).err
    assert files(machine) == {"old"}


def test_a_refusal_leaves_every_file_as_it_was(machine: Any) -> None:
    for name in ("svc.crt", "svc.key", "chain.crt", "root.crt"):
        machine.write(name, "old")
    arguments = [*PAIR, "--chain-out", "chain.crt", "--root-out", "root.crt", "--force", "--not-after", "99h"]
    machine.mica(*arguments, code=4)
    assert {machine.path(name).read_text() for name in files(machine)} == {"old"}


def test_a_chain_that_leads_to_no_root_of_the_ca_is_not_written(ca: Any, tmp_path: Path) -> None:
    other = TestCA.found(tmp_path / "other")
    chain = (other.directory / "certs/intermediate_ca.crt").read_text()
    plan = Plan(wanted=Wanted(with_root=True), certificate=tmp_path / "svc.crt")
    issued = Issued(chain=(chain, chain))
    with pytest.raises(NotTheCA, match="leads to none of its roots"):
        plan.files(issued, [ca.root.read_text()])
    ((_, data, _),) = plan.files(issued, [ca.root.read_text(), (other.directory / "certs/root_ca.crt").read_text()])
    assert data.count(b"BEGIN CERTIFICATE") == 3
