"""What authors of commands import: how a command talks, reads, writes and fails. Public, as ``mica`` itself is.

A distribution adds a command by an entry point of the group ``mica.commands``: ``certificate.inspect =
"mica_certtool.reading.inspection:inspect"`` is ``mica certificate inspect``, a click command. What concerns keys and
names needs cryptography, and is imported when it is first used (PEP 562).
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
    progress,
    report,
    say,
    wants_json,
    warn,
)
from mica.cli.errors import Cancelled, CLIError, FileProblem, PromptNeeded, RefusedByCA, Unreachable, Usage
from mica.cli.files import keep_apart, read_input, settle, write_all, write_atomic
from mica.cli.passwords import from_source as password_from_source
from mica.cli.passwords import password
from mica.cli.paths import mica_path

if TYPE_CHECKING:
    from mica import recognition
    from mica.cli import truststore
    from mica.cli.ca import record
    from mica.cli.ca.configuration import ca_config, read_settings
    from mica.cli.ca.extensions import read_extension
    from mica.cli.keys import PrivateKey, create_key, is_key_uri, key_pem, new_key, read_key
    from mica.cli.mistakes import mistaken
    from mica.cli.times import rfc3339, span
    from mica.constraints import violations
    from mica.lint_certificates import lint_certificate
    from mica.lint_names import constrained_names
    from mica.names import classify, ordered

_LATER = {
    "PrivateKey": "mica.cli.keys",
    "ca_config": "mica.cli.ca.configuration",
    "create_key": "mica.cli.keys",
    "is_key_uri": "mica.cli.keys",
    "classify": "mica.names",
    "constrained_names": "mica.lint_names",
    "key_pem": "mica.cli.keys",
    "lint_certificate": "mica.lint_certificates",
    "mistaken": "mica.cli.mistakes",
    "new_key": "mica.cli.keys",
    "ordered": "mica.names",
    "read_extension": "mica.cli.ca.extensions",
    "read_key": "mica.cli.keys",
    "read_settings": "mica.cli.ca.configuration",
    "recognition": "mica.recognition",
    "record": "mica.cli.ca.record",
    "rfc3339": "mica.cli.times",
    "span": "mica.cli.times",
    "truststore": "mica.cli.truststore",
    "violations": "mica.constraints",
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
    "ca_config",
    "chosen",
    "classify",
    "constrained_names",
    "create_key",
    "is_key_uri",
    "json_text",
    "keep_apart",
    "key_pem",
    "lint_certificate",
    "mica_path",
    "mistaken",
    "new_key",
    "options",
    "ordered",
    "password",
    "password_from_source",
    "printable",
    "product",
    "progress",
    "read_extension",
    "read_input",
    "read_key",
    "read_settings",
    "recognition",
    "record",
    "report",
    "rfc3339",
    "say",
    "settle",
    "span",
    "truststore",
    "violations",
    "wants_json",
    "warn",
    "write_all",
    "write_atomic",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mica.cli.kit' has no attribute {name!r}")
    module = import_module(_LATER[name])
    return module if _LATER[name].endswith(f".{name}") else getattr(module, name)
