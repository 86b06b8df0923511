"""What a client sends for its configuration, and in which words it may stand there.

Each value ends up in a file that ssh reads, and some in a command that a shell runs (ssh_config(5), ProxyCommand and
``Match exec``). Nothing is escaped that can be refused: a value that could be more than itself is not rendered.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from mica import MalformedRequest

#: A program found by its name, a context, a file's name: one word for every shell, and no option.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
#: An account: a word with letters of any script; % and $ would be expanded, - taken for an option.
_ACCOUNT = re.compile(r"[\w.@+][\w.@+-]*")
_FILE = re.compile(r"[A-Za-z0-9_.@+=/-]+")
#: What an operator's own text may have in its places: one word, for ssh and for a shell.
_PLAIN = re.compile(r"[A-Za-z0-9_.@+:/=,][A-Za-z0-9_.@+:/=,-]*")
# Between quotes: no end of them, no escape, nothing that ssh expands (%, $) or matches (*, ?, [).
_PATH = re.compile(r"""[^"'`%$*?\[\]\\<>|]+""")
_MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of one request; every method raises MalformedRequest that names the variable."""

    data: Mapping[str, str]

    @property
    def is_windows(self) -> bool:
        """Whether the client runs on Windows."""
        return self._text("GOOS") == "windows"

    @property
    def has_version(self) -> bool:
        """Whether the client says which version of the templates it knows; none does that knows the first alone."""
        return bool(self._text("StepSSHTemplateVersion"))

    @property
    def has_console(self) -> bool:
        """Whether the client asked for OAuth without a browser."""
        return self._text("Console") == "true"

    @property
    def command(self) -> str:
        """The client's own program: ``step`` unless it says otherwise."""
        return self.word("Command") or "step"

    def word(self, name: str) -> str:
        """A plain word, empty when absent."""
        return self._matching(name, _WORD, "must be one plain word of letters, digits and . _ @ + -")

    def account(self, name: str) -> str:
        """The name of an account, empty when absent."""
        return self._matching(name, _ACCOUNT, "must be the name of one account")

    def file(self, name: str) -> str:
        """A file's name below ``/etc/ssh``, which must be there."""
        if not self._text(name):
            raise _missing(name)
        return self._matching(name, _FILE, "must be the plain name of a file")

    def path(self, *names: str) -> str:
        """A folder, by the first of ``names`` that is there; Windows' own way of writing it on Windows."""
        for name in names:
            if value := self._text(name):
                checked = value.replace("\\", "/") if self.is_windows else value
                if not _PATH.fullmatch(checked):
                    raise _fault(name, "must be a path without quotes, backslashes, %, $, *, ?, [, ], <, > and |")
                return value
        raise _missing(names[-1])

    def argument(self, name: str) -> str:
        """One argument of ProxyCommand, empty when absent: quoted for the shell where it is no plain word."""
        value = self._text(name)
        if not value or _WORD.fullmatch(value):
            return value
        if self.is_windows or value.startswith("-"):  # cmd.exe has no quotes that hold
            raise _fault(name, "must be one plain word of letters, digits and . _ @ + -")
        return shlex.quote(value).replace("%", "%%")  # ssh expands %h and the like before the shell sees it

    def plain(self, name: str, *, default: str | None) -> str:
        """A word that may be an address or a path; ``default`` when absent, which without one it must not be."""
        value = self._matching(name, _PLAIN, "must be one plain word of letters, digits and . _ @ + : / = , -")
        if not value and default is None:
            raise _missing(name)
        return value or default or ""

    def _matching(self, name: str, pattern: re.Pattern[str], rule: str) -> str:
        value = self._text(name)
        if value and not pattern.fullmatch(value):
            raise _fault(name, rule)
        return value

    def _text(self, name: str) -> str:
        value = self.data.get(name, "")
        if not value.isprintable():
            raise _fault(name, "must not contain line ends or control characters")
        if len(value) > _MAX_LENGTH:
            raise _fault(name, f"must have at most {_MAX_LENGTH} characters")
        return value


def _missing(name: str) -> MalformedRequest:
    # The words and the quoting are step-ca's.
    return MalformedRequest(f"required variable '{name}' is missing, please use `--set <key=value>` flag")


def _fault(name: str, rule: str) -> MalformedRequest:
    return MalformedRequest(f"variable '{name}' {rule}")
