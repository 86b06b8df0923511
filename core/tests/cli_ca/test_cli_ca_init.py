"""``mica ca init``, ``check`` and ``serve``: from an empty folder to what a CA needs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from core.tests.cli_ca.conftest import Machine

FLAGS = (
    "ca", "init", "--name", "Harbour Works", "--dns", "ca.harbour.example", "--dns", "10.1.2.3",
    "--address", "127.0.0.1:8443", "--provisioner", "ops@harbour.example",
)  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, tmp_path / "home")
    machine.write("ca-password", "the CA's\n")
    machine.write("other-password", "the provisioner's\n")
    return machine


def found(host: Machine, *more: str) -> None:
    host.mica(*FLAGS, "--password-file", "ca-password", "--provisioner-password-file", "other-password", *more)


def test_what_init_makes_is_what_openssl_expects(host: Machine) -> None:
    found(host)
    home = host.home
    text = host.openssl("x509", "-in", str(home / "certs/root_ca.crt"), "-noout", "-text")
    assert "Subject: O = Harbour Works, CN = Harbour Works Root CA" in text
    assert "CA:TRUE, pathlen:1" in text
    text = host.openssl("x509", "-in", str(home / "certs/intermediate_ca.crt"), "-noout", "-text")
    assert "Subject: O = Harbour Works, CN = Harbour Works Intermediate CA" in text
    assert "CA:TRUE, pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text
    host.openssl(
        "verify", "-x509_strict", "-CAfile", str(home / "certs/root_ca.crt"), str(home / "certs/intermediate_ca.crt")
    )
    for key in ("root_ca_key", "intermediate_ca_key"):
        path = home / "secrets" / key
        assert path.stat().st_mode & 0o777 == 0o600
        host.openssl("pkey", "-in", str(path), "-passin", "file:ca-password", "-noout")
        assert (
            b"hmacWithSHA256"
            in subprocess.run(["openssl", "asn1parse", "-in", path], capture_output=True, check=True).stdout
        )
    assert home.stat().st_mode & 0o777 == 0o700


def test_defaults_name_the_ca_and_its_root(host: Machine) -> None:
    found(host)
    defaults = json.loads((host.home / "defaults.json").read_text())
    assert defaults["ca-url"] == "https://ca.harbour.example:8443"
    assert defaults["root"] == str(host.home / "certs/root_ca.crt")
    fingerprint = host.openssl("x509", "-in", defaults["root"], "-noout", "-fingerprint", "-sha256")
    assert fingerprint.strip().rpartition("=")[2].replace(":", "").lower() == defaults["fingerprint"]


def test_only_reports_go_to_stdout(host: Machine) -> None:
    ran = host.mica(*FLAGS, "--password-file", "ca-password", "--json")
    report = json.loads(ran.out)
    assert report["ca_url"] == "https://ca.harbour.example:8443"
    assert "✔ Root fingerprint: " + report["root_fingerprint"] in ran.err
    assert "the password of the CA keys: whoever may issue certificates can open them" in ran.err


def test_an_existing_ca_is_refused_before_anything_is_made(host: Machine) -> None:
    found(host)
    before = {path: path.read_bytes() for path in host.home.rglob("*") if path.is_file()}
    ran = host.mica(*FLAGS, "--password-file", "no-such-file", code=5)
    assert "there is a CA already" in ran.err
    assert "--force" in ran.err
    assert {path: path.read_bytes() for path in host.home.rglob("*") if path.is_file()} == before


def test_force_replaces_the_ca(host: Machine) -> None:
    found(host)
    before = (host.home / "certs/root_ca.crt").read_bytes()
    found(host, "--force")
    assert (host.home / "certs/root_ca.crt").read_bytes() != before
    host.mica("ca", "check", "--password-file", "ca-password")


def test_ones_own_root_is_used_and_its_key_is_not_copied(host: Machine) -> None:
    host.openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "own.key")
    host.openssl(
        "req", "-x509", "-new", "-key", "own.key", "-subj", "/CN=Own Root", "-days", "1000", "-out", "own.crt",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    found(host, "--root", "own.crt", "--key", "own.key")
    assert not (host.home / "secrets/root_ca_key").exists()
    host.openssl("verify", "-CAfile", "own.crt", str(host.home / "certs/intermediate_ca.crt"))
    host.mica("ca", "check", "--password-file", "ca-password")


def test_a_dry_run_tells_what_would_be_made_and_writes_nothing(host: Machine) -> None:
    ran = host.mica(*FLAGS, "--dry-run")
    assert "Nothing has been written" in ran.err
    assert f"✔ Root private key: {host.home}/secrets/root_ca_key\n" in ran.err
    assert "fingerprint" not in ran.err
    assert ran.out == ""
    told = json.loads(host.mica(*FLAGS, "--dry-run", "--json").out)
    assert told["dry_run"] is True
    assert told["certificate_authority_configuration"] == f"{host.home}/ca.toml"
    assert not host.home.exists()


def test_a_dry_run_tells_the_same_mistakes(host: Machine) -> None:
    assert "is not host:port" in host.mica(*FLAGS, "--dry-run", "--address", "nowhere", code=2).err
    assert "too long" in host.mica(*FLAGS, "--dry-run", "--name", "x" * 60, code=2).err
    host.mica(*FLAGS, "--dry-run", "--ca-password-file", "no-such-file", code=5)
    found(host)
    assert "there is a CA already" in host.mica(*FLAGS, "--dry-run", code=5).err
    assert "root_ca.crt (replaced)" in host.mica(*FLAGS, "--dry-run", "--force").err


def test_pki_alone_makes_keys_and_certificates(host: Machine) -> None:
    ran = host.mica("ca", "init", "--pki", "--name", "Harbour Works", "--ca-password-file", "ca-password")
    made = sorted(str(path.relative_to(host.home)) for path in host.home.rglob("*") if path.is_file())
    assert made == [
        "certs/intermediate_ca.crt",
        "certs/root_ca.crt",
        "secrets/intermediate_ca_key",
        "secrets/root_ca_key",
    ]
    assert not (host.home / "db").exists()
    assert "mica ca serve" not in ran.err
    certs = host.home / "certs"
    host.openssl("verify", "-CAfile", str(certs / "root_ca.crt"), str(certs / "intermediate_ca.crt"))
    assert "incompatible with '--pki'" in host.mica(*FLAGS, "--pki", code=2).err


def test_a_ca_is_made_as_a_context_beside_others(host: Machine) -> None:
    found(host, "--context", "prod", "--authority", "first")
    home = host.home / "contexts" / "authorities" / "first"
    assert host.mica("path").out == f"{home}\n"
    assert host.mica("ca", "check", "--password-file", "ca-password").out == "ok\n"
    assert json.loads((home / "defaults.json").read_text())["root"] == f"{home}/certs/root_ca.crt"
    told = json.loads(host.mica(*FLAGS, "--password-file", "ca-password", "--json").out)
    assert told["context"] == "ca.harbour.example"
    assert host.mica("context", "list").out == "▶ ca.harbour.example\nprod\n"
    assert "there is a CA already" in host.mica(*FLAGS, "--context", "prod", code=5).err
    assert not (host.home / "ca.toml").exists()


def test_what_a_root_is_stands_on_the_command_line_alone(host: Machine) -> None:
    host.environment |= {"MICA_ROOT": "no-such-file", "MICA_KEY": "no-such-file"}
    found(host)
    assert (host.home / "secrets/root_ca_key").exists()


def test_stdin_can_be_one_password_only(host: Machine) -> None:
    ran = host.mica(*FLAGS, "--ca-password-file", "-", "--provisioner-password-file", "-", code=2)
    assert "both read stdin" in ran.err


def test_two_files_with_one_password_are_warned_of(host: Machine) -> None:
    host.write("same", "the CA's\n")
    ran = host.mica(*FLAGS, "--ca-password-file", "ca-password", "--provisioner-password-file", "same")
    assert "the password of the CA keys: whoever may issue certificates can open them" in ran.err


def test_defaults_of_another_ca_are_not_replaced_unasked(host: Machine) -> None:
    host.home.mkdir()
    (host.home / "defaults.json").write_text("{}")
    assert f"{host.home}/defaults.json" in host.mica(*FLAGS, "--password-file", "ca-password", code=5).err


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(host: Machine) -> None:
    (host.folder / "file").touch()
    host.environment["MICAPATH"] = str(host.folder / "file" / "home")
    assert "cannot be made" in host.mica(*FLAGS, "--password-file", "ca-password", code=5).err
    host.environment["MICAPATH"] = str(host.home)
    (host.home / "certs" / "root_ca.crt").mkdir(parents=True)
    assert "is a directory" in host.mica(*FLAGS, "--password-file", "ca-password", "--force", code=5).err
    assert [path for path in host.home.rglob("*") if path.is_file()] == []


def test_a_password_that_is_made_is_shown_on_the_terminal_alone(host: Machine) -> None:
    environment = {**os.environ, "MICAPATH": str(host.home), "NO_COLOR": "1", "TERM": "dumb"}
    child = pexpect.spawn(
        "sh", ["-c", f"{sys.executable} -m mica.cli {' '.join(map(shlex.quote, FLAGS))} 2>stderr"],
        env=environment, cwd=str(host.folder), encoding="utf-8", timeout=30,
    )  # fmt: skip
    made = []
    for question in ("password for the CA keys", "password for the first provisioner"):
        child.expect(question)
        child.sendline("")
        child.expect(r"The password is (\w{32}) - it is shown this once")
        assert isinstance(child.match, re.Match)
        made.append(child.match.group(1))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, host.path("stderr").read_text()
    assert made[0] != made[1]
    host.write("made", made[0])
    host.openssl("pkey", "-in", str(host.home / "secrets/root_ca_key"), "-passin", "file:made", "-noout")
    written = [path.read_bytes() for path in (*host.home.rglob("*"), host.path("stderr")) if path.is_file()]
    assert not [data for data in written for password in made if password.encode() in data]


@pytest.mark.parametrize(
    ("extra", "code", "text"),
    [
        (("--root", "x"), 2, "go together"),
        (("--root", "ca-password", "--key", "ca-password"), 5, "ca-password"),
        (("--address", "nowhere"), 2, "is not host:port"),
        (("--dns", "a b"), 2, "is not a DNS name"),
        (("--password-file", "no-such-file"), 5, "no-such-file"),
        (("--name", "x" * 60), 2, "too long"),
    ],
)
def test_a_bad_answer_is_told_and_nothing_is_written(
    host: Machine, extra: tuple[str, ...], code: int, text: str
) -> None:
    ran = host.mica(*FLAGS, "--password-file", "ca-password", *extra, code=code)
    assert text in ran.err
    assert not host.home.exists()


def test_without_a_terminal_a_question_names_the_flag_that_answers_it(host: Machine) -> None:
    assert "--name" in host.mica("ca", "init", code=6).err
    assert "--ca-password-file" in host.mica(*FLAGS, code=6).err
    assert not host.home.exists()


def test_questions_are_asked_on_a_terminal(host: Machine) -> None:
    environment = {**os.environ, "MICAPATH": str(host.home), "NO_COLOR": "1"}
    child = pexpect.spawn(
        sys.executable, ["-m", "mica.cli", "ca", "init"], env=environment, encoding="utf-8", timeout=30
    )
    for question, answer in (
        ("name of the new PKI", "Harbour Works"),
        ("Which DNS names", "ca.harbour.example, localhost"),
        ("Where will the server listen", "127.0.0.1:8443"),
        ("name of the first provisioner", "ops"),
    ):
        child.expect(question)
        child.sendline(answer)
    for _ in range(2):
        child.expect("password for the CA keys|once more")
        child.sendline("one secret")
    for _ in range(2):
        child.expect("password for the first provisioner|once more")
        child.sendline("another secret")
    child.expect("Start the CA: mica ca serve")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert 'dns_names = ["ca.harbour.example", "localhost"]' in (host.home / "ca.toml").read_text()


def test_check_names_every_mistake(host: Machine) -> None:
    found(host)
    configuration = host.home / "ca.toml"
    configuration.write_text(configuration.read_text().replace("address =", "adress =").replace('"jwk"', '"jkw"'))
    ran = host.mica("ca", "check", "--password-file", "ca-password", code=5)
    assert 'extra field "adress"; known: address' in ran.err
    assert 'field "address" is missing' in ran.err
    assert '"jkw" is not installed' in ran.err


def test_a_configuration_that_is_missing_or_something_else_is_a_file_problem(host: Machine) -> None:
    host.write("text", "hello")
    for arguments in (["check", "text"], ["certs", "list", "--ca-config", "text"]):
        assert "text: is not TOML: " in host.mica("ca", *arguments, code=5).err
    for arguments in (["check", "none"], ["serve", "none"], ["certs", "list", "--ca-config", "none"]):
        said = host.mica("ca", *arguments, code=5).err
        assert said.startswith("error: none: there is no such file\nhint: run this on the CA's own host; ")


def test_check_tells_who_answers_which_hook(host: Machine) -> None:
    found(host)
    ran = host.mica("ca", "check", "--password-file", "ca-password", "--json")
    report = json.loads(ran.out)
    assert report["hooks"]["register_stores"] == ["storage_sqlite"]
    assert report["provisioners"] == ["ops@harbour.example"]


def test_a_wrong_password_ends_serve_with_one_line(host: Machine) -> None:
    found(host)
    ran = host.mica("ca", "serve", "--password-file", "other-password", "--workers", "1", code=1)
    assert "signers.x509: file:secrets/intermediate_ca_key: the key cannot be decrypted" in ran.err
    assert "the provisioner's" not in ran.err


def test_the_password_is_found_among_systemds_credentials(host: Machine) -> None:
    found(host)
    credentials = host.folder / "credentials"
    credentials.mkdir()
    (credentials / "mica-ca-password").write_text("the CA's")
    host.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert host.mica("ca", "check").out == "ok\n"
