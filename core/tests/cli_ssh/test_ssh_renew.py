"""A host's certificate is renewed: same key, same names, same duration. What cannot succeed is said beforehand."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA, client_of, running_ca
from core.tests.cli_ssh.sshhosts import (
    CERTIFICATE,
    KEY,
    NOWHERE,
    PAIR,
    certify,
    comment,
    contents,
    keygen_of,
    mode,
    read,
)

from mica.testing.keygen import KEY_OPTIONS

#: A second provisioner for hosts, by which expired certificates are renewed.
LATE = """
[[provisioners]]
type = "sshpop"
name = "late"
claims = {enable_ssh_ca = true, allow_renewal_after_expiry = true}

[claims]
min_host_ssh_cert_duration = "1s"
"""


@pytest.fixture
def host(client: Machine) -> Machine:
    """A machine with a key, and a certificate for an hour."""
    certify(client, "host.example", "-n", "host.example", "-n", "www.host.example", "--not-after", "1h")
    return client


@pytest.fixture(scope="module")
def lenient_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHCA]:
    with running_ca(tmp_path_factory.mktemp("lenient"), more=LATE) as ca:
        yield ca


@pytest.fixture
def guest(lenient_ca: SSHCA, tmp_path: Path) -> Machine:
    """A machine that trusts ``lenient_ca``."""
    return client_of(lenient_ca, tmp_path / "guest")


def made(machine: Machine, *options: str, kind: str = "ed25519") -> None:
    """A key and a certificate that ssh-keygen made, which knows no CA of ours."""
    keygen = keygen_of(machine)
    keygen.certificate("p256", keygen.key(kind, file=KEY), "-I", "own.example", *options)


def renew(machine: Machine, *arguments: str | Path, code: int = 0, input: str | None = None) -> str:
    """What the command says on stderr."""
    return machine.mica("ssh", "renew", *arguments, code=code, input=input).err


def test_key_names_duration_and_comment_stay_and_the_serial_changes(served_ca: SSHCA, host: Machine) -> None:
    before, files = read(host), contents(host.folder)
    said = renew(host, *PAIR, "--force")
    assert said.splitlines() == [
        "✔ Provisioner: sshpop (SSHPOP)",
        f"✔ CA: {served_ca.url}",
        f"✔ Certificate: {CERTIFICATE}",
    ]
    after = read(host)
    assert after.serial not in (before.serial, 0)
    assert after.valid_before is not None
    assert before.valid_before is not None
    assert after.valid_before - after.valid_after == before.valid_before - before.valid_after
    assert (after.public_key, after.key_id) == (before.public_key, before.key_id)
    assert {name for name, octets in contents(host.folder).items() if files[name] != octets} == {CERTIFICATE}
    shown = keygen_of(host)("-L", "-f", CERTIFICATE)
    assert re.search(r"Principals: \n\s+host\.example\n\s+www\.host\.example\n", shown)
    assert "host certificate" in shown
    assert comment(host) == "host.example"


@pytest.mark.parametrize("kind", KEY_OPTIONS)
def test_a_key_of_every_kind_asks_for_its_own_renewal(client: Machine, kind: str) -> None:
    keygen = keygen_of(client)
    public = keygen.key(kind, "root@host", file=KEY)
    client.mica("ssh", "certificate", "--host", "--sign", "host.example", public)
    before = read(client)
    renew(client, *PAIR, "--force")
    assert read(client).serial != before.serial
    assert read(client).public_key == before.public_key
    assert f"Key ID: {json.dumps(before.key_id)}" in keygen("-L", "-f", CERTIFICATE)


def test_elsewhere_is_a_file_that_all_may_read_and_the_old_one_stays(host: Machine) -> None:
    before = host.path(CERTIFICATE).read_bytes()
    ran = host.mica("ssh", "renew", *PAIR, "--out", "new-cert.pub", "--json")
    told, new = json.loads(ran.out), read(host, "new-cert.pub")
    assert told["serial"] == str(new.serial)
    assert (told["renewed"], told["type"], told["files"]) == (True, "host", {"certificate": "new-cert.pub"})
    assert host.path(CERTIFICATE).read_bytes() == before
    assert mode(host, "new-cert.pub") == 0o644


def test_comment_and_mode_of_the_file_stay(host: Machine) -> None:
    host.path(CERTIFICATE).write_bytes(b"\xef\xbb\xbf" + host.path(CERTIFICATE).read_bytes()[:-1] + b" of the mole\r\n")
    host.path(CERTIFICATE).chmod(0o640)
    renew(host, *PAIR, "--force")
    assert mode(host, CERTIFICATE) == 0o640
    assert comment(host) == "host.example of the mole"
    keygen_of(host)("-L", "-f", CERTIFICATE)


def test_a_link_is_followed(host: Machine) -> None:
    host.path(CERTIFICATE).rename(host.path("real-cert.pub"))
    host.path(CERTIFICATE).symlink_to("real-cert.pub")
    before = read(host).serial
    renew(host, *PAIR, "--force")
    assert host.path(CERTIFICATE).is_symlink()
    assert read(host, "real-cert.pub").serial != before


def test_overwriting_is_settled_before_the_ca_is_asked(host: Machine) -> None:
    assert "answer it with --force" in renew(host, *PAIR, *NOWHERE, code=6)
    assert "no directory" in renew(host, *PAIR, *NOWHERE, "--out", "nowhere/c", code=5)
    assert "would take the place of" in renew(host, *PAIR, *NOWHERE, "--out", KEY, "--force", code=2)


def test_a_ca_that_is_away_leaves_the_file(host: Machine) -> None:
    before = contents(host.folder)
    assert "connection refused" in renew(host, *PAIR, "--force", *NOWHERE, code=3)
    assert contents(host.folder) == before


def test_an_encrypted_key_renews_with_its_password(host: Machine) -> None:
    host.write("secret", "correct horse\n")
    keygen_of(host)("-q", "-p", "-P", "", "-N", "correct horse", "-f", KEY)
    before = read(host).serial
    renew(host, *PAIR, "--force", "--password-file", "secret")
    assert read(host).serial != before
    assert "--password-file" in renew(host, *PAIR, "--force", code=6)
    host.write("secret", "battery staple\n")
    assert "the password is wrong" in renew(host, *PAIR, "--force", "--password-file", "secret", *NOWHERE, code=5)


@pytest.mark.parametrize("threshold", ["10m", "75%"])
@pytest.mark.parametrize(("command", "word"), [("renew", "renewed"), ("rekey", "rekeyed")])
def test_what_is_not_due_is_left_alone_without_asking_the_ca(
    host: Machine, command: str, word: str, threshold: str
) -> None:
    before = contents(host.folder)
    arguments = ["ssh", command, *PAIR, "--expires-in", threshold, "--exec", "touch ran", *NOWHERE]
    assert re.fullmatch(rf"certificate not {word}: expires in (59m\d+s|1h0m0s)\n", host.mica(*arguments).err)
    assert host.mica(*arguments, "--exit-code", code=7).err.startswith(f"certificate not {word}")
    assert json.loads(host.mica(*arguments, "--json").out)["renewed"] is False
    assert contents(host.folder) == before


@pytest.mark.parametrize("threshold", ["1h", "0.5%"])
def test_what_is_due_is_renewed_and_ends_with_0(host: Machine, threshold: str) -> None:
    before = read(host).serial
    renew(host, *PAIR, "--force", "--expires-in", threshold, "--exit-code")
    assert read(host).serial != before


def test_sshd_is_told_afterwards_by_a_line_a_command_or_a_signal(host: Machine) -> None:
    line = f"ssh-keygen -L -f {CERTIFICATE} >seen; echo told"
    ran = host.mica("ssh", "renew", *PAIR, "--force", "--json", "--exec", line)
    assert f"Serial: {json.loads(ran.out)['serial']}\n" in host.path("seen").read_text()
    assert "told\n" in ran.err
    renew(host, *PAIR, "--force", "--", "touch", "--", "two words", "--force")
    assert host.path("two words").exists()
    assert host.path("--force").exists()
    sleeper = subprocess.Popen(["sleep", "60"])
    host.write("pid", f"{sleeper.pid}\n")
    renew(host, *PAIR, "--force", "--pid-file", "pid", "--signal", "USR1")
    assert sleeper.wait(10) == -signal.SIGUSR1
    before = read(host).serial
    assert "the certificate has been saved" in renew(host, *PAIR, "--force", "--exec", "exit 9", code=1)
    assert read(host).serial != before


def test_stdin_is_read_where_the_result_goes_elsewhere(host: Machine) -> None:
    text = host.path(CERTIFICATE).read_text()
    said = renew(host, "-", KEY, input=text, code=2)
    assert "CRT_FILE is stdin" in said
    assert "--out-cert" not in said
    renew(host, "-", KEY, "--out", "new", input=text)
    renew(host, CERTIFICATE, "-", "--out", "new", "--force", input=host.path(KEY).read_text())
    renew(host, CERTIFICATE, f"file:{KEY}", "--out", "new", "--force")
    assert read(host, "new").public_key == read(host).public_key
    assert "both read stdin" in renew(host, "-", "-", "--out", "new", input=text, code=2)
    assert "is incompatible with '--daemon'" in renew(host, CERTIFICATE, "-", "--daemon", code=2)


@pytest.mark.parametrize("more", [(), ("--expires-in", "90%")])
def test_a_users_certificate_is_not_renewed_however_much_of_it_is_left(client: Machine, more: tuple[str, ...]) -> None:
    made(client, "-n", "alice", "-V", "-1m:+1h")
    said = renew(client, *PAIR, "--force", *more, *NOWHERE, code=5)
    assert said.startswith(f"error: {CERTIFICATE}: is a user's certificate, and the CA renews those of hosts\n")
    assert "mica ssh login" in said
    assert "is a user's certificate" in renew(client, *PAIR, "--daemon", *NOWHERE, code=5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-V", "always:forever"), "has no end, and needs no renewal"),
        (("-V", "+1d:+2d"), "is not valid before "),
    ],
)
def test_what_no_ca_could_renew_is_told_without_asking(client: Machine, options: tuple[str, ...], said: str) -> None:
    made(client, "-h", "-n", "own.example", *options)
    assert f"{CERTIFICATE}: {said}" in renew(client, *PAIR, "--force", *NOWHERE, code=5)


def test_a_host_of_another_ca_is_refused(client: Machine) -> None:
    made(client, "-h", "-n", "own.example", "-V", "-1m:+1h")
    before = contents(client.folder)
    said = renew(client, *PAIR, "--force", code=4)
    assert "the CA refused" in said
    assert "mica ssh certificate --host gets a new one" in said
    assert contents(client.folder) == before


@pytest.mark.parametrize("arguments", [(CERTIFICATE, "other"), (CERTIFICATE, "x509.key")])
def test_a_key_of_another_certificate_is_noticed(host: Machine, arguments: tuple[str, str]) -> None:
    keygen_of(host).key("ed25519", file="other")
    host.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "x509.key")
    said = renew(host, *arguments, "--force", *NOWHERE, code=5)
    assert said.startswith(f"error: {arguments[1]}: is not the key of {CERTIFICATE}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((KEY, CERTIFICATE), f"{KEY}: holds a private key"),
        ((CERTIFICATE, f"{KEY}.pub"), f"{KEY}.pub: the file holds an SSH public key or certificate, not a private key"),
        ((f"{KEY}.pub", KEY), f"{KEY}.pub: holds an SSH public key (ecdsa-sha2-nistp256), not a certificate"),
        (("two", KEY), "two: holds 2 keys"),
        (("x509.crt", "x509.key"), "x509.crt: holds an X.509 certificate"),
        (("empty", KEY), "empty: is empty"),
        ((CERTIFICATE, "empty"), "empty: the file is empty"),
        (("utf16", KEY), "utf16: is UTF-16 text"),
        (("cut", KEY), "cut: "),
        (("nowhere", KEY), "nowhere: there is no such file"),
        ((CERTIFICATE, "nowhere"), "nowhere: there is no such file"),
        ((".", KEY), ".: is a directory"),
    ],
)
def test_files_of_another_kind_are_told_by_name(host: Machine, arguments: tuple[str, str], said: str) -> None:
    text = host.path(CERTIFICATE).read_text()
    host.write("two", text + host.path(f"{KEY}.pub").read_text())
    host.write("empty", "")
    host.path("utf16").write_bytes(text.encode("utf-16"))
    host.write("cut", text[: len(text) // 2])
    host.openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "x509.key", "-out", "x509.crt",
                 "-subj", "/CN=x")  # fmt: skip
    before = contents(host.folder)
    err = renew(host, *arguments, "--force", *NOWHERE, code=5)
    assert err.startswith(f"error: {said}")
    assert contents(host.folder) == before


def test_which_provisioner_is_asked_for_where_there_are_several(guest: Machine) -> None:
    certify(guest)
    assert "one of sshpop (SSHPOP), late (SSHPOP)" in renew(guest, *PAIR, "--force", code=6)
    assert "✔ Provisioner: late (SSHPOP)" in renew(guest, *PAIR, "--force", "--provisioner", "late")
    said = renew(guest, *PAIR, "--force", "--provisioner", "admin", code=2)
    assert "one of: sshpop (SSHPOP); late (SSHPOP)" in said


def test_an_expired_certificate_is_renewed_where_the_provisioner_allows_it(guest: Machine) -> None:
    certify(guest, "host.example", "--not-after", "1s")
    before = read(guest)
    time.sleep(2.1)
    said = renew(guest, *PAIR, "--force", "--provisioner", "sshpop", code=4)
    assert "may be revoked or expired" in said
    cannot = guest.mica("ssh", "rekey", *PAIR, "--force", "--provisioner", "late", *NOWHERE, code=5).err
    assert f"{CERTIFICATE}: cannot rekey an expired certificate" in cannot
    renew(guest, *PAIR, "--force", "--provisioner", "late")
    assert read(guest).valid_after > before.valid_after


def test_a_revoked_certificate_is_not_renewed(host: Machine) -> None:
    host.mica("ssh", "revoke", str(read(host).serial))
    assert "may be revoked" in renew(host, *PAIR, "--force", code=4)


def test_a_ca_without_a_provisioner_for_hosts_and_one_without_ssh_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    with running_ca(tmp_path / "ca", ssh=False) as ca:
        machine = client_of(ca, tmp_path / "client")
        made(machine, "-h", "-n", "own.example", "-V", "-1m:+1h")
        for command in (("renew", *PAIR), ("rekey", *PAIR), ("revoke", "--sshpop-cert", PAIR[0], "--sshpop-key", KEY)):
            force = () if command[0] == "revoke" else ("--force",)
            said = machine.mica("ssh", *command, *force, code=1).err
            assert said.startswith("error: the CA has no provisioner of the type SSHPOP")
            assert "hint: its operator adds one: mica ca provisioner add sshpop --type SSHPOP" in said
        for arguments in (("revoke", "4711"), ("revoke", "--key-id", "alice"), ("krl",), ("krl", "--out", "krl")):
            said = machine.mica("ssh", *arguments, code=4).err
            assert f"the CA at {ca.url} is not configured for SSH" in said
        assert not machine.path("krl").exists()


def test_offline_the_certificate_is_renewed_and_no_server_is_asked(served_ca: SSHCA, host: Machine) -> None:
    before, passwords = read(host), served_ca.home.parent
    host.environment["MICAPATH"] = str(served_ca.home)
    offline = ("--offline", "--ca-password-file", str(passwords / "keys"))
    said = renew(host, *PAIR, "--force", *offline)
    assert "✔ CA" not in said
    assert read(host).serial != before.serial
    assert read(host).public_key == before.public_key
    assert "the password is wrong" in renew(host, *PAIR, "--force", "--offline", "--ca-password-file", KEY, code=5)
    certify(host, "other.example", *offline)
    host.mica("ssh", "revoke", str(read(host).serial), *offline)
    assert "revoked" in renew(host, *PAIR, "--force", *offline, code=4)
