"""docs/cli.md says what the commands say, and every example in it runs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from mica.testing.agents import RunningAgent, ssh_agent
from mica.testing.service import free_port, served

DOCS = Path(__file__).parents[1] / "docs"
GENERATE = run_path(str(DOCS / "generate_cli.py"))
COMMANDS = dict(GENERATE["commands"]())
EXAMPLES = {path: GENERATE["examples"](command) for path, command in COMMANDS.items()}
#: They run until they are ended.
ENDLESS = ("mica ca serve", "--daemon")
#: How such an example ends for people; here it is ended once it runs, however long a busy machine takes until then.
SHORT, LONG = "timeout --preserve-status 5 ", "timeout --preserve-status 50 "
PASSWORDS = {
    "ca-password.txt": "the password of the CA keys",
    "provisioner-password.txt": "the password of the provisioner",
    "password.txt": "the password of a key",
}
#: What stands in the folder in which every example is tried; ``$home`` is the CA's.
PREPARATION = """
cp $home/certs/root_ca.crt $home/certs/intermediate_ca.crt $home/secrets/intermediate_ca_key .
mica ca certificate svc.example svc.crt svc.key
mica certificate create --csr svc.example svc.csr csr.key --no-password --insecure
mica crypto keypair pub.pem enc.key --password-file password.txt
mica crypto jwk create jwk.pub.json jwk.json --password-file password.txt
mica ca token svc.example > token.txt
openssl req -x509 -newkey rsa:2048 -nodes -keyout crl.key -out crl.crt -subj /CN=CRL
printf '[ca]\\ndefault_ca = x\\n[x]\\ndatabase = /dev/null\\ndefault_md = sha256\\ndefault_crl_days = 1\\n' > crl.cnf
openssl ca -gencrl -config crl.cnf -cert crl.crt -keyfile crl.key -out crl.pem
ssh-keygen -q -t ecdsa -N '' -C alice@harbour.example -f id_ecdsa
mica ssh certificate --sign alice@harbour.example id_ecdsa.pub
mica ssh certificate --host build1.harbour.example ssh_host_key --no-password --insecure
mkdir -p step/config
cp root_ca.crt intermediate_ca.crt intermediate_ca_key step
cat > step/config/ca.json <<END
{"root": "$PWD/step/root_ca.crt", "crt": "$PWD/step/intermediate_ca.crt", "key": "$PWD/step/intermediate_ca_key",
 "address": "127.0.0.1:8443", "dnsNames": ["localhost"], "authority": {"provisioners": $(mica ca provisioner list)}}
END
"""
#: Another PKI, whose certificates vouch.
EDGE = """
mica certificate create --profile root-ca Edge edge_root.crt edge_root.key --no-password --insecure
mica certificate create edge.harbour.example edge.crt edge.key --ca edge_root.crt --ca-key edge_root.key \\
    --no-password --insecure
sed -i '/^plugins = /,/]/ s/"sshpop"/"sshpop", "x5c"/' $MICAPATH/ca.toml
mica ca provisioner add edge --type X5C --x5c-roots edge_root.crt
"""
#: Somebody signs in; a test of each has an identity provider, and runs its examples there.
BY_SOMEBODY = {"mica oauth"}
#: A policy, and a case for it.
POLICY = """
sed -i '/^plugins = /,/]/ s/"sshpop"/"sshpop", "policy"/' $MICAPATH/ca.toml
cat >> $MICAPATH/ca.toml <<END
[plugin.policy]
x509 = { deny = { dns = ["root.harbour.example"] } }
END
cat > cases.toml <<END
[[cases]]
kind = "x509"
names = ["root.harbour.example"]
expected = "deny"
END
"""
#: An audit log of all that a new store has on record, a copy of it, and its head.
AUDIT = """
sed -i '/^plugins = /,/]/ s/"sshpop"/"sshpop", "auditlog"/' $MICAPATH/ca.toml
rm -f $MICAPATH/db/*
mica ca certificate --offline svc.example audited.crt audited.key --ca-password-file ca-password.txt
cp -r $MICAPATH/audit backup
mica ca audit head > head.txt
"""
#: Files of its own for a command whose examples spoil them for every other.
OWN_PREPARATION = {
    **dict.fromkeys(("mica ca audit verify", "mica ca audit head", "mica ca audit show"), AUDIT),
    "mica ca policy test": POLICY,
    "mica ca policy ask": POLICY,
    "mica ssh revoke": "mica ssh certificate --host build2.harbour.example ssh_host_key --no-password --insecure",
}


@dataclass(frozen=True, slots=True)
class World:
    """A CA that runs, its folder, and a folder with one of each kind of file; and an SSH agent."""

    url: str
    home: Path
    bare: Path
    """The folder as it was before the CA had SSH."""
    work: Path
    agent: RunningAgent

    def run(self, script: str, home: Path, work: Path) -> "subprocess.CompletedProcess[str]":
        """``script`` has been run by a shell without a terminal, in ``work``; what is endless was ended when it ran."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MICA")} | {
            "HOME": str(work),
            "MICAPATH": str(home),
            "MICA_FORCE": "1",
            "MICA_NON_INTERACTIVE": "1",
            "MICA_PROVISIONER_PASSWORD_FILE": "provisioner-password.txt",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
            **self.agent.environment,
        }
        endless = any(sign in script for sign in ENDLESS)
        line = f"exec {script.replace(SHORT, LONG)}" if endless else script
        process = subprocess.Popen(
            ["bash", "-euc", line], cwd=work, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        said = _beginning(process) if endless else ""
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(script, process.returncode, output, said + errors)


def _beginning(process: "subprocess.Popen[str]") -> str:
    """What it said until it ran as it should; then it was asked to end."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "serving" in line or "first renewal in" in line:
            break
    process.send_signal(signal.SIGTERM)
    return said


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with ssh_agent() as agent:
        url = f"https://localhost:{free_port()}"
        world = World(url, folder / "home", folder / "bare", folder / "work", agent)
        world.work.mkdir()
        for name, password in PASSWORDS.items():
            (world.work / name).write_text(password)
        must(
            world,
            f"mica ca init --name 'Harbour Works' --dns localhost --address {url.removeprefix('https://')}"
            " --provisioner admin --password-file ca-password.txt",
        )
        shutil.copytree(world.home, world.bare)
        must(world, "mica ca enable-ssh --password-file ca-password.txt; mica ca provisioner update admin --ssh")
        must(world, EDGE)
        served_by: Any = SimpleNamespace(directory=world.home, url=url)
        with served(served_by, workers=1, arguments=["--password-file", str(world.work / "ca-password.txt")]):
            must(world, f"home={world.home}\n{PREPARATION}")
            yield world


def must(world: World, script: str, home: Path | None = None, work: Path | None = None) -> None:
    """``script`` has run, and well."""
    done = world.run(script, home or world.home, work or world.work)
    assert done.returncode == 0, f"$ {script}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in BY_SOMEBODY])
def test_the_examples_of_a_command_run_one_after_the_other(world: World, tmp_path: Path, path: str) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    shutil.copytree(world.bare if path == "mica ca enable-ssh" else world.home, home)
    shutil.copytree(world.work, work)
    must(world, OWN_PREPARATION.get(path, ""), home, work)
    if path == "mica ca serve":
        configuration = home / "ca.toml"
        configuration.write_text(configuration.read_text().replace(f'"{world.url[8:]}"', f'"127.0.0.1:{free_port()}"'))
    assert EXAMPLES[path]
    for example in EXAMPLES[path]:
        assert path in example
        must(world, example.replace("https://ca.example:8443", world.url), home, work)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_says_what_it_does_and_explains_each_of_its_flags(path: str) -> None:
    assert COMMANDS[path].help
    options = [option for option in COMMANDS[path].params if isinstance(option, click.Option)]
    assert [option.opts for option in options if not option.help] == []


def test_the_page_is_what_the_commands_say() -> None:
    assert (DOCS / "cli.md").read_text() == GENERATE["page"](), "write it again with: make docs"
