"""The whole way: a served CA, a directory, and ``mica`` at the command line, judged by openssl and ssh-keygen."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mica import keyfiles
from mica.testing.ca import TestCA, csr_pem
from mica.testing.commands import Commands
from mica.testing.exchange import ask
from mica.testing.plugins import append, enable
from mica.testing.service import Service, free_port, served
from mica_ldap import slapd
from mica_ldap.contracts import configure

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
PASSWORD = "password.txt"
_RULE = f"""
[[provisioners.map]]
group = "{slapd.OPS}"
principals = ["deploy"]
dns = ["svc.harbour.example"]
"""


def found(folder: Path, directory: slapd.Slapd, commands: Commands) -> TestCA:
    """A CA whose operator added the provisioner ``corp`` at the command line, and a rule by hand."""
    ca = TestCA.found(folder, port=free_port(), ssh=True)
    config = configure(ca.directory, directory, ec.generate_private_key(ec.SECP256R1()))
    flags = {
        "--url": config.url, "--roots": config.roots, "--key": ca.directory / config.key, "--base": config.base,
        "--bind-dn": config.bind_dn, "--bind-password-file": ca.directory / config.bind_password_file,
        "--failure-window": "1m",
    }  # fmt: skip
    arguments = ["ca", "provisioner", "add", "corp", "--type", "ldap"]
    arguments += [str(part) for pair in flags.items() for part in pair]
    arguments += ["--ca-config", str(ca.directory / "ca.toml")]
    enable(ca, "ldap")
    done = commands.run(arguments, folder=ca.directory, environment={"MICAPATH": str(ca.directory)})
    assert done.returncode == 0, done.stderr
    append(ca, _RULE)
    return ca


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, directory: slapd.Slapd, commands: Commands) -> Iterator[Service]:
    with served(found(tmp_path_factory.mktemp("ca"), directory, commands), workers=1) as running:
        yield running


@pytest.fixture
def login(mica: Run, service: Service, tmp_path: Path) -> Run:
    """Runs ``mica`` as a user of the provisioner ``corp``, whose password is ``PASSWORD`` in the folder."""
    (tmp_path / PASSWORD).write_text(f"{slapd.PASSWORD}\n")

    def run(*arguments: str | Path, user: str = "alice") -> "subprocess.CompletedProcess[bytes]":
        who = ["--provisioner", "corp", "--provisioner-password-file", PASSWORD]
        where = ["--ca-url", service.ca.url, "--root", service.root_file]
        return mica(*arguments, *who, *where, MICA_LDAP_USER=user)

    return run


def shown(*arguments: str | Path) -> str:
    """What another program says of a file."""
    name, *others = map(str, arguments)
    return subprocess.run([slapd.program(name), *others], check=True, capture_output=True, text=True).stdout


def test_a_login_gives_an_x509_certificate_which_renews(
    login: Run, mica: Run, service: Service, tmp_path: Path
) -> None:
    done = login("ca", "certificate", "svc.harbour.example", "svc.crt", "svc.key", "--san", "svc.harbour.example",
                 "--san", "alice@harbour.example")  # fmt: skip
    assert done.returncode == 0, done.stderr
    certificate, root = tmp_path / "svc.crt", service.root_file
    assert shown("openssl", "verify", "-CAfile", root, "-untrusted", certificate, certificate).endswith(": OK\n")
    names = shown("openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName")
    assert names.split("\n")[1].strip() == "DNS:svc.harbour.example, email:alice@harbour.example"
    before = certificate.read_bytes()
    renewed = mica("ca", "renew", "svc.crt", "svc.key", "--force", "--ca-url", service.ca.url, "--root", root)
    assert renewed.returncode == 0, renewed.stderr
    assert certificate.read_bytes() != before
    assert shown("openssl", "verify", "-CAfile", root, "-untrusted", certificate, certificate).endswith(": OK\n")


def test_a_login_gives_an_ssh_certificate(login: Run, tmp_path: Path) -> None:
    done = login("ssh", "certificate", "alice", "id", "--principal", "alice", "--principal", "deploy",
                 "--no-password", "--insecure", "--no-agent")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in shown("ssh-keygen", "-L", "-f", tmp_path / "id-cert.pub").splitlines()]
    assert 'Key ID: "alice"' in lines
    principals = lines[lines.index("Principals:") + 1 : lines.index("Critical Options: (none)")]
    assert principals == ["alice", "deploy"]


def test_who_cannot_log_in_learns_nothing(login: Run, tmp_path: Path) -> None:
    answers = set()
    for user, password in (
        ("alice", "wrong"),
        ("nobody", slapd.PASSWORD),
        ("*)(uid=*", slapd.PASSWORD),
        (f"alice,ou=people,{slapd.SUFFIX}", slapd.PASSWORD),
    ):
        (tmp_path / PASSWORD).write_text(password)
        done = login("ca", "certificate", "svc.harbour.example", "svc.crt", "svc.key", user=user)
        answers.add((done.returncode, done.stdout, done.stderr.partition(b"request")[0]))
        assert not (tmp_path / "svc.crt").exists()
    assert len(answers) == 1, answers
    ((code, _, message),) = answers
    assert code != 0
    assert b"directory" not in message


def test_names_of_no_group_are_refused_by_name(login: Run, tmp_path: Path) -> None:
    done = login("ca", "certificate", "svc.harbour.example", "svc.crt", "svc.key", user="bob")
    assert done.returncode != 0
    assert b"bob may not have svc.harbour.example" in done.stderr
    assert not (tmp_path / "svc.crt").exists()


def test_a_token_serves_once_and_only_as_it_is(login: Run, service: Service) -> None:
    done = login("ca", "token", "alice@harbour.example")
    assert done.returncode == 0, done.stderr
    token = done.stdout.decode().strip()
    header, payload, sealed = token.split(".")
    other = login("ca", "token", "svc.harbour.example").stdout.decode().strip()
    body = {"csr": csr_pem("alice@harbour.example"), "ott": token}
    for grafted in (f"{header}.{payload}.{other.split('.')[2]}", f"{header}.{other.split('.')[1]}.{sealed}"):
        assert ask(service, "POST", "/sign", {**body, "ott": grafted}).status == 401
    assert ask(service, "POST", "/sign", body).status == 201
    assert ask(service, "POST", "/sign", body).status == 401


def test_passwords_and_tokens_stand_nowhere(login: Run, service: Service, directory: slapd.Slapd) -> None:
    assert slapd.PASSWORD.startswith("canary")
    made = login("ca", "token", "alice@harbour.example")
    token = made.stdout.decode().strip()
    for raw in (token, token[:-4] + "AAAA"):
        ask(service, "POST", "/sign", {"csr": csr_pem("alice@harbour.example"), "ott": raw})
    listed = ask(service, "GET", "/provisioners").body
    own = {service.ca.directory / "bind_password", service.ca.directory / "ldap_key"}
    written = [path.read_bytes() for path in service.ca.directory.rglob("*") if path.is_file() and path not in own]
    secret = (service.ca.directory / "ldap_key").read_bytes().split(b"\n")[1]
    for text in (*written, listed, made.stderr, directory.log().encode()):
        for canary in (b"canary-", slapd.PASSWORD.encode(), token.rpartition(".")[2].encode(), secret):
            assert canary not in text


def test_without_a_terminal_the_remedy_is_named(mica: Run, service: Service, tmp_path: Path) -> None:
    where = ["--ca-url", service.ca.url, "--root", service.root_file, "--provisioner", "corp"]
    done = mica("ca", "token", "alice@harbour.example", *where)
    assert (done.returncode != 0, done.stdout) == (True, b"")
    assert b"MICA_LDAP_USER" in done.stderr


def test_what_is_no_order_of_a_certificate_is_refused_with_a_remedy(login: Run) -> None:
    done = login("ca", "token", "--revoke", "4711")
    assert (done.returncode != 0, done.stdout) == (True, b"")
    assert b"revoke with the certificate's own key" in done.stderr


def _state(service: Service) -> dict[str, Any]:
    listed = json.loads(ask(service, "GET", "/provisioners").body)["provisioners"]
    return next(one for one in listed if one["name"] == "corp")


def test_a_ca_starts_without_its_directory_and_uses_it_when_it_comes_back(
    mica: Run, tmp_path: Path, directory: slapd.Slapd, commands: Commands
) -> None:
    (tmp_path / PASSWORD).write_text(slapd.PASSWORD)
    ca = found(tmp_path / "ca", directory, commands)
    directory.stop()
    try:
        with served(ca, workers=1) as service:
            assert _state(service)["state"] == "Uninitialized"
            where = ["--ca-url", ca.url, "--root", service.root_file, "--provisioner", "corp"]
            command = ["ca", "certificate", "svc.harbour.example", "svc.crt", "svc.key", *where, "--password-file"]
            refused = mica(*command, PASSWORD, MICA_LDAP_USER="alice")
            assert refused.returncode != 0
            assert b"disabled due to an initialization error" in refused.stderr
            directory.start()
            deadline = time.monotonic() + 20
            while "state" in _state(service) and time.monotonic() < deadline:
                time.sleep(0.2)
            done = mica(*command, PASSWORD, MICA_LDAP_USER="alice")
            assert done.returncode == 0, done.stderr
    finally:
        directory.stop()
        directory.start()
    assert keyfiles.holds_private_key((tmp_path / "svc.key").read_bytes())
