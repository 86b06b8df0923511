"""``mica completion``: real shells, in a real pseudo-terminal, complete what a user has begun to type."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

#: Answers the shell's questions, and shows every other command line instead of running it.
MICA = """#!/bin/sh
if [ "$1" = completion ]; then
    exec {python} -m mica.cli "$@"
fi
printf 'ran:'; printf '<%s>' "$@"; echo .
"""
START = {
    "bash": ("bash --norc --noprofile -i", "bind 'set enable-bracketed-paste off'; source ./script"),
    "zsh": ("zsh -f -i", "autoload -Uz compinit; compinit -u -d ./dump; source ./script"),
    "fish": ("fish --no-config -i", "source ./script"),
}
SHELLS = pytest.mark.parametrize("shell", START)

Complete = Callable[[str, str], str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Two contexts, a broken file of defaults, a file in the working directory, and ``mica`` on the PATH."""
    home = tmp_path / "mica"
    (home / "contexts").mkdir(parents=True)
    contexts = {name: {"authority": "ca.example", "profile": name} for name in ("harbour", "quay@north:1")}
    (home / "contexts" / "contexts.json").write_text(json.dumps(contexts))
    (home / "defaults.json").write_text("{ this is no JSON")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "leaflet.crt").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mica").write_text(MICA.format(python=sys.executable))
    (tmp_path / "bin" / "mica").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    return {
        **plain,
        "PATH": f"{tmp_path / 'bin'}:{plain['PATH']}",
        "MICAPATH": str(home),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "TERM": "xterm",
        "PYTHONWARNINGS": "always",
    }


@pytest.fixture
def complete(tmp_path: Path, environment: dict[str, str]) -> Iterator[Complete]:
    """What the shell runs when the text is typed, where each tabulator asks it to complete."""
    children = []

    def complete(shell: str, typed: str) -> str:
        if shutil.which(shell) is None:
            if os.environ.get("MICA_REQUIRE_ALL"):
                pytest.fail(f"{shell} is not installed")
            pytest.skip(f"{shell} is not installed")
        command, start = START[shell]
        script = subprocess.run(["mica", "completion", shell], env=environment, capture_output=True, check=True)
        (tmp_path / "work" / "script").write_bytes(script.stdout)
        child = pexpect.spawn(
            command, cwd=tmp_path / "work", env=environment, encoding="utf-8", timeout=30, dimensions=(50, 200)
        )
        children.append(child)
        child.sendline(f"{start}; printf 'set%s\\n' up")
        child.expect("setup")
        child.send(typed)
        child.send("\r")
        child.expect(r"ran:(.*?)\.\r?\n")
        match = child.match
        assert match is not None and not isinstance(match, int | type)
        return str(match.group(1))

    yield complete
    for child in children:
        child.close(force=True)


def ask(environment: dict[str, str], *words: str) -> list[list[str]]:
    """What a shell would be told: kind, word and help of each candidate."""
    told = subprocess.run(
        [sys.executable, "-m", "mica.cli", "completion", "zsh", "--", *words],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.split("\t") for line in told.stdout.splitlines()]


@SHELLS
def test_a_command_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica ca hea\t") == "<ca><health>"


@SHELLS
def test_a_command_of_another_distribution_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica certificate insp\t") == "<certificate><inspect>"


@SHELLS
def test_a_flag_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica ca health --ca-u\t x") == "<ca><health><--ca-url><x>"


@SHELLS
def test_a_value_is_completed_beside_its_flag(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica ca certificate --kty R\t") == "<ca><certificate><--kty><RSA>"


@SHELLS
def test_a_value_is_completed_in_the_word_of_its_flag(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica ca certificate --kty=R\t") == "<ca><certificate><--kty=RSA>"


@SHELLS
def test_a_file_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica certificate inspect leafl\t") == "<certificate><inspect><leaflet.crt>"
    assert complete(shell, "mica ca health --root leafl\t") == "<ca><health><--root><leaflet.crt>"
    assert complete(shell, "mica ca health --root=leafl\t") == "<ca><health><--root=leaflet.crt>"


@SHELLS
def test_the_name_of_a_context_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica ca health --context ha\t") == "<ca><health><--context><harbour>"
    assert complete(shell, "mica context select har\t") == "<context><select><harbour>"


@SHELLS
def test_a_name_with_letters_at_which_shells_part_words_is_completed(complete: Complete, shell: str) -> None:
    assert complete(shell, "mica context select qu\t") == "<context><select><quay@north:1>"
    assert complete(shell, "mica context select quay@no\t") == "<context><select><quay@north:1>"


def test_help_is_given_with_commands_and_flags(environment: dict[str, str]) -> None:
    assert ["plain", "bootstrap", "Make this machine trust a CA."] in ask(environment, "ca", "boot")
    assert [word for _, word, *_ in ask(environment, "ca", "health", "--no-c")] == ["--no-color"]
    assert ask(environment, "help", "ca", "provi") == [["plain", "provisioner"]]


def test_nothing_of_a_mistake_reaches_the_shell(environment: dict[str, str]) -> None:
    environment["MICA_KTY"] = "nonsense"
    assert ask(environment, "nothing", "at", "all", "") != []
    assert ask(environment, "ca", "health", "--nothing") == []
    assert ask(environment, "ca", "certificate", "--not-after", "nonsense", "--siz") != []
    (Path(environment["MICAPATH"]) / "contexts" / "contexts.json").write_text("[]")
    assert ask(environment, "ca", "health", "--context", "") == [["file"]]


def test_completing_the_commands_of_a_group_imports_none_of_them(environment: dict[str, str]) -> None:
    program = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for words in (["ca", ""], ["certificate", ""], [""]):
        ran = subprocess.run(
            [sys.executable, "-c", program, "completion", "zsh", "--", *words],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        loaded = set(ran.stderr.split())
        assert not loaded & {"cryptography", "mica.client", "mica_certtool", "mica.cli.ca.trust", "asyncio", "ssl"}
