"""Writes docs/configuration.md from the dataclasses that ca.toml is read into, those of the plugins included."""

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from mica import foundation
from mica.claims import Claims, ClaimsConfig
from mica.cli.ca.fieldflags import field_flags
from mica.cli.ca.offers import CLAIM_FLAGS
from mica.client import TableMaker
from mica.client.sources import installed
from mica.config import CoreConfig, ProvisionerConfig, SignerConfig, SSHSignerConfig
from mica.durations import format_go
from mica.hooks import Hooks
from mica.roles import Kind

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs/configuration.md"

_INTRODUCTION = """\
# Configuration

<!-- Written by docs/generate.py from the configuration's dataclasses. Change those, or the text there; then: make docs -->

Everything that the CA does is said in one file, `ca.toml`, in [TOML](https://toml.io/en/v1.0.0). `mica ca init` writes
the first one; `mica ca provisioner add`, `update` and `remove` edit it and leave your comments and your order alone.

## The folder

`ca.toml` lies in `$MICAPATH` (`~/.mica` when that is not set). Beside it:

| | |
|---|---|
| `certs/` | root and intermediate certificates, public SSH keys |
| `secrets/` | encrypted private keys, mode 0600 |
| `db/` | the store's database |
| `defaults.json` | defaults of the command line's flags; the server does not read it |

Another file is named by an argument: `mica ca serve FILE`, `mica ca check FILE`, `--ca-config FILE` elsewhere.
**Relative paths are relative to the folder of `ca.toml`**, wherever a command is run.

## How it is read

`mica ca check` reads it as the server does and reports every mistake at once, each with its place and its remedy:

    provisioners[0].key: extra field "klm"; known: alg, crv, kid, kty, use, x, y
    signers.x509.key: no enabled plugin serves pkcs11:; served: file:

Unknown fields are mistakes. Nothing is converted: `"8443"` is no number, and `1` is not `true`. A duration is a text with
units: `"90s"`, `"1h30m"`, `"7d"` (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`). Only the plugins that `plugins` names are
imported, however many are installed.

## When it is read

At the start, and again on `SIGHUP` (`systemctl reload`). Then the new configuration is checked and served by new
processes before the old ones finish; when something is wrong with it, the old one stays in force and the log says what
is wrong. What was changed in the file without a signal has no effect, also not on processes that are started again.

| | |
|---|---|
| `SIGHUP` is enough for | `url`, `dns_names`, `common_name`, `plugins`, `claims`, `signers`, `keys`, `provisioners`, `plugin`, and the files that they name |
| a restart is needed for | `address`, `store`; another password of the CA keys; another version of mica or of a plugin |

A provisioner that was removed grants nothing once the reload has finished. Certificates that it vouched for stay valid
until they expire, and cannot be renewed.

## Passwords

No secret stands in the file. Private keys are encrypted files that it names, and their password comes

1. from `mica ca serve --password-file FILE` (`-` is standard input, `fd:3` an open descriptor), or
2. from the systemd credential `mica-ca-password`, which is found without a flag:
   `LoadCredential=mica-ca-password:/etc/mica/password` or `LoadCredentialEncrypted=`, or
3. from whoever is at the terminal, when a key is encrypted and neither of the others is there.

A key that others than its owner and group can read stops the start. (An `encrypted_key` of a provisioner is no secret:
the CA gives it to every client, who needs its password.)

## Example

```toml
{example}```
"""  # noqa: E501


_SSH = """\
Who signs SSH certificates, with one of these keys at least: whoever believes in the `user_key` lets its users in, and
whoever believes in the `host_key` trusts its hosts. `mica ca init --ssh` makes both; `mica ca enable-ssh` makes them for a
CA that is there already, and `mica ca provisioner update NAME --ssh` lets a provisioner order SSH certificates. Their
password is that of the other keys. Neither may be any other key of the CA.

To replace a key, name the new one's `.pub` file in `further_user_keys` or `further_host_keys`. When everybody has fetched
it, exchange the two: the new key signs, and the old one's `.pub` file stands among the further keys until the last of its
certificates has expired.\
"""  # noqa: E501


def configuration() -> str:
    """The reference page."""
    hooks = ("stores", "x509_signers", "ssh_signers", "key_backends", "provisioners", "extensions")
    kinds = {hook: _kinds(hook) for hook in hooks}
    parts = [
        _INTRODUCTION.format(example=_example()),
        _section("The top level", "What stands above the first `[table]`.", CoreConfig),
        _claims(),
        "## `[store]`\n\nWhere everything issued, revoked and spent is on record. `type` says which kind it is.\n",
        *(_kind(*found, where="") for found in kinds["stores"]),
        _section(
            "`[signers.<name>]`",
            "Who signs. `[signers.x509]` is the default for X.509 and must be there.",
            SignerConfig,
        ),
        *(_kind(*found, where="") for found in kinds["x509_signers"]),
        _section("`[signers.ssh]`", _SSH, SSHSignerConfig),
        *(_kind(*found, where="") for found in kinds["ssh_signers"]),
        "## `[keys.<kind>]`\n\nSettings of what finds private keys by their URI.\n",
        *(_kind(*found, where="keys.") for found in kinds["key_backends"]),
        _section(
            "`[[provisioners]]`",
            "Who may vouch for a request, in the order in which clients are shown them. Where there is a flag,\n"
            "`mica ca provisioner add` and `update` have it. Upper case in `type` does not matter.",
            ProvisionerConfig,
        ),
        *(_kind(*found, where="", flags=True) for found in kinds["provisioners"]),
        "## `[plugin.<kind>]`\n\nSettings of policies, listeners and services.\n",
        *(_extension(*found) for found in kinds["extensions"]),
    ]
    if not kinds["extensions"]:
        parts.append("None of the plugins that come with mica has any.\n")
    return "\n".join(parts)


def main() -> None:
    """The page on disk is up to date."""
    TARGET.write_text(configuration())


def _example() -> str:
    key = {"use": "sig", "kty": "EC", "kid": "…", "crv": "P-256", "alg": "ES256", "x": "…", "y": "…"}
    return foundation.configuration(
        url="https://ca.example:8443",
        address="127.0.0.1:8443",
        dns_names=("ca.example", "localhost"),
        provisioner="admin",
        table={"key": key, "encrypted_key": "…", "claims": {"max_tls_cert_duration": "48h"}},
    )


def _kinds(hook: str) -> list[tuple[str, Kind[Any]]]:
    """What the plugins of this repository offer: plugin and kind, in alphabetical order."""
    found = []
    for project in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        described = tomllib.loads(project.read_text())["project"]
        for name, module in described.get("entry-points", {}).get("mica", {}).items():
            hooks = Hooks()
            hooks.register(name, import_module(module))
            found += [(described["name"], kind) for kind in hooks.kinds(f"register_{hook}")]
    return found


def _kind(distribution: str, kind: Kind[Any], *, where: str, flags: bool = False) -> str:
    title = f"### `[{where}{kind.name}]`" if where else f'### `type = "{kind.name}"`'
    common = {field.name for field in dataclasses.fields(ProvisionerConfig)} if flags else set()
    fields = [field for field in dataclasses.fields(kind.config) if field.name not in common]
    described = f"From `{distribution}`."
    if not fields:
        return f"{title}\n\n{described} It has no settings of its own.\n"
    names = {flag.field: flag.name for flag in field_flags(kind.config)} if flags else None
    page = f"{title}\n\n{described}\n\n" + _table(kind.config, fields, names) + _nested(kind.config)
    return page + _further_flags(kind.name) if flags else page


def _extension(distribution: str, kind: Kind[Any]) -> str:
    """Its table, and what a provisioner may say to it."""
    page = _kind(distribution, kind, where="plugin.")
    if kind.provisioners is None:
        return page
    page += f"\nA provisioner may have `{kind.name} = {{ … }}` in its table, for what it vouches for."
    if _described(kind.provisioners) == _described(kind.config):
        return f"{page} It holds the same fields.\n"
    fields = dataclasses.fields(kind.provisioners)
    return f"{page}\n\n{_table(kind.provisioners, fields, None)}{_nested(kind.provisioners)}"


def _nested(config: type[Any]) -> str:
    """A table for each dataclass inside of ``config``, under all the places where it stands."""
    places: dict[type[Any], list[str]] = {}
    _place(config, "", places)
    titles = {found: " and ".join(f"`{place}`" for place in each) for found, each in places.items()}
    return "".join(
        f"\nIn {title}:\n\n{_table(found, dataclasses.fields(found), None)}" for found, title in titles.items()
    )


def _place(config: type[Any], place: str, places: dict[type[Any], list[str]]) -> None:
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        for found in (hints[field.name], *typing.get_args(hints[field.name])):
            if dataclasses.is_dataclass(found) and isinstance(found, type) and found is not ClaimsConfig:
                places.setdefault(found, []).append(f"{place}{field.name}")
                _place(found, f"{place}{field.name}.", places)


def _described(config: type[Any]) -> list[tuple[str, Any, Any]]:
    hints = typing.get_type_hints(config)
    return [(field.name, hints[field.name], field.default) for field in dataclasses.fields(config)]


def _further_flags(type_: str) -> str:
    """The flags that stand for no single field."""
    entry = installed().get(type_)
    source = entry.load()() if entry else None
    if not isinstance(source, TableMaker):
        return ""
    rows = [f"| `{option.flag}` | {option.help} |\n" for option in source.options]
    return "".join(["\n| further flag | meaning |\n| --- | --- |\n", *rows])


def _section(title: str, text: str, config: type[Any]) -> str:
    return f"## {title}\n\n{text}\n\n" + _table(config, dataclasses.fields(config), None)


def _claims() -> str:
    flags = {flag.field: flag.name for flag in field_flags(ClaimsConfig, names=CLAIM_FLAGS)}
    text = (
        "What certificates may be. `[claims]` is for all provisioners; `claims = { … }` of a provisioner overrides\n"
        "it, field by field. A `default_…_cert_duration` that alone is set stretches the bound of its kind that it\n"
        "exceeds. SSH certificates are ordered from a provisioner with `enable_ssh_ca = true`, and from no other.\n"
        "The flags are those of `mica ca provisioner add` and `update`."
    )
    defaults = {field.name: getattr(Claims(), field.name) for field in dataclasses.fields(Claims)}
    return f"## `[claims]`\n\n{text}\n\n" + _table(ClaimsConfig, dataclasses.fields(ClaimsConfig), flags, defaults)


def _table(
    config: type[Any],
    fields: typing.Iterable[dataclasses.Field[Any]],
    flags: dict[str, str] | None,
    defaults: dict[str, Any] | None = None,
) -> str:
    hints = typing.get_type_hints(config)
    head = ["field", "type", "default", "meaning"]
    rows = [head if flags is None else [*head[:3], "flag", head[3]]]
    rows.append(["---"] * len(rows[0]))
    for field in fields:
        default = (defaults or {}).get(field.name, _default_of(field))
        row = [f"`{field.name}`", _noun(hints[field.name]), _shown(default)]
        if flags is not None:
            row.append(f"`--{flags[field.name]}`" if field.name in flags else "")
        help_ = field.metadata.get("help", "").replace("|", "\\|").replace("<", "&lt;")
        rows.append([*row, help_ + _members(hints[field.name])])
    return "".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in row)}|\n" for row in rows)


def _members(hint: Any) -> str:
    """What a table holds that has a dataclass of its own and no section of its own."""
    found = next((one for one in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(one)), None)
    if found is None or found is ClaimsConfig:
        return ""
    return ": " + ", ".join(f"`{field.name}`" for field in dataclasses.fields(found))


def _default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _shown(default: Any) -> str:
    if default is dataclasses.MISSING:
        return "required"
    if isinstance(default, timedelta):
        # format_go says 24h0m0s, and people write 24h
        return f'`"{re.sub("(?<=h)0m$", "", re.sub("(?<=m)0s$", "", format_go(default)))}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int):
        return f"`{default}`"
    return f'`"{default}"`' if isinstance(default, str | Path) and str(default) else ""


def _noun(hint: Any) -> str:
    """The type as people call it who have to write a value."""
    return " or ".join(_nouns(hint))


def _nouns(hint: Any) -> Iterator[str]:
    nouns = {str: "text", int: "integer", bool: "true or false", float: "number", timedelta: "duration", Path: "path"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            if argument is not types.NoneType:
                yield from _nouns(argument)
    elif origin in (tuple, frozenset):
        yield "tables" if _noun(arguments[0]) == "table" else f"array of {_noun(arguments[0])}s"
    elif origin is typing.Literal:
        yield from (f'`"{argument}"`' for argument in arguments)
    elif hint is ClaimsConfig:
        yield "table, see [`[claims]`](#claims)"
    else:
        yield nouns.get(hint, "table")


if __name__ == "__main__":
    main()
