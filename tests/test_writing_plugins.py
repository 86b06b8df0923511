"""docs/writing-plugins.md, followed from its first line to its last: every file written, every command typed.

``<!-- file: PATH -->`` before a block says that it is a file. Other Python is run, other TOML is compared with what the
commands have written. A ``console`` block is typed: ``$ `` begins a command, what follows comes back, ``…`` stands for
any text in a line and, alone in a line, for any lines. What ``<!-- keeps running -->`` begins runs until the next one.

The reader's ``pip`` is uv here, without an index: what the plugins need is installed already. Their port is the test's.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mica.testing.service import free_port

PAGE = Path(__file__).parents[1] / "docs/writing-plugins.md"
CORE = PAGE.parents[1] / "core/src/mica"
PATIENCE = 300.0
"""Seconds that one command may take."""
#: The whole provisioner, with its registration.
MOST_LINES = 60
_END = "[that was all]"
_BLOCK = re.compile(r"(?:<!-- (?:file: (\S+)|(keeps running)) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
_SCRIPT = """\
#!{python}
import sys
from importlib.metadata import entry_points

(point,) = entry_points(group="console_scripts", name={name!r})
sys.exit(point.load()())
"""
_PIP = """\
#!/bin/sh
shift
exec {uv} pip install --quiet --offline --no-deps --no-build-isolation --python {python} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of the page."""

    language: str
    text: str
    file: str = ""
    """Where its text belongs; empty where it is run."""
    keeps_running: bool = False

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """What is typed, and what the page says comes back, line by line."""
        for step in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, *expected = step.removesuffix("\n").split("\n")
            yield command, expected


def read(page: str) -> list[Block]:
    """The blocks of the page, in its order."""
    return [
        Block(language=language, text=text, file=file, keeps_running=bool(running))
        for file, running, language, text in _BLOCK.findall(page)
    ]


def came_back(expected: list[str], said: str) -> bool:
    """Whether ``said`` is what the page shows."""
    patterns = [
        "(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + " *\n" for line in expected
    ]
    return re.fullmatch("".join(patterns), said) is not None


class Reader:
    """Somebody who follows the page, in a folder, a virtual environment and a shell of their own."""

    def __init__(self, folder: Path) -> None:
        (work := folder / "work").mkdir()
        self._python = _environment(folder / "venv")
        # CI: pytest says more where it believes that nobody looks on.
        strange = ("BUILD_NUMBER", "CI", "MICA", "PYTEST", "PYTHON", "XDG")
        self._variables = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        self._variables |= {"HOME": str(folder), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._variables["PATH"] = f"{self._python.parent}:{os.environ['PATH']}"
        self._folder = work
        self._shell = subprocess.Popen(
            ["bash"], cwd=work, env=self._variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._server: subprocess.Popen[bytes] | None = None

    def follow(self, block: Block) -> None:
        """The block is done as the page says; fails when it is not."""
        if block.file:
            (path := self._folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python":
            subprocess.run([self._python, "-c", block.text], cwd=self._folder, env=self._variables, check=True)
        elif block.language == "console":
            for command, expected in block.steps():
                if block.keeps_running:
                    self._serve(command)
                else:
                    said = self._type(command)
                    shown = "\n".join(expected)
                    assert came_back(expected, said), f"$ {command}\n{said}\nbut the page says:\n{shown}"

    def close(self) -> None:
        """Nothing of it runs any more."""
        self._stop()
        self._shell.communicate(timeout=PATIENCE)

    @property
    def configuration(self) -> dict[str, Any]:
        """What ``ca.toml`` says."""
        return tomllib.loads((self._folder.parent / ".mica/ca.toml").read_text())

    def _type(self, command: str) -> str:
        """What comes back from ``command``, on both of its streams."""
        shell = self._shell
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '{_END}\\n'\n")
        shell.stdin.flush()
        said = ""
        (alarm := threading.Timer(PATIENCE, shell.kill)).start()
        for line in shell.stdout:
            said += line
            if said.endswith(f"{_END}\n"):
                alarm.cancel()
                return said.removesuffix(f"{_END}\n")
        raise AssertionError(f"the shell has ended:\n{said}")

    def _serve(self, command: str) -> None:
        self._stop()
        (log := self._folder / "ca.log").unlink(missing_ok=True)
        line = ["bash", "-c", f"exec {command}"]
        self._server = subprocess.Popen(line, cwd=self._folder, env=self._variables, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not (log.exists() and "serving" in log.read_text()):
            assert self._server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(timeout=PATIENCE)
            self._server = None


def _environment(folder: Path) -> Path:
    """The Python of a new virtual environment that has what this one has, and room for plugins of its own."""
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    outer = sysconfig.get_paths()["purelib"]
    (Path(paths["purelib"]) / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
    python = folder / "bin/python"
    scripts = {name: _SCRIPT.format(python=python, name=name) for name in ("mica", "pytest")}
    scripts["pip"] = _PIP.format(python=python, uv=shutil.which("uv", path=Path(sys.executable).parent))
    for name, text in scripts.items():
        (python.parent / name).write_text(text)
        (python.parent / name).chmod(0o755)
    return python


@pytest.fixture
def reader(tmp_path: Path, tool: Callable[[str], str]) -> Iterator[Reader]:
    """Somebody who has mica and nothing else."""
    for name in ("bash", "openssl"):
        tool(name)
    reader = Reader(tmp_path)
    yield reader
    reader.close()


def test_whoever_follows_the_page_gets_what_it_says(reader: Reader) -> None:
    page = re.sub(r"(localhost|127\.0\.0\.1):8443", rf"\1:{free_port()}", PAGE.read_text())
    tables = []
    for block in read(page):
        reader.follow(block)
        if block.language == "toml" and not block.file:
            tables.append(tomllib.loads(block.text))
    assert [table["provisioners"][0] in reader.configuration["provisioners"] for table in tables] == [True]


def test_no_block_is_overlooked() -> None:
    page = PAGE.read_text()
    blocks = read(page)
    assert page.count("```") == 2 * len(blocks)
    assert {block.language for block in blocks} == {"python", "toml", "console", "markdown"}
    assert all(block.file for block in blocks if block.language == "markdown")
    assert page.count("<!--") == sum(bool(block.file) or block.keeps_running for block in blocks)


def test_the_reasons_on_the_page_are_those_of_the_core() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| ", PAGE.read_text().partition("| the log says |")[2].partition("\n\n")[0], re.M
    )
    core = "".join((CORE / name).read_text() for name in ("authorization.py", "registry.py"))
    assert len(rows) == 5
    for row in rows:
        assert re.search(r"\{[^}]*\}".join(map(re.escape, row.split("…"))), core), row


def test_the_provisioner_is_short() -> None:
    (plugin,) = (block for block in read(PAGE.read_text()) if block.file == "badge/src/mica_badge/plugin.py")
    assert len(plugin.text.splitlines()) <= MOST_LINES
    assert "def register_provisioners" in plugin.text


def test_what_a_page_gets_wrong_is_noticed() -> None:
    (block,) = read("```console\n$ echo one; echo two\none\n…\nthree\n```\n")
    ((command, expected),) = block.steps()
    assert command == "echo one; echo two"
    assert came_back(expected, "one\nand\nthree\n")
    assert not came_back(expected, "one\ntwo\n")
