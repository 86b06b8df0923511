"""What authors of commands import: how a command talks, reads, writes and fails. Public, as ``mica`` itself is.

A distribution adds a command by an entry point of the group ``mica.commands``: ``certificate.inspect =
"mica_certtool.inspect:inspect"`` is ``mica certificate inspect``, a click command. What concerns keys and names needs
cryptography, and is imported when it is first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mica.cli import options
from mica.cli.console import (
    ask_choice,
    ask_password,
    ask_text,
    ask_yes_no,
    chosen,
    json_text,
    printable,
    product,
    report,
    say,
    wants_json,
    warn,
)
from mica.cli.errors import Cancelled, CLIError, FileProblem, PromptNeeded, RefusedByCA, Unreachable, Usage
from mica.cli.files import read_input, settle, write_all, write_atomic
from mica.cli.passwords import from_source as password_from_source
from mica.cli.passwords import password
from mica.cli.paths import mica_path

if TYPE_CHECKING:
    from mica.cli.keys import PrivateKey, key_pem, new_key, read_key
    from mica.names import classify, ordered

_LATER = {
    "PrivateKey": "mica.cli.keys",
    "classify": "mica.names",
    "key_pem": "mica.cli.keys",
    "new_key": "mica.cli.keys",
    "ordered": "mica.names",
    "read_key": "mica.cli.keys",
}

__all__ = [
    "CLIError",
    "Cancelled",
    "FileProblem",
    "PrivateKey",
    "PromptNeeded",
    "RefusedByCA",
    "Unreachable",
    "Usage",
    "ask_choice",
    "ask_password",
    "ask_text",
    "ask_yes_no",
    "chosen",
    "classify",
    "json_text",
    "key_pem",
    "mica_path",
    "new_key",
    "options",
    "ordered",
    "password",
    "password_from_source",
    "printable",
    "product",
    "read_input",
    "read_key",
    "report",
    "say",
    "settle",
    "wants_json",
    "warn",
    "write_all",
    "write_atomic",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mica.cli.kit' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
