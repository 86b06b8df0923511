"""What is pinned is what runs, or nothing runs: every other state of an installation is refused, and says why."""

import os
import py_compile
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from core.tests.cli_plugins.distributions import GOOD, install_recorded, pin_of, record

from mica.testing.ca import TestCA
from mica.testing.plugins import enable
from mica.testing.service import free_port, served

AGAIN = "install it again"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def check(ca: TestCA, site: Path) -> "subprocess.CompletedProcess[str]":
    """What ``mica ca check`` says where ``site`` is on Python's path."""
    command = [sys.executable, "-m", "mica.cli", "ca", "check", str(ca.directory / "ca.toml")]
    environment = os.environ | {"PYTHONPATH": str(site), "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def cached(site: Path) -> Path:
    """The file into which Python has compiled the package's ``__init__``."""
    return Path(str(py_compile.compile(str(site / "harbour/__init__.py"), doraise=True)))


def test_a_plugin_that_is_what_its_pin_says_is_enabled(ca: TestCA, site: Path) -> None:
    enable(ca, install_recorded(site, rules="LIMIT = 3\n"))
    done = check(ca, site)
    assert done.returncode == 0, done.stderr
    assert "refuse_x509: harbour" in done.stderr


def test_what_python_compiled_of_a_pinned_plugin_does_not_matter(ca: TestCA, site: Path) -> None:
    enable(ca, install_recorded(site))
    assert cached(site).is_file()
    assert check(ca, site).returncode == 0


def edit(site: Path) -> None:
    (site / "harbour/__init__.py").write_text(GOOD + "# edited\n")


def edit_of_the_same_length(site: Path) -> None:
    (site / "harbour/__init__.py").write_text(GOOD.replace("None", "''  "))


def loss(site: Path) -> None:
    (site / "harbour/rules.py").unlink()


def addition(site: Path) -> None:
    (site / "harbour/late.py").write_text("")


def package_in_the_place_of_a_module(site: Path) -> None:
    (site / "harbour/rules").mkdir()
    (site / "harbour/rules/__init__.py").write_text("")


def extension_in_the_place_of_a_module(site: Path) -> None:
    (site / "harbour/rules.abi3.so").write_bytes(b"\x7fELF")


def replaced_record(site: Path) -> None:
    edit(site)
    record(site, "harbour")


def record_without_digests(site: Path) -> None:
    file = site / "harbour-1.0.dist-info/RECORD"
    file.write_text("\n".join(line.split(",")[0] + ",," for line in file.read_text().splitlines()))


def no_record(site: Path) -> None:
    (site / "harbour-1.0.dist-info/RECORD").unlink()


def editable(site: Path) -> None:
    (site / "_harbour.pth").write_text("/elsewhere\n")
    record(site, "harbour")


def compiled_file_of_another(site: Path) -> None:
    cache = cached(site)
    octets = cache.read_bytes()
    source = site / "harbour/__init__.py"
    status = source.stat()
    source.write_text(GOOD.replace("None", "''  "))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    cache.unlink()
    cached(site)  # of what has as many octets and the same time: Python will take it for the source's
    assert cache.read_bytes() != octets
    source.write_text(GOOD)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("spoil", "complaint", "remedy"),
    [
        (edit, "harbour/__init__.py has been changed", AGAIN),
        (edit_of_the_same_length, "harbour/__init__.py has been changed", AGAIN),
        (loss, "harbour/rules.py is missing", AGAIN),
        (addition, "harbour/late.py is not in RECORD", AGAIN),
        (package_in_the_place_of_a_module, "harbour/rules/__init__.py is not in RECORD", AGAIN),
        (extension_in_the_place_of_a_module, "harbour/rules.abi3.so is not in RECORD", AGAIN),
        (replaced_record, "not the pinned one", AGAIN),
        (record_without_digests, "not the pinned one", AGAIN),
        (no_record, "has no RECORD", "remove its pin"),
        (editable, "installed editable", "without -e"),
        (compiled_file_of_another, "is not what __init__.py compiles to", "delete it"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_not_what_the_pin_says_is_refused_with_place_and_remedy(
    ca: TestCA, site: Path, spoil: Callable[[Path], None], complaint: str, remedy: str
) -> None:
    enable(ca, install_recorded(site, rules="LIMIT = 3\n"))
    spoil(site)
    done = check(ca, site)
    assert done.returncode == 5
    assert 'plugins: "harbour" (harbour 1.0):' in done.stderr
    assert complaint in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr


def test_a_record_without_digests_cannot_be_pinned_either(ca: TestCA, site: Path) -> None:
    install_recorded(site)
    record_without_digests(site)
    enable(ca, pin_of(site, "harbour"))
    assert "harbour/__init__.py has no digest in RECORD" in check(ca, site).stderr


def test_a_module_of_the_name_that_python_finds_first_is_refused(ca: TestCA, site: Path, tmp_path: Path) -> None:
    enable(ca, install_recorded(site))
    first = tmp_path / "first"
    first.mkdir()
    (first / "harbour.py").write_text("raise SystemExit('imported')")
    done = check(ca, Path(f"{first}{os.pathsep}{site}"))
    assert done.returncode == 5
    assert f"Python finds harbour at {first / 'harbour.py'}" in done.stderr


def test_a_plugin_that_is_not_what_its_pin_says_is_not_imported(ca: TestCA, site: Path, tmp_path: Path) -> None:
    enable(ca, install_recorded(site))
    (site / "harbour/__init__.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    assert check(ca, site).returncode == 5
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("pin", ["harbour@", "harbour@sha256:", "harbour@md5:00", "harbour@sha256:" + "0" * 63,
                                 "harbour@sha256:" + "A" * 64, "harbour@sha256:" + "0" * 64 + "\\n", "@@"])  # fmt: skip
def test_what_is_no_pin_is_refused_and_never_ignored(ca: TestCA, site: Path, pin: str) -> None:
    install_recorded(site)
    enable(ca, pin)
    done = check(ca, site)
    assert done.returncode == 5
    assert "must be NAME or NAME@sha256:<64 digits 0-9a-f>; mica plugin list prints the pin" in done.stderr


def test_a_plugin_is_listed_once_pinned_or_not(ca: TestCA, site: Path) -> None:
    pinned = install_recorded(site)
    enable(ca, "harbour", pinned)
    assert 'plugins: "harbour" is listed twice' in check(ca, site).stderr


def test_a_pinned_plugin_of_our_own_works_for_every_command_that_reads_plugins(
    ca: TestCA, site: Path, tmp_path: Path
) -> None:
    enable(ca, install_recorded(site))
    pinned = (ca.directory / "ca.toml").read_text()
    environment = os.environ | {"PYTHONPATH": str(site), "MICAPATH": str(ca.directory)}

    def mica(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "mica.cli", *arguments], env=environment, check=True, timeout=60)

    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "k"], cwd=tmp_path)
    subprocess.run(["openssl", "ec", "-in", "k", "-pubout", "-out", "pub.pem"], cwd=tmp_path, capture_output=True)
    mica("ca", "provisioner", "add", "crane", "--public-key", str(tmp_path / "pub.pem"))
    (tmp_path / "password").write_text("secret\n")
    mica("ca", "enable-ssh", "--password-file", str(tmp_path / "password"))
    mica("ca", "check", "--password-file", str(tmp_path / "password"))
    changed = (ca.directory / "ca.toml").read_text()
    assert next(line for line in pinned.splitlines() if "@sha256" in line)[:-1] in changed
    assert 'name = "crane"' in changed


def test_the_server_starts_with_its_pins_and_a_reload_keeps_what_runs_when_they_do_not_hold(
    tmp_path: Path, site: Path
) -> None:
    ca = TestCA.found(tmp_path / "ca", port=free_port())
    enable(ca, install_recorded(site))
    with served(ca, workers=2, site=site) as service:
        before = set(service.workers())
        edit(site)
        service.process.send_signal(signal.SIGHUP)
        wait_for(service.log, "harbour/__init__.py has been changed")
        assert set(service.workers()) == before
        (site / "harbour/__init__.py").write_text(GOOD)
        service.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while before & set(service.workers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not before & set(service.workers())
    edit(site)
    with pytest.raises(RuntimeError, match="has been changed"), served(ca, workers=2, site=site):
        pass


def wait_for(log: Path, text: str) -> None:
    """The log says ``text``."""
    deadline = time.monotonic() + 30
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
