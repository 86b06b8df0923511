"""The flags that commands share, as decorators, and the types of their values.

Every flag can also be set by ``MICA_<FLAG>`` and in ``defaults.json``, and every command takes ``--context``; the
catalogue sees to that.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mica.cli.catalogue import context_option
from mica.cli.console import Settings
from mica.cli.errors import Usage
from mica.cli.values import CommandLineOnly as CommandLineOnly

if TYPE_CHECKING:
    import os
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])

CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
RSA_SIZES = (2048, 3072, 4096)
SIGN_IN = "mica.cli.options.sign_in"  # in click's meta: what the flags of ``sign_in`` say


class File(click.Path):
    """A file, as ``Path``. Whether it exists is for the command to find out: a bad file is no usage error."""

    def coerce_path_result(self, value: "str | os.PathLike[str]") -> "Path":
        from pathlib import Path  # slow to import, and help needs none of it

        return Path(value)


FILE = File()


class URL(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """The address of a CA: ``https://`` is added, the path dropped, a bare IPv6 address put in brackets."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from mica.client.urls import normalize  # not every command has a URL

        try:
            return normalize(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeOrDuration(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A moment (RFC 3339) or a duration such as ``24h`` or ``7d``."""

    name = "time|duration"

    def convert(
        self, value: str | datetime | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        from mica.durations import parse_time_or_duration  # imports much
        from mica.errors import MalformedRequest

        if not isinstance(value, str):
            return value
        try:
            return parse_time_or_duration(value)
        except MalformedRequest as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A duration such as ``24h``, ``1h30m`` or ``7d``."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from mica.durations import parse_duration  # imports much
        from mica.errors import MalformedRequest

        if not isinstance(value, str):
            return value
        try:
            return parse_duration(value)
        except MalformedRequest as error:
            self.fail(str(error), param, ctx)


def examples(*commands: str) -> str:
    """What ``click.command(epilog=…)`` is given: command lines that a user can try, under their heading.

    The reference page shows them too, and a test runs each of them.
    """
    return "\b\nExamples:\n" + "\n".join(f"  $ {command}" for command in commands)


def connection(command: Command) -> Command:
    """``ca_url: str | None`` (normalised) and ``root: Path | None``."""
    command = click.option("--root", type=FILE, help="Root certificate to trust; else certs/root_ca.crt.")(command)
    return click.option("--ca-url", type=URL(), metavar="URL", help="Where the CA is.")(command)


def context(command: Command) -> Command:
    """``--context``, for a command that reads no defaults and so does not have it; see ``paths.context_in_use``."""
    command.__click_params__ = [*getattr(command, "__click_params__", []), context_option()]  # type: ignore[attr-defined]
    return command


def new_context(command: Command) -> Command:
    """``context``, ``authority`` and ``profile``, each ``str | None``: the names of what is made."""
    for name, text in (
        ("--profile", "Its profile, for defaults [the name of the context]."),
        ("--authority", "Its authority, for files [the CA's host]."),
        ("--context", "Make this context, beside other CAs [the CA's host, once there are contexts]."),
    ):
        command = click.option(name, metavar="NAME", help=text)(command)
    return command


def validity(command: Command) -> Command:
    """``not_before`` and ``not_after``, each ``datetime | timedelta | None``."""
    when = TimeOrDuration()
    command = click.option("--not-after", type=when, help="End of validity: RFC 3339, or a duration (24h).")(command)
    return click.option("--not-before", type=when, help="Start of validity: RFC 3339, or a duration.")(command)


def token(command: Command) -> Command:
    """``token: str | None``."""
    return click.option("--token", metavar="TOKEN", help="A ready-made one-time token.")(command)


def key(command: Command) -> Command:
    """``kty``, ``curve`` and ``size``; what they mean together, ``key_algorithm`` says."""
    command = click.option("--size", type=int, metavar="BITS", help="RSA: 2048, 3072, 4096 [2048].")(command)
    curves = click.Choice(("P-256", "P-384", "P-521", "Ed25519"), case_sensitive=False)
    command = click.option(
        "--curve", "--crv", "curve", type=curves, metavar="CURVE", help="P-256, P-384, P-521; Ed25519 [P-256]."
    )(command)
    types = click.Choice(("EC", "RSA", "OKP"), case_sensitive=False)
    return click.option("--kty", type=types, metavar="TYPE", help="EC, RSA or OKP [EC].")(command)


def key_algorithm(kty: str | None, curve: str | None, size: int | None) -> str:
    """What the three flags mean: ``EC-P256``, ``RSA-3072``, ``Ed25519`` …; raises Usage when they do not fit."""
    if kty is None:
        for flag, value in (("--curve", curve), ("--size", size)):
            if value is not None:
                raise Usage(f"flag '{flag}' requires the '--kty' flag", hint="--kty is EC, RSA or OKP")
        return "EC-P256"
    if kty == "RSA":
        if curve is not None:
            raise Usage("flag '--curve' is incompatible with '--kty RSA'", hint="RSA keys have a --size")
        return f"RSA-{_rsa_bits(size)}"
    if size is not None:
        raise Usage(f"flag '--size' is incompatible with '--kty {kty}'", hint=f"{kty} keys have a --curve")
    if curve is not None and curve not in CURVES[kty]:
        raise Usage(
            f"invalid value {curve!r} for flag '--curve' with '--kty {kty}'", hint=f"one of {', '.join(CURVES[kty])}"
        )
    return "Ed25519" if kty == "OKP" else f"EC-{(curve or 'P-256').replace('-', '')}"


def provisioner(command: Command) -> Command:
    """``provisioner: str | None`` and ``provisioner_password_file: str | None``; see ``sign_in`` for the others."""
    command = sign_in()(command)
    command = click.option(
        "--provisioner-password-file",
        metavar="FILE",
        help="Password of the provisioner's key: a file, - for stdin, fd:N.",
    )(command)
    return provisioner_name(command)


def provisioner_name(command: Command) -> Command:
    """``provisioner: str | None``."""
    return click.option("--provisioner", "--issuer", "provisioner", metavar="NAME", help="Provisioner to use.")(command)


def sign_in(*spellings: str) -> Callable[[Command], Command]:
    """How somebody signs in with an identity provider: ``BrowserDesk.wishes`` has it, and no parameter.

    ``spellings`` are further ones of ``--console``.
    """

    def settle(context: click.Context, parameter: click.Parameter, value: object) -> None:
        context.meta.setdefault(SIGN_IN, {})[parameter.name] = value

    flags: tuple[tuple[tuple[str, ...], dict[str, Any], str], ...] = (
        (("--oidc-root",), {"type": FILE}, "Root to trust the identity provider by [the system's]."),
        (("--listen",), {"metavar": "ADDRESS"}, "Where the browser's answer is awaited [127.0.0.1, any port]."),
        (("--no-cache",), {"is_flag": True}, "Sign in anew, and remember nothing of it."),
        (("--console", *spellings), {"is_flag": True}, "Sign in with a browser elsewhere, by a code."),
    )

    def furnish(command: Command) -> Command:
        for names, attributes, text in flags:
            command = click.option(*names, expose_value=False, callback=settle, help=text, **attributes)(command)
        return command

    return furnish


def force(command: Command) -> Command:
    """``force: bool``."""
    return click.option("--force", "-f", is_flag=True, help="Overwrite files without asking.")(command)


def insecure(command: Command) -> Command:
    """``insecure: bool``; see ``require_insecure``."""
    return click.option("--insecure", is_flag=True, help="Allow what weakens security.")(command)


def require_ca_url(ca_url: str | None) -> str:
    """Where the CA is; raises Usage when neither a flag nor a file says it."""
    if ca_url is None:
        raise Usage("flag '--ca-url' is required", hint="or run once: mica ca bootstrap --ca-url … --fingerprint …")
    return ca_url


def require_insecure(flag: str, insecure: bool) -> None:
    """``--insecure`` was given; raises Usage naming ``flag``, which weakens something."""
    if not insecure:
        raise Usage(f"flag '{flag}' requires the '--insecure' flag")


def password_file(meaning: str, *, alias_of: str | None = None) -> Callable[[Command], Command]:
    """``password_file: str | None``; ``meaning`` tells which password it is, ``alias_of`` a clearer flag."""
    text = f"{meaning}: a file, - for stdin, fd:N." + (f" Same as {alias_of}." if alias_of else "")
    return click.option("--password-file", metavar="FILE", help=text)


def json_output(command: Command) -> Command:
    """``console.wants_json()`` tells whether ``--json`` was given; errors are JSON then as well."""

    def settle(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Settings).json |= value

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=settle, is_eager=True, help="Report as JSON on stdout."
    )(command)


def _rsa_bits(size: int | None) -> int:
    bits = RSA_SIZES[0] if size is None else size
    if bits not in RSA_SIZES:
        raise Usage(f"invalid value {bits} for flag '--size'", hint=f"one of {', '.join(map(str, RSA_SIZES))}")
    return bits
