"""``--offline``: on the CA's host a command is the CA, with its line, its rules and its store, served or not."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pexpect
import pytest
from cryptography import x509

from mica.cli.ca.local_ca import Configured, LocalCA
from mica.cli.errors import FileProblem
from mica.client import AlreadyRevoked, Client, Identity, KeyProblem, Refused, Unreachable
from mica.testing.ca import csr_pem
from mica.testing.plugins import install

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def operator(ca: Any, stranger: Any) -> Any:
    """Somebody on the host of the CA, who has its folder and the passwords, while the CA is served."""
    stranger.home = ca.home
    stranger.environment = {
        "MICA_PROVISIONER": "admin",
        "MICA_PROVISIONER_PASSWORD_FILE": str(ca.home.parent / "provisioner"),
        "MICA_CA_PASSWORD_FILE": str(ca.home.parent / "keys"),
    }
    return stranger


@pytest.fixture
def resting(ca: Any, operator: Any, tmp_path: Path) -> Any:
    """The same with a CA that nobody serves, and that has issued nothing yet."""
    operator.home = tmp_path / "resting"
    shutil.copytree(ca.home, operator.home, ignore=shutil.ignore_patterns("mica.db*"))
    return operator


@pytest.fixture
def local(ca: Any) -> LocalCA:
    """The served CA, in this process."""
    return LocalCA(ca.home / "ca.toml", password=(ca.home.parent / "keys").read_bytes())


@pytest.fixture
def remote(ca: Any) -> Client:
    """The same CA, by HTTP."""
    return Client(ca.url, ca.root.read_bytes())


def order(machine: Any, *arguments: str) -> str:
    return str(machine.mica("ca", "token", *arguments).out.strip())


def serial(machine: Any, name: str = "svc.crt") -> int:
    text: str = machine.openssl("x509", "-in", name, "-noout", "-serial")
    return int(text.strip().removeprefix("serial="), 16)


def identity(machine: Any, certificate: str = "svc.crt", key: str = "svc.key") -> Identity:
    return Identity(certificates=machine.path(certificate).read_bytes(), key=machine.path(key).read_bytes())


def certificate(machine: Any, *flags: str, code: int = 0) -> Any:
    return machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--offline", *flags, code=code)


def test_a_certificate_without_a_server(ca: Any, resting: Any) -> None:
    ran = certificate(resting, "--kty", "RSA", "--san", "a.example", "--san", "10.0.0.1")
    assert ran.out == ""
    provisioner, *rest = ran.err.splitlines()
    assert re.fullmatch(r"✔ Provisioner: admin \(JWK\) \[kid: [\w-]{43}\]", provisioner)
    assert rest == ["✔ Certificate: svc.crt", "✔ Private Key: svc.key"]
    resting.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", "svc.crt", "svc.crt")
    assert "DNS:a.example, IP Address:10.0.0.1" in resting.openssl(
        "x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName"
    )
    assert resting.openssl("pkey", "-in", "svc.key", "-pubout") == resting.openssl(
        "x509", "-in", "svc.crt", "-noout", "-pubkey"
    )
    (row,) = json.loads(resting.mica("ca", "certs", "list", "--json").out)
    assert int(row["serial_number"]) == serial(resting)


def test_a_certificate_made_beside_the_server_is_one_of_its_own(operator: Any, machine: Any) -> None:
    told = json.loads(certificate(operator, "--json").out)
    assert int(told["serial_number"]) == serial(operator)
    assert told["files"] == {"certificate": "svc.crt", "private_key": "svc.key"}
    for name in ("svc.crt", "svc.key"):
        shutil.copy(operator.path(name), machine.path(name))
    machine.mica("ca", "renew", "svc.crt", "svc.key", "--out", "new.crt")


def test_a_request_is_signed(ca: Any, operator: Any) -> None:
    operator.openssl(
        "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "a.csr", "-subj", "/CN=a.example"
    )
    operator.mica("ca", "sign", "a.csr", "a.crt", "--offline", "--not-after", "2h")
    operator.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", "a.crt", "a.crt")


def test_every_certificate_has_a_serial_number_of_its_own_and_is_on_record(resting: Any) -> None:
    with ThreadPoolExecutor(4) as pool:  # four processes, at once
        told = list(pool.map(lambda name: offline_in_its_own_files(resting, name), "abcd"))
    serials = {one["serial_number"] for one in told}
    assert len(serials) == 4
    rows = json.loads(resting.mica("ca", "certs", "list", "--json").out)
    assert {row["serial_number"] for row in rows} == serials


def offline_in_its_own_files(machine: Any, name: str) -> dict[str, Any]:
    ran = machine.mica("ca", "certificate", "svc.example", f"{name}.crt", f"{name}.key", "--offline", "--json")
    told: dict[str, Any] = json.loads(ran.out)
    return told


def test_a_token_that_was_spent_offline_is_refused_online(machine: Any, local: LocalCA, remote: Client) -> None:
    token = order(machine, "svc.example")
    local.sign(csr_pem("svc.example"), token)
    with pytest.raises(Refused) as caught:
        remote.sign(csr_pem("svc.example"), token)
    assert caught.value.status == 401


def test_a_token_that_was_spent_online_is_refused_offline_with_the_reason(
    machine: Any, local: LocalCA, remote: Client
) -> None:
    token = order(machine, "svc.example")
    remote.sign(csr_pem("svc.example"), token)
    with pytest.raises(Refused, match="this token has been used") as caught:
        local.sign(csr_pem("svc.example"), token)
    assert (caught.value.status, caught.value.explained) == (401, True)
    assert re.fullmatch(r"[0-9a-f-]{36}", caught.value.request_id)


def test_of_two_processes_with_one_token_one_gets_a_certificate(ca: Any, machine: Any) -> None:
    token, request = order(machine, "svc.example"), csr_pem("svc.example")
    program = (
        "import sys; from pathlib import Path\n"
        "from mica.cli.ca.local_ca import LocalCA; from mica.client import Refused\n"
        "home = Path(sys.argv[1]); ca = LocalCA(home / 'ca.toml', password=(home.parent / 'keys').read_bytes())\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    ca.sign(sys.argv[2], sys.argv[3]); print('issued')\n"
        "except Refused as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(ca.home), request, token]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    outcomes = sorted(racer.communicate("go\n")[0].strip() for racer in racers)
    assert outcomes[0] == "issued"
    assert "used" in outcomes[1]


@pytest.mark.parametrize("way", ["serial", "token", "key"])
def test_what_was_revoked_offline_is_not_renewed_online(ca: Any, operator: Any, machine: Any, way: str) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    number = str(serial(machine))
    if way == "key":
        said = ["--cert", str(machine.path("svc.crt")), "--key", str(machine.path("svc.key"))]
    else:
        said = [number, "--reason-code", "key-compromise"]
        said += ["--token", order(machine, "--revoke", number)] if way == "token" else []
    ran = operator.mica("ca", "revoke", "--offline", *said)
    assert f"Certificate with Serial Number {number} has been revoked." in ran.err
    assert "CA:" not in ran.err
    machine.mica("ca", "renew", "svc.crt", "svc.key", "--force", code=4)
    again = operator.mica("ca", "revoke", "--offline", "--json", number)
    assert json.loads(again.out) == {"serial_number": number, "ca_url": ca.url, "status": "revoked", "already": True}


def test_renewing_and_rekeying_prove_the_key(machine: Any, local: LocalCA) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    machine.mica("ca", "certificate", "b.example", "b.crt", "b.key")
    before = serial(machine)
    renewed = x509.load_pem_x509_certificate(local.renew(identity(machine)).pem)
    assert renewed.serial_number != before
    machine.openssl("genpkey", "-algorithm", "ED25519", "-out", "new.key")
    rekeyed = local.rekey(identity(machine), csr_pem())
    machine.path("rekeyed.crt").write_bytes(rekeyed.pem)
    assert machine.openssl("x509", "-in", "rekeyed.crt", "-noout", "-subject") == "subject=CN = svc.example\n"
    stranger = identity(machine, key="b.key")
    for forbidden in (
        lambda: local.renew(stranger),
        lambda: local.rekey(stranger, csr_pem()),
        lambda: local.revoke(before, identity=stranger),
    ):
        with pytest.raises(KeyProblem, match="do not belong together"):
            forbidden()
    local.renew(identity(machine))  # nothing of that has harmed it


def test_a_renew_token_serves_once(machine: Any, local: LocalCA) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    token = order(machine, "--renew", "--x5c-cert", "svc.crt", "--x5c-key", "svc.key")
    local.renew_by_token(token)
    with pytest.raises(Refused, match="has been used"):
        local.renew_by_token(token)


def test_what_is_revoked_already_is_known_by_its_class_both_ways(machine: Any, local: LocalCA, remote: Client) -> None:
    for ca in (local, remote):
        ca.sign(csr_pem("svc.example"), order(machine, "svc.example"))
        number = 4711 if ca is local else 4712
        ca.revoke(number, token=order(machine, "--revoke", str(number)))
        with pytest.raises(AlreadyRevoked):
            ca.revoke(number, token=order(machine, "--revoke", str(number)))


def test_both_tell_the_same_of_the_ca(local: LocalCA, remote: Client) -> None:
    local.health()
    assert local.url == remote.url
    assert local.version() == remote.version()
    assert local.roots() == remote.roots()
    assert local.federation() == remote.federation()
    assert local.provisioners() == remote.provisioners()
    kid = remote.provisioners()[0]["key"]["kid"]
    assert local.encrypted_key(kid) == remote.encrypted_key(kid)
    for ca in (local, remote):
        with pytest.raises(Refused) as caught:
            ca.encrypted_key("none")
        assert caught.value.status == 404


def test_a_refusal_comes_with_its_reason_and_leaves_nothing_behind(operator: Any) -> None:
    ran = certificate(operator, "--not-after", "99h", code=4)
    assert "more than the authorized maximum certificate duration" in ran.err
    assert re.search(r"^request id: [0-9a-f-]{36}$", ran.err, re.MULTILINE)
    assert list(operator.folder.iterdir()) == []


def test_a_wrong_password_of_the_ca_is_told_before_any_other_question(operator: Any) -> None:
    operator.environment["MICA_CA_PASSWORD_FILE"] = str(operator.write("wrong", "wrong"))
    del operator.environment["MICA_PROVISIONER_PASSWORD_FILE"]
    ran = certificate(operator, code=5)
    assert "the password is wrong" in ran.err
    assert "✔" not in ran.err
    assert not operator.path("svc.key").exists()


def test_without_a_terminal_the_flag_that_answers_is_named(operator: Any) -> None:
    del operator.environment["MICA_CA_PASSWORD_FILE"]
    assert "--ca-password-file" in certificate(operator, code=6).err


def test_both_passwords_are_asked_for_on_a_terminal(ca: Any, operator: Any) -> None:
    environment = {**os.environ, "MICAPATH": str(ca.home), "NO_COLOR": "1", "MICA_PROVISIONER": "admin"}
    arguments = ["-m", "mica.cli", "ca", "certificate", "a.example", "a.crt", "a.key", "--offline"]
    child = pexpect.spawn(
        sys.executable, arguments, cwd=str(operator.folder), env=environment, encoding="utf-8", timeout=30
    )
    child.expect("Please enter the password of the CA keys: ")
    child.sendline((ca.home.parent / "keys").read_text())
    child.expect("Please enter the password to decrypt the key of the provisioner admin: ")
    child.sendline((ca.home.parent / "provisioner").read_text())
    child.expect("Private Key: a.key")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_passwords_come_from_stdin_and_from_descriptors(ca: Any, operator: Any) -> None:
    del operator.environment["MICA_CA_PASSWORD_FILE"]
    secret = (ca.home.parent / "keys").read_text()
    arguments = ["ca", "certificate", "svc.example", "svc.crt", "svc.key", "--offline", "--force"]
    operator.mica(*arguments, "--ca-password-file", "-", input=secret + "\r\n")
    with (ca.home.parent / "keys").open() as stream:
        done = subprocess.run(
            [sys.executable, "-m", "mica.cli", *arguments, "--ca-password-file", f"fd:{stream.fileno()}"],
            cwd=operator.folder,
            env={**os.environ, **operator.environment, "MICAPATH": str(ca.home)},
            pass_fds=[stream.fileno()],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["certificate", "a", "a.crt", "a.key", "--offline", "--token", "TOKEN"], "incompatible with '--offline'"),
        (["sign", "a.csr", "a.crt", "--offline", "--token", "TOKEN"], "incompatible with '--offline'"),
        (["certificate", "a", "a.crt", "a.key", "--offline", "--ca-url", "ca.example"], "'--ca-url' is incompatible"),
        (["certificate", "a", "a.crt", "a.key", "--offline", "--root", "root.crt"], "'--root' is incompatible"),
        (["certificate", "a", "a.crt", "a.key", "--ca-config", "x"], "'--ca-config' requires the '--offline' flag"),
        (["revoke", "1", "--ca-password-file", "x"], "'--ca-password-file' requires the '--offline' flag"),
        (
            ["certificate", "a", "b", "c", "--offline", "--ca-password-file", "-", "--provisioner-password-file", "-"],
            "--provisioner-password-file and --ca-password-file both read stdin",
        ),
        (
            [
                "certificate",
                "a",
                "a.crt",
                "a.key",
                "--key-password-file",
                "fd:3",
                "--provisioner-password-file",
                "fd:3",
            ],
            "both read the descriptor fd:3",
        ),
        (["sign", "-", "a.crt", "--password-file", "-"], "CSR_FILE and --provisioner-password-file both read stdin"),
        (["revoke", "1", "--offline", "--ca-password-file", "-", "--password-file", "-"], "both read stdin"),
        (["revoke", "1", "--password-file", "a", "--provisioner-password-file", "b"], "are one here"),
    ],
)
def test_a_wrong_command_line_is_told(operator: Any, machine: Any, arguments: list[str], said: str) -> None:
    operator.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "a.csr", "-subj", "/CN=a")
    arguments = [order(machine, "a") if argument == "TOKEN" else argument for argument in arguments]
    assert said in operator.mica("ca", *arguments, code=2).err
    assert not operator.path("a.key").exists()


def test_the_configuration_may_be_elsewhere(ca: Any, operator: Any, tmp_path: Path) -> None:
    operator.home = tmp_path / "nothing"
    assert "run this on the CA's own host" in certificate(operator, code=5).err
    certificate(operator, "--ca-config", str(ca.home / "ca.toml"))


def test_the_defaults_and_the_environment_of_a_client_do_not_mislead(ca: Any, operator: Any) -> None:
    operator.environment["MICA_CA_URL"] = "https://elsewhere.example"
    operator.environment["MICA_ROOT"] = "/nowhere"
    assert json.loads(certificate(operator, "--json").out)["ca_url"] == ca.url


def test_a_provisioner_whose_plugin_is_not_enabled_vouches_for_nobody(resting: Any) -> None:
    configuration = resting.home / "ca.toml"
    configuration.write_text(configuration.read_text().replace('"jwk", ', ""))
    for arguments in (["certificate", "svc.example", "svc.crt", "svc.key"], ["token", "svc.example"]):
        ran = resting.mica("ca", *arguments, "--offline", code=5)
        assert 'provisioners[0].type: "jwk" is not offered by an enabled plugin' in ran.err
        assert f"{configuration} is the configuration" in ran.err


def test_only_the_plugins_that_the_configuration_names_are_imported(resting: Any, tmp_path: Path) -> None:
    """A plugin that is installed and not enabled would leave a file behind."""
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n")
    install(tmp_path / "site", trap)
    resting.environment["PYTHONPATH"] = str(tmp_path / "site")
    certificate(resting)
    assert not (tmp_path / "sprung").exists()
    configuration = resting.home / "ca.toml"
    configuration.write_text(configuration.read_text().replace('"jwk", ', '"jwk", "trap", '))
    certificate(resting, "--force", code=5)
    assert (tmp_path / "sprung").exists()


LISTENER = """
import logging
import mica

@mica.hookimpl
def notify(event):
    with open({file!r}, "a") as heard:
        print(type(event).__name__, event.request_id, file=heard)
    if {fails!r}:
        raise RuntimeError("the audit log is full")
"""


@pytest.fixture(params=[False, True], ids=["well", "failing"])
def heard(request: Any, resting: Any, tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """Where a listener writes what it hears, and whether it fails afterwards."""
    module = tmp_path / "listener.py"
    module.write_text(LISTENER.format(file=str(tmp_path / "heard"), fails=request.param))
    install(tmp_path / "site", module)
    resting.environment["PYTHONPATH"] = str(tmp_path / "site")
    configuration = resting.home / "ca.toml"
    configuration.write_text(configuration.read_text().replace('"jwk", ', '"jwk", "listener", '))
    yield tmp_path / "heard", request.param


def test_listeners_hear_of_it_and_only_their_failure_is_told(resting: Any, heard: tuple[Path, bool]) -> None:
    file, fails = heard
    ran = certificate(resting)
    refused = certificate(resting, "--force", "--not-after", "99h", code=4)
    (issued, _), (denied, identifier) = (line.split() for line in file.read_text().splitlines())
    assert (issued, denied) == ("Issued", "Denied")
    assert f"request id: {identifier}" in refused.err
    assert ("warning:" in ran.err) is fails
    assert ("the audit log is full" in ran.err) is fails


def test_the_line_that_the_server_would_log_shows_when_debugging(operator: Any) -> None:
    assert "method=offline" not in certificate(operator).err
    operator.environment["MICADEBUG"] = "1"
    ran = certificate(operator, "--force")
    (line,) = [line for line in ran.err.splitlines() if "path=/sign" in line]
    assert "status=200" in line
    assert f"serial={serial(operator)}" in line
    assert "provisioner=admin" in line


@pytest.fixture
def theirs(resting: Any) -> Iterator[Any]:
    """The folder of a CA that belongs to the user nobody, who can reach it: pytest closes its own to others."""
    with tempfile.TemporaryDirectory() as place:
        resting.home = Path(shutil.move(resting.home, place))
        for path in (Path(place), *Path(place).rglob("*")):
            os.chown(path, 65534, 65534)
        yield resting


def as_nobody(theirs: Any, program: str) -> str:
    """What the program prints that runs as nobody, the CA's folder being ``home`` and its password ``password``."""
    before = (
        "import os, sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "from pathlib import Path; home, password = Path(sys.argv[2]), Path(sys.argv[3]).read_bytes()\n"
        "from mica.cli.ca.local_ca import LocalCA\n"
        # What is imported late may lie where nobody can read it.
        "LocalCA(home / 'ca.toml', password=password)\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    )
    password = theirs.environment["MICA_CA_PASSWORD_FILE"]
    path = ":".join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", before + program, path, str(theirs.home), password], capture_output=True, text=True
    )
    return done.stdout + done.stderr


HEALTH = "LocalCA(home / 'ca.toml', password=password).health(); print('well')"


@root_only
def test_a_store_that_may_not_be_written_is_unavailable_and_another_users_files_are_a_file_problem(
    theirs: Any,
) -> None:
    assert as_nobody(theirs, HEALTH) == "well\n"
    (theirs.home / "db").chmod(0o500)
    for database in (theirs.home / "db").iterdir():
        database.unlink()
    assert "Unreachable: the store" in as_nobody(theirs, HEALTH)
    os.chown(theirs.home / "secrets" / "intermediate_ca_key", 0, 0)
    assert "FileProblem: " in as_nobody(theirs, HEALTH)
    assert "intermediate_ca_key: cannot be read" in as_nobody(theirs, HEALTH)


@root_only
def test_what_root_does_leaves_the_store_to_its_owner(theirs: Any) -> None:
    assert as_nobody(theirs, HEALTH) == "well\n"
    certificate(theirs)
    assert {path.stat().st_uid for path in (theirs.home / "db").iterdir()} == {65534}
    assert as_nobody(theirs, HEALTH) == "well\n"


def test_a_locked_store_is_unavailable(resting: Any) -> None:
    certificate(resting)
    configuration = resting.home / "ca.toml"
    configuration.write_text(
        configuration.read_text().replace('path = "db/mica.db"', 'path = "db/mica.db"\nbusy_timeout = "100ms"')
    )
    with sqlite3.connect(resting.home / "db/mica.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        ran = certificate(resting, "--force", code=3)
    assert "is locked by another process" in ran.err


def test_a_configuration_with_faults_is_told_whole(resting: Any) -> None:
    configuration = resting.home / "ca.toml"
    configuration.write_text(configuration.read_text().replace("dns_names = ", "dns_nams = "))
    for command in (["certificate", "svc.example", "svc.crt", "svc.key"], ["token", "svc.example"], ["revoke", "1"]):
        ran = resting.mica("ca", *command, "--offline", code=5)
        assert 'extra field "dns_nams"' in ran.err
        assert 'field "dns_names" is missing' in ran.err


def test_a_token_needs_the_configuration_alone(ca: Any, resting: Any, machine: Any) -> None:
    del resting.environment["MICA_CA_PASSWORD_FILE"]
    shutil.rmtree(resting.home / "secrets")
    ran = resting.mica("ca", "token", "svc.example", "--offline")
    assert ran.err.splitlines() == [line for line in ran.err.splitlines() if line.startswith("✔ Provisioner: admin")]
    told = machine.mica("ca", "certificate", "--token", ran.out.strip(), "svc.example", "svc.crt", "svc.key", "--json")
    assert json.loads(told.out)["ca_url"] == ca.url
    assert not (resting.home / "db/mica.db").exists()


def test_a_renew_token_is_made_without_asking_anybody(ca: Any, machine: Any, operator: Any, remote: Client) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    files = ["--x5c-cert", str(machine.path("svc.crt")), "--x5c-key", str(machine.path("svc.key"))]
    remote.renew_by_token(order(operator, "--renew", "--offline", *files))


def test_a_configuration_that_is_read_for_tokens_opens_no_key(ca: Any, tmp_path: Path) -> None:
    configured = Configured.read(ca.home / "ca.toml")
    assert configured.root_fingerprint == ca.fingerprint
    with pytest.raises(FileProblem, match=r"ca.toml: is not TOML"):
        Configured.read(_written(tmp_path / "ca.toml", "x"))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_client_and_the_ca_itself_raise_the_same_kinds(resting: Any, machine: Any) -> None:
    ca = LocalCA(resting.home / "ca.toml", password=Path(resting.environment["MICA_CA_PASSWORD_FILE"]).read_bytes())
    ca.health()
    (resting.home / "db/mica.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(Unreachable, match="is not a database"):
        ca.sign(csr_pem("svc.example"), order(machine, "svc.example"))


def test_a_certificate_is_renewed_and_rekeyed_without_a_server(resting: Any) -> None:
    certificate(resting)
    first, key = serial(resting), resting.path("svc.key").read_bytes()
    ran = resting.mica("ca", "renew", "--offline", "--force", "svc.crt", "svc.key", "--json")
    renewed = serial(resting)
    assert json.loads(ran.out)["serial_number"] == str(renewed) != str(first)
    assert resting.path("svc.key").read_bytes() == key
    resting.mica("ca", "rekey", "--offline", "--force", "svc.crt", "svc.key")
    assert serial(resting) not in (first, renewed)
    assert resting.path("svc.key").read_bytes() != key
    rows = json.loads(resting.mica("ca", "certs", "list", "--json").out)
    assert {str(first), str(renewed), str(serial(resting))} <= {row["serial_number"] for row in rows}


def test_what_is_revoked_is_not_renewed_offline_either(resting: Any) -> None:
    certificate(resting)
    resting.mica("ca", "revoke", "--offline", "--cert", "svc.crt", "--key", "svc.key")
    for command in ("renew", "rekey"):
        assert "is revoked" in resting.mica("ca", command, "--offline", "--force", "svc.crt", "svc.key", code=4).err


def test_one_stdin_does_not_hold_two_passwords(resting: Any) -> None:
    certificate(resting)
    passwords = ("--password-file", "-", "--ca-password-file", "-")
    for command in ("renew", "rekey"):
        ran = resting.mica("ca", command, "--offline", "--force", "svc.crt", "svc.key", *passwords, code=2)
        assert "both read stdin" in ran.err


def test_a_daemon_renews_without_a_server_and_asks_for_the_password_once(resting: Any) -> None:
    certificate(resting)
    first = serial(resting)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    arguments = ["ca", "renew", "--offline", "--daemon", "--renew-period", "1s", "svc.crt", "svc.key"]
    child = pexpect.spawn(
        sys.executable, ["-m", "mica.cli", *arguments], cwd=str(resting.folder), encoding="utf-8", timeout=30,
        env={**environment, "MICAPATH": str(resting.home)},
    )  # fmt: skip
    child.expect("password of the CA keys")
    child.sendline(Path(resting.environment["MICA_CA_PASSWORD_FILE"]).read_text())
    for _ in range(2):
        child.expect("certificate renewed, next in")
    child.kill(15)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert serial(resting) != first
