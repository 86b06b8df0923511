"""Who imports what, in real processes: a client pays for no server, a server for no plugin that it was not given.

A finder at the head of ``sys.meta_path`` writes down every module that is looked for, whoever asks and however.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from runpy import run_path

import pytest

from mica.cli import table
from mica.cli.ssh.reaching.hostmemory import Memory, Verdict
from mica.testing.ca import TestCA
from mica.testing.exchange import obtain, token
from mica.testing.plugins import enable, install
from mica.testing.service import Service, free_port, served

RECORDER = """
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        with open(os.path.join(os.environ["RECORD"], str(os.getpid())), "a") as file:
            file.write(name + "\\n")

sys.meta_path.insert(0, Recorder)
Recorder.find_spec = Recorder().find_spec
"""
STRANGER = """
from mica import hookimpl

@hookimpl
def refuse_x509(request, tbs, grant):
    return None
"""
#: What no client imports: parts of the server, and what only they need.
SERVER = {
    "mica.web", "mica.authority", "mica.hooks", "mica.hookspecs", "mica.issuance", "mica.renewal", "mica.revocation",
    "mica.ceiling", "mica.lint", "mica.registry", "mica.config", "mica.structuring", "mica.assembly", "mica.testing",
    "pluggy", "asyncio", "starlette", "uvicorn", "uvloop", "httptools", "anyio", "jwt", "cattrs", "tomlkit", "jwcrypto",
    "sqlite3", "multiprocessing", "importlib.metadata", "rich", "attrs",
    "mica_x509signer", "mica_sshsigner", "mica_filekeys", "mica_storage_sqlite",
}  # fmt: skip
#: What takes long to import; help needs none of it.
SLOW = {
    "cryptography", "ssl", "socket", "http.client", "json", "email", "urllib.request", "tomllib", "subprocess",
    "tempfile", "shutil", "importlib.resources", "concurrent",
}  # fmt: skip
GROUPS = (
    "",
    "ca",
    "ca provisioner",
    "ca certs",
    "ssh",
    "context",
    "completion",
    "certificate",
    "crypto",
    "crypto jwk",
    "crypto jwt",
    "crypto key",
)
#: What cryptography imports itself.
THEIR_OWN = {"email", "socket"}
TREE = run_path(str(Path(__file__).parents[1] / "docs/generate_cli.py"))["commands"]()
COMMANDS = tuple(path.removeprefix("mica ") for path, _ in TREE)
#: Their flags depend on a configuration that defaults.json may name.
THAT_READ_FILES = {"ca provisioner add", "ca provisioner update"}
#: The commands of core, whose modules hold flags alone.
CORE = tuple(path for path in COMMANDS if path in table.COMMANDS and path not in THAT_READ_FILES)
#: Each is a few milliseconds, of which help may take twenty beside click.
SLOWISH = {"pathlib", "urllib.parse", "difflib", "mica.client", "mica.cli.ca.connection"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH: the recorder, and a stranger's plugin."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(RECORDER)
    module = tmp_path_factory.mktemp("source") / "stranger.py"
    module.write_text(STRANGER)
    install(site, module)
    return site


def recorded(folder: Path) -> dict[int, set[str]]:
    """The modules that each process has imported, by process id."""
    return {int(file.name): set(file.read_text().split()) for file in folder.iterdir()}


def found_in(modules: set[str], unwanted: set[str]) -> set[str]:
    """The modules that are one of these, or within one of them."""
    return {name for name in modules if any(name == one or name.startswith(f"{one}.") for one in unwanted)}


@pytest.fixture
def imports(site: Path, tmp_path: Path) -> Callable[..., set[str]]:
    """What ``mica`` imports when it does what it is told, in an empty MICAPATH."""

    def run(*arguments: str | Path) -> set[str]:
        record = tmp_path / f"record-{time.monotonic_ns()}"
        record.mkdir()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
        environment = clean | {"PYTHONPATH": str(site), "RECORD": str(record), "MICAPATH": str(tmp_path / "none")}
        mica = Path(sys.executable).with_name("mica")
        result = subprocess.run(
            [mica, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, result.stderr
        (modules,) = recorded(record).values()
        assert "mica.cli" in modules
        return modules

    return run


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


@pytest.mark.parametrize("arguments", [("--help",), ("ca", "--help"), ("version",)], ids=" ".join)
def test_the_help_of_groups_imports_no_plugin(imports: Callable[..., set[str]], arguments: tuple[str, ...]) -> None:
    modules = imports(*arguments)
    assert found_in(modules, SERVER | SLOW | {"mica.client", "mica_jwk", "mica_certtool", "stranger"}) == set()


@pytest.mark.parametrize("path", [*GROUPS, *COMMANDS])
def test_help_at_any_level_imports_nothing_that_is_slow(imports: Callable[..., set[str]], path: str) -> None:
    modules = imports(*path.split(), "--help")
    assert found_in(modules, SERVER | SLOW | {"stranger"}) == set()


@pytest.mark.parametrize("path", CORE)
def test_the_help_of_a_command_imports_none_of_its_work(imports: Callable[..., set[str]], path: str) -> None:
    assert found_in(imports(*path.split(), "--help"), SLOWISH | {"mica_certtool"}) == set()


@pytest.mark.parametrize("group", ["certificate", "crypto", "crypto jwk"])
def test_the_help_of_a_group_runs_no_command_of_a_plugin(imports: Callable[..., set[str]], group: str) -> None:
    # Their modules are looked for, to be read; what every one of them imports first shows whether they were run.
    assert found_in(imports(*group.split(), "--help"), {"mica.cli.kit", "mica.cli.options"}) == set()


@pytest.mark.parametrize("arguments", [("version",), ("path",), ("completion", "bash"), ("context", "list")])
def test_what_asks_nobody_imports_nothing_that_is_slow(
    imports: Callable[..., set[str]], arguments: tuple[str, ...]
) -> None:
    modules = imports(*arguments)
    assert found_in(modules, SERVER | SLOW | {"mica.client", "stranger"}) == set()


def test_a_host_that_is_remembered_costs_every_ssh_nothing_that_is_slow(
    imports: Callable[..., set[str]], tmp_path: Path
) -> None:
    url = "https://ca.example"
    memory = Memory.read(tmp_path / "none/ssh/checked_hosts.json", url)
    memory.keep("build1.example", Verdict(known=True, at=datetime.now(UTC)))
    modules = imports("ssh", "check-host", "--ca-url", url, "build1.example")
    assert "mica.cli.ssh.reaching.hostmemory" in modules
    slow = (SLOW - {"json"}) | {"asyncssh", "mica.cli.ca", "mica.cli.ssh.asking"}
    assert found_in(modules, SERVER | slow | {"mica_sshpop", "stranger"}) == set()


def test_a_certificate_by_token_imports_no_server_and_no_plugin(
    imports: Callable[..., set[str]], service: Service, tmp_path: Path
) -> None:
    fingerprint = service.ca.root.fingerprint(service.ca.root.signature_hash_algorithm or pytest.fail()).hex()
    ott = token(service, "svc.example", sans=["svc.example"], sha=fingerprint)
    modules = imports("ca", "certificate", "--token", ott, "svc.example", tmp_path / "svc.crt", tmp_path / "svc.key")
    assert (tmp_path / "svc.crt").exists()
    assert found_in(modules, SERVER | {"mica_jwk", "mica_certtool", "stranger"}) == set()


def test_renewal_imports_no_server_and_no_plugin(
    imports: Callable[..., set[str]], service: Service, tmp_path: Path
) -> None:
    held = obtain(service, tmp_path, "svc.example")
    there = ("--ca-url", service.ca.url, "--root", service.root_file)
    modules = imports("ca", "renew", "--force", *there, held.certificate, held.key)
    assert found_in(modules, SERVER | {"mica_jwk", "mica_certtool", "stranger"}) == set()


def test_inspection_imports_its_own_plugin_alone(
    imports: Callable[..., set[str]], service: Service, tmp_path: Path
) -> None:
    held = obtain(service, tmp_path, "svc.example")
    modules = imports("certificate", "inspect", "--short", held.certificate)
    assert "mica_certtool" in modules
    assert found_in(modules, SERVER | (SLOW - {"cryptography", *THEIR_OWN}) | {"mica_jwk", "stranger"}) == set()


def test_a_plugin_that_is_taken_out_of_the_configuration_is_not_imported_by_the_next_workers(
    site: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    record.mkdir()
    ca = TestCA.found(tmp_path / "ca", port=free_port())
    without = (ca.directory / "ca.toml").read_text()
    enable(ca, "stranger")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RECORD", str(record))
        with served(ca, workers=2, site=site) as service:
            old = set(service.workers())
            assert all("stranger" in recorded(record)[pid] for pid in old)
            (ca.directory / "ca.toml").write_text(without)
            service.process.send_signal(signal.SIGHUP)
            new = _next_workers(service, old)
            modules = recorded(record)
            for pid in new:
                assert "mica_jwk" in modules[pid] and "mica.web.worker" in modules[pid]
                assert found_in(modules[pid], {"stranger", "mica_certtool", "mica.cli.ca", "mica.testing"}) == set()
            supervisor = modules[service.process.pid]
            assert found_in(supervisor, {"stranger", "mica_jwk", "mica_x509signer", "mica_storage_sqlite"}) == set()


def _next_workers(service: Service, old: set[int]) -> set[int]:
    """The workers of the next generation, when the old ones are gone."""
    for _ in range(600):
        workers = set(service.workers())
        if len(workers) == 2 and not workers & old:
            return workers
        time.sleep(0.05)
    raise AssertionError(service.log.read_text())
