"""The units, the recipes and the container: what they name exists, and what they run does what they say."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from mica.cli.shell import root
from mica.testing.ca import TestCA
from mica.testing.exchange import obtain
from mica.testing.service import Service, free_port, served
from mica.testing.sshd import HostFiles, Sshd

PROJECT = Path(__file__).parents[1]
UNITS = ["mica-ca.service", "mica-renew@nginx.service", "cert-renewer@nginx.service", "cert-renewer@nginx.timer",
         "cert-renewer.target", "mica-ssh-host.service", "mica-ssh-host.timer"]  # fmt: skip
CONTAINER, CRON = PROJECT / "examples/container", PROJECT / "examples/cron/mica-renew"
SSH_HOST = PROJECT / "examples/cron/mica-ssh-host"
RENDER = PROJECT / "examples/systemd/render.sh"
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # prctl(2), Linux 6.3


@pytest.fixture(scope="module")
def mica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, as a file whose path a unit can have."""
    command = tmp_path_factory.mktemp("bin") / "mica"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mica.cli "$@"\n')
    command.chmod(0o755)
    return command


def render(target: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    return subprocess.run(
        [str(RENDER), str(target)], env=plain | settings, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory, mica: Path) -> Path:
    """The rendered units."""
    target = tmp_path_factory.mktemp("units")
    paths = {"MICAPATH": "/var/lib/mica", "CERTS": "/etc/mica/certs", "PASSWORD": "/etc/mica/pw"}
    done = render(target, MICA=str(mica), SSH_HOST=str(shutil.copy(SSH_HOST, mica.parent)), **paths)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


def words_of_mica(words: list[str]) -> list[str]:
    """The command among ``words``, with its arguments, when mica has all of its flags; fails otherwise."""
    command: click.Command = root()
    context = click.Context(command, info_name="mica")
    rest = iter(words)
    while isinstance(command, click.Group):
        found = command.get_command(context, next(rest))
        assert found is not None, words
        command, context = found, click.Context(found, parent=context, **found.context_settings)
    arguments = list(rest)
    command.make_parser(context).parse_args(list(arguments))
    return arguments


def commands_in(text: str) -> Iterator[list[str]]:
    """What stands behind ``mica`` in the lines of ``text``, up to where the shell ends the command."""
    for line in re.findall(r"(?:^|[ /;])mica ((?:ca|certificate|ssh) [a-z-]+(?: [^\n]*)?)", text, re.MULTILINE):
        lexer = shlex.shlex(line.replace("\\%", "%"), posix=True, punctuation_chars="|;&>")
        lexer.whitespace_split = True
        words = list(lexer)
        end = next((n for n, word in enumerate(words) if set(word) <= set("|;&>") or word == "2"), len(words))
        yield words[:end]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(units: Path, name: str, tool: Callable[[str], str]) -> None:
    command = [tool("systemd-analyze"), "verify", "--man=no", str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = [line for line in done.stderr.splitlines() if name.partition("@")[0] in line]
    assert done.returncode == 0, done.stderr
    assert told == []


def test_the_ca_may_do_little(units: Path, tool: Callable[[str], str]) -> None:
    """An exposure of 1.5 where 10 is the whole machine; what is left are the network and the user's name."""
    command = [tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager"]
    done = subprocess.run([*command, str(units / "mica-ca.service")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rendered_units_are_complete_and_their_commands_exist(units: Path, mica: Path) -> None:
    seen = []
    for unit in sorted(units.iterdir()):
        text = unit.read_text()
        assert not re.search(r"@[A-Z_]+@", text), unit
        for words in commands_in(re.sub("#.*", "", text).replace(f"={mica}", " mica")):
            seen.append(words[:2])
            words_of_mica(words)
    assert ["ca", "serve"] in seen
    assert ["certificate", "needs-renewal"] in seen
    assert seen.count(["ca", "renew"]) == 2


def test_homes_stay_visible_only_where_something_lies_there(tmp_path: Path) -> None:
    assert render(tmp_path / "a", MICA="/usr/bin/mica").returncode == 0
    assert "ProtectHome=yes" in (tmp_path / "a/mica-ca.service").read_text()
    assert render(tmp_path / "b", MICA="/home/ca/venv/bin/mica").returncode == 0
    assert "ProtectHome=read-only" in (tmp_path / "b/mica-ca.service").read_text()


@pytest.mark.parametrize("path", ["/opt/my programs/mica", "bin/mica", "/opt/100%/mica", "/opt/a|b"])
def test_a_path_that_a_unit_would_misread_is_refused(tmp_path: Path, path: str) -> None:
    done = render(tmp_path / "units", MICA=path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"render.sh: {path}: ")
    assert not (tmp_path / "units").exists()


def test_the_ca_serves_without_memory_that_is_both_written_and_run(tmp_path: Path) -> None:
    """What MemoryDenyWriteExecute= forbids it."""
    probe = subprocess.run([sys.executable, "-c", _under_mdwe("sys.exit(0)")], timeout=30, check=False)
    if probe.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    ca = TestCA.found(tmp_path, port=free_port())
    log = (tmp_path / "log").open("wb")
    arguments = [sys.executable, "-m", "mica.cli", "ca", "serve", str(ca.directory / "ca.toml"), "--workers", "1"]
    code = _under_mdwe(f"os.execv({arguments[0]!r}, {arguments!r})")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=log)
    health = [sys.executable, "-m", "mica.cli", "ca", "health", "--ca-url", ca.url, "--root", "certs/root_ca.crt"]
    try:
        for _ in range(40):
            done = subprocess.run(health, cwd=ca.directory, capture_output=True, timeout=30, check=False)
            if done.returncode == 0:
                break
        assert done.returncode == 0, (tmp_path / "log").read_text()
    finally:
        process.terminate()
        process.wait(70)
        log.close()


def _under_mdwe(statement: str) -> str:
    call = f"ctypes.CDLL(None).prctl({_PR_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0)"
    return f"import ctypes, os, sys\nif {call}: sys.exit(77)\n{statement}"


def test_the_line_for_cron_renews_what_is_due_and_is_silent(service: Service, mica: Path, tmp_path: Path) -> None:
    (line,) = (line for line in CRON.read_text().splitlines() if re.match(r"[0-9*]", line))
    command = line.split(maxsplit=6)[6].replace("\\%", "%")  # as crontab(5) has it
    command = command.replace("/etc/mica/certs/", "").replace("-i 0-300", "-i 0-0")
    (tmp_path / "nginx").write_text("#!/bin/sh\necho reloaded >>told\n")
    (tmp_path / "nginx").chmod(0o755)
    environment = {
        "PATH": f"{mica.parent}:{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "MICA_NON_INTERACTIVE": "1",
        "MICA_CA_URL": service.ca.url, "MICA_ROOT": str(service.root_file),
    }  # fmt: skip

    def run(command: str = command) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        return done.stdout + done.stderr

    def keep() -> bytes:
        made = obtain(service, tmp_path, "nginx.example")
        made.certificate.replace(tmp_path / "nginx.crt")
        made.key.replace(tmp_path / "nginx.key")
        return (tmp_path / "nginx.crt").read_bytes()

    fresh = keep()
    assert run() == ""
    assert (tmp_path / "nginx.crt").read_bytes() == fresh
    assert not (tmp_path / "told").exists()
    assert run(command.replace("67%", "0.01%")) == ""
    assert (tmp_path / "nginx.crt").read_bytes() != fresh
    assert (tmp_path / "told").read_text() == "reloaded\n"
    (tmp_path / "nginx.key").write_text("")
    assert "error: nginx.key: the file is empty" in run()


@pytest.fixture
def host(tool: Callable[[str], str], tmp_path: Path) -> HostFiles:
    """An SSH host with a key, and a certificate that a CA of ssh-keygen's has made for it."""
    (tmp_path / "ssh").mkdir()
    files = HostFiles(folder=tmp_path / "ssh")
    keygen = [tool("ssh-keygen"), "-q"]
    for key in (files.key(), tmp_path / "ca"):
        subprocess.run([*keygen, "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = files.key().with_name(f"{files.keys[0]}.pub")
    subprocess.run([*keygen, "-s", tmp_path / "ca", "-I", "host", "-h", "-n", "host.example", public], check=True)
    return files


def keep_certified(host: HostFiles, *arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The script has run as by cron: in no terminal, with nothing but its settings. Where the CA is, nobody knows."""
    usual = {"MICAPATH": str(host.folder), "SSH_FOLDER": str(host.folder), "PID_FILE": str(host.folder / "sshd.pid")}
    return subprocess.run(
        [SSH_HOST, *arguments], env=usual | settings, cwd="/", capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, start_new_session=True, check=False,
    )  # fmt: skip


def test_the_script_for_ssh_hosts_is_plain_sh_and_says_what_it_can_be_told(host: HostFiles) -> None:
    for shell in ("sh", "bash --posix"):
        assert subprocess.run([*shell.split(), "-n", SSH_HOST], check=False).returncode == 0
    head, code = SSH_HOST.read_text().split("set -eu\n")
    settings = dict(re.findall(r"^#     ([A-Z_]+)  .*  (\S+)$", head, re.MULTILINE))
    used = dict(re.findall(r"\$\{([A-Z_]+):?-([^}]+)\}", code))
    assert {name: value.replace("$folder", "$SSH_FOLDER") for name, value in used.items()} == settings
    done = keep_certified(host, "--help")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: mica-ssh-host [CERTIFICATE...]\n")


def test_a_host_without_certificates_has_nothing_to_do(host: HostFiles, mica: Path) -> None:
    host.certificate().unlink()
    done = keep_certified(host, MICA=str(mica), KRL="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_is_no_certificate_by_its_name_is_told(host: HostFiles, mica: Path) -> None:
    done = keep_certified(host, host.key(), MICA=str(mica), KRL="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mica-ssh-host: {host.key()}: the name of a host certificate ends in -cert.pub")


def test_a_list_that_cannot_be_fetched_leaves_the_old_one_alone(host: HostFiles, mica: Path) -> None:
    host.certificate().unlink()
    host.krl.write_bytes(b"the old list")
    before = sorted(host.folder.iterdir())
    done = keep_certified(host, MICA=str(mica))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mica-ssh-host: ")
    assert host.krl.read_bytes() == b"the old list"
    assert sorted(host.folder.iterdir()) == before


def test_sshd_is_told_once_of_a_certificate_that_it_has_not_read(host: HostFiles, mica: Path) -> None:
    """Whoever renewed it, and also while the CA does not answer."""

    def run() -> None:
        done = keep_certified(host, MICA=str(mica), KRL="")
        assert (done.returncode, done.stdout, done.stderr.count("mica-ssh-host: ")) == (1, "", 1), done

    with Sshd(host) as sshd:
        run()
        assert "SIGHUP" not in sshd.log
        host.certificate().touch()
        with sshd.reloading():
            run()
        run()
        assert sshd.log.count("Received SIGHUP; restarting.") == 1


def test_sshd_is_not_told_to_read_a_configuration_that_has_a_fault(host: HostFiles, mica: Path) -> None:
    with Sshd(host) as sshd:
        sshd.config.write_text(sshd.config.read_text() + "NoSuchOption yes\n")
        host.certificate().touch()
        done = keep_certified(host, MICA=str(mica), KRL="")
        assert "Bad configuration option: NoSuchOption" in done.stderr
        assert done.stderr.endswith("mica-ssh-host: sshd is not reloaded\n")
        assert "SIGHUP" not in sshd.log


def test_another_process_with_the_number_of_an_sshd_that_died_is_let_alone(host: HostFiles, mica: Path) -> None:
    (host.folder / "sshd.pid").write_text(f"{os.getpid()}\n")  # SIGHUP would end it
    host.certificate().touch()
    done = keep_certified(host, MICA=str(mica), KRL="")
    assert (done.returncode, done.stderr.count("mica-ssh-host: ")) == (1, 1)


def test_every_command_in_the_recipes_and_in_the_page_exists_with_its_flags() -> None:
    found = []
    pages = (PROJECT / "docs/renewal.md", PROJECT / "docs/ssh.md")
    for path in (CRON, SSH_HOST, CONTAINER / "compose.yaml", *pages):
        text = re.sub(r"`([^`]*)`", r"\n\1\n", path.read_text()).replace('"$mica"', "mica")
        for words in commands_in(text.replace("renewer ca ", "mica ca ").replace("--rm ca ca ", "mica ca ")):
            found.append(words)
            words_of_mica(words)
    assert len(found) > 15


def _instructions() -> list[tuple[str, str]]:
    text = (CONTAINER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_dockerfile_names_only_what_exists() -> None:
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    instructions = _instructions()
    assert {name for name, _ in instructions} <= known
    copied = [words.split()[:-1] for name, words in instructions if name == "COPY" and "--from" not in words]
    assert [source for sources in copied for source in sources if not (PROJECT / source).exists()] == []
    for name, words in instructions:
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", words], check=False).returncode == 0
            for program in re.findall(r"(?:^|&& )\s*([a-z]+) ", words):
                assert program == "python" or shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"), program
    (pip,) = (words for name, words in instructions if name == "RUN" and "pip install" in words)
    installed = [path for word in pip.split() if word.startswith("./") for path in PROJECT.glob(word[2:])]
    assert all((folder / "pyproject.toml").exists() for folder in installed if folder.is_dir())
    assert PROJECT / "core" in installed
    assert PROJECT / "plugins/x509signer" in installed


def test_the_container_runs_as_nobody_special_and_what_it_runs_exists() -> None:
    last = dict(_instructions())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["ENTRYPOINT"] == '["mica"]'
    assert words_of_mica(re.findall(r'"([^"]+)"', last["CMD"])) == ["--password-file", "/run/secrets/ca-password"]
    images = [words.split()[0] for name, words in _instructions() if name == "FROM"]
    assert not any("/" in image for image in images)


def test_the_health_check_of_the_container_tells_a_ca_that_is_well_from_one_that_is_not(
    service: Service, mica: Path, tmp_path: Path
) -> None:
    def check(folder: Path) -> int:
        environment = {"PATH": f"{mica.parent}:/usr/bin:/bin", "MICAPATH": str(folder)}
        command = [str(CONTAINER / "healthcheck")]
        return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode

    assert check(service.ca.directory) == 0
    assert check(TestCA.found(tmp_path / "away", port=free_port()).directory) != 0
    assert check(tmp_path / "nowhere") != 0
