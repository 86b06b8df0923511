"""docs/basic-operations.md, typed line by line into real terminals, and what comes back compared with the page.

A code block of the language ``console`` is a transcript. ``<!-- terminal: NAME -->`` before it says in which terminal
it is typed; without it, in the last one. ``$ `` begins what is typed, and ``> `` its further lines. What stands after a
question is its answer; after a question for a password stands nothing. ``…`` stands for any text in a line, and alone
in a line for any lines. ``^C`` ends what runs; what keeps running is ended so when its terminal is used again.

The page's ports and its OpenID provider are replaced by the test's; somebody signs in whose browser is curl.
"""

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pexpect
import pytest

from mica.testing.agents import SOCKET, ssh_agent
from mica.testing.service import free_port
from mica.testing.signins import CLIENT_ID, SignInProvider, sign_in_provider
from mica.testing.sshd import account, find

PAGE = Path(__file__).parents[1] / "docs/basic-operations.md"
PROMPT = "[the shell is ready]"
PATIENCE = 60.0
"""Seconds that one command may take."""
#: What is typed unseen, by the first label that fits.
SECRETS = {
    "provisioner": "the password of the provisioner",
    "decrypt foo.key": "the password of a key",
    "encrypt the private key": "the password of a key",
    "": "the password of the CA keys",
}
_BLOCK = re.compile(r"(?:<!-- terminal: (\w+)(, keeps running)? -->\n)?```console\n(.*?)```", re.DOTALL)
_ASKED = re.compile(r"^(?:(\? .*: )|(?:Please enter|The same) .*: )\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command line of the page, and what it says comes back."""

    terminal: str
    command: str
    expected: tuple[str, ...]
    keeps_running: bool

    @property
    def endless(self) -> bool:
        """Whether it runs until Ctrl-C."""
        return self.keeps_running or self.expected[-1:] == ("^C",)

    def answer(self, question: str) -> str:
        """What the page answers."""
        answers = [line.removeprefix(question) for line in self.expected if line.startswith(question)]
        assert answers, f"$ {self.command}\nasks {question!r}, and the page has no answer"
        return answers[0]

    def came_back(self, said: str) -> bool:
        """Whether ``said`` is what the page shows."""
        lines = [line for line in self.expected if line != "^C"]
        patterns = [
            "(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + " *\n" for line in lines
        ]
        return re.fullmatch("".join(patterns), said) is not None


def read(page: str) -> list[Step]:
    """What the page types, in its order."""
    found: list[Step] = []
    terminal = ""
    for name, running, body in _BLOCK.findall(page):
        terminal = name or terminal
        for text in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            first, *more = text.removesuffix("\n").split("\n")
            continued = list(takewhile(lambda line: line.startswith("> "), more))
            command = "\n".join([first, *(line.removeprefix("> ") for line in continued)])
            expected = more[len(continued) :]
            step = Step(terminal=terminal, command=command, expected=tuple(expected), keeps_running=bool(running))
            found.append(step)
    return found


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        options = ["--norc", "--noprofile", "--noediting"]
        self._shell = pexpect.spawn(
            "bash", options, cwd=str(folder), env=environment, encoding="utf-8", timeout=PATIENCE, dimensions=(50, 250)
        )
        self._secret, self._runs = "", False
        self._shell.sendline(f"stty -echo; PS2=; PS1='{PROMPT}'")
        self._shell.expect(f"PS1=.*{re.escape(PROMPT)}.*{re.escape(PROMPT)}")

    def type(self, step: Step) -> str:
        """What came back from the command of ``step``, with the answers that it gives."""
        if self._runs:
            self._interrupt()
        self._shell.sendline(step.command)
        said, deadline = "", time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(pexpect.TIMEOUT):
                said += self._shell.read_nonblocking(4096, timeout=0.2).replace("\r", "")
            if said.endswith(PROMPT):
                return said.removesuffix(PROMPT)
            if step.endless and step.came_back(said):
                break
            if asked := _ASKED.search(said):
                said += self._reply(asked[0], step.answer(asked[1]) if asked[1] else None)
        self._runs = step.keeps_running
        return said if self._runs else said + self._interrupt()

    def close(self) -> None:
        """Nothing of it runs any more."""
        if self._runs:
            self._interrupt()
        self._shell.close(force=True)

    def _reply(self, asked: str, answer: str | None) -> str:
        """``answer``, or the secret that is asked for, is typed; what of it is on the screen."""
        if answer is not None:
            self._shell.sendline(answer)
            return f"{answer}\n"
        if not asked.startswith("The same"):
            self._secret = next(secret for label, secret in SECRETS.items() if label in asked)
        self._shell.sendline(self._secret)
        return ""

    def _interrupt(self) -> str:
        self._shell.sendintr()
        self._shell.expect_exact(PROMPT)
        return ""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with an ``ssh`` that has its files in ``$HOME``: the real one looks for its owner's home elsewhere."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/config").touch(0o600)
    files = f"Include {tmp_path}/.ssh/config\nMatch all\nUserKnownHostsFile {tmp_path}/.ssh/known_hosts\n"
    (tmp_path / "ssh_config").write_text(f"{files}GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n")
    (folder := tmp_path / "programs").mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {find("ssh")} -F {tmp_path}/ssh_config "$@"\n')
    (folder / "ssh").chmod(0o755)
    return folder


@pytest.fixture
def agent() -> Iterator[Path]:
    """The socket of an SSH agent that holds nothing."""
    with ssh_agent() as running:
        yield running.socket


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[SignInProvider]:
    """An OpenID provider, and in ``tmp_path`` its root, and a browser in which somebody signs in there."""
    with sign_in_provider(tmp_path) as running:
        (browser := tmp_path / "browser").write_text(f'#!/bin/sh\nexec curl -sL --cacert {running.root} "$1"\n')
        browser.chmod(0o755)
        yield running


@pytest.fixture
def terminals(
    tmp_path: Path, programs: Path, agent: Path, provider: SignInProvider, tool: Callable[[str], str]
) -> Iterator[Callable[[str], Terminal]]:
    """The terminals of one person at one machine: one home, one folder to work in, one SSH agent, one browser."""
    tool("bash")
    tool("curl")
    strange = ("MICA", "NO_COLOR", "SSH_", "WAYLAND")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    environment |= {"HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1", "TZ": "UTC", SOCKET: str(agent)}
    environment |= {"USER": account(), "SOURCES": str(PAGE.parents[1])}
    # The system's roots are those that OpenSSL finds: here the provider's own.
    environment |= {"DISPLAY": ":99", "BROWSER": str(tmp_path / "browser"), "SSL_CERT_FILE": str(provider.root)}
    environment["PATH"] = f"{programs}:{Path(sys.executable).parent}:{environment['PATH']}"
    opened: dict[str, Terminal] = {}

    def terminal(name: str) -> Terminal:
        if name not in opened:
            (tmp_path / name).mkdir()
            opened[name] = Terminal(tmp_path / name, environment)
        return opened[name]

    yield terminal
    for one in opened.values():
        one.close()


def test_every_line_does_what_the_page_says(terminals: Callable[[str], Terminal], provider: SignInProvider) -> None:
    page = re.sub(r"(localhost|\): 127\.0\.0\.1):8443", rf"\1:{free_port()}", PAGE.read_text())
    page = page.replace("2222", str(free_port())).replace("/usr/sbin/sshd", find("sshd"))
    page = page.replace("https://login.harbour.example", provider.url)
    page = re.sub(r"(--client-id |client: |\"aud\": \")mica\b", rf"\1{CLIENT_ID}", page)
    for step in read(page):
        said = terminals(step.terminal).type(step)
        assert step.came_back(said), f"$ {step.command}\n{said}\nbut the page says:\n" + "\n".join(step.expected)
    assert len(provider.requests("/authorize")) == 2


def test_no_transcript_is_overlooked() -> None:
    page = PAGE.read_text()
    assert page.count("```") == 2 * page.count("```console\n") == 2 * len(_BLOCK.findall(page))
    assert len(read(page)) == len(re.findall(r"^\$ ", page, re.MULTILINE)) > 20


def test_a_page_that_is_wrong_is_noticed(terminals: Callable[[str], Terminal]) -> None:
    (step,) = read("<!-- terminal: any -->\n```console\n$ echo one; echo two\none\n…\nthree\n```\n")
    said = terminals("any").type(step)
    assert said == "one\ntwo\n"
    assert not step.came_back(said)
