"""How ssh is called to get through a bastion. The CA says through which, and no more than that.

What it says here nobody looks at, unlike the configuration that ``mica ssh config`` writes. So it may choose how a
connection is made, and never what runs on this machine, or which keys and agents are shown to whom (ssh(1)).
"""

import re
import shlex

from mica.cli.errors import CLIError
from mica.client.ssh import Bastion

_NAME = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\]%-]*")
_USER = re.compile(r"[\w.@+~=][\w.@+~=-]*")
_PORT = re.compile(r"[0-9]{1,5}")
_SWITCHES = frozenset({"-4", "-6", "-C", "-T", "-a", "-q", "-x"})
_OPTIONS = frozenset(
    {"addressfamily", "compression", "connecttimeout", "connectionattempts", "ipqos", "loglevel"}
    | {"serveraliveinterval", "serveralivecountmax", "tcpkeepalive"}
)


def arguments(bastion: Bastion, user: str, host: str, port: int) -> list[str]:
    """The command line that connects stdin and stdout with ``port`` of ``host``; raises CLIError."""
    for what, value, pattern in (
        ("name", bastion.hostname, _NAME),
        ("user", bastion.user, _USER),
        ("port", bastion.port, _PORT),
    ):
        if value and not pattern.fullmatch(value):
            raise _fault(f"{what} {value[:64]!r} is none")
    called = ["ssh", *(["-l", bastion.user] if bastion.user else []), *(["-p", bastion.port] if bastion.port else [])]
    called += _flags(bastion.flags)
    if not bastion.command:
        return [*called, "-W", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "--", bastion.hostname]
    return [*called, "--", bastion.hostname, _expanded(bastion.command, user, host, port)]


def _expanded(command: str, user: str, host: str, port: int) -> str:
    """``command`` with its %r, %h and %p filled in, each one word for the bastion's shell."""
    values = {"r": user, "h": host, "p": str(port), "%": "%"}
    return re.sub(r"%([rhp%])", lambda found: shlex.quote(values[found[1]]), command)


def _flags(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _fault(f"flags {text[:64]!r} are not a command line") from error
    index = 0
    while index < len(words):
        word = words[index]
        if word == "-o" and index + 1 < len(words):
            index += 1
            _check_option(words[index])
        elif word.startswith("-o") and word != "-o":
            _check_option(word[2:])
        elif word not in _SWITCHES:
            raise _fault(f"flag {word[:64]!r} is none that mica passes on")
        index += 1
    return words


def _check_option(option: str) -> None:
    keyword = option.strip().replace("=", " ", 1).partition(" ")[0]
    if keyword.lower() not in _OPTIONS or not option.isprintable():
        raise _fault(f"flag '-o {option[:64]}' is none that mica passes on")


def _fault(what: str) -> CLIError:
    return CLIError(f"the CA names a bastion whose {what}", hint="nothing has been connected; tell whoever runs the CA")
