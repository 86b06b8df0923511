"""The flags about the files that issuance writes: in what form, whose they are, and who may read them."""

import grp
import os
import pwd
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from mica.cli.ca.passwordflags import was_typed
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import Access
from mica.cli.options import FILE

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])

#: Keys and, as step has it and scripts expect it, certificates: for their owner alone.
MODE = 0o600
#: Nobody but the owner may write, and nothing is executed.
_WIDEST = 0o644


class Wanted(NamedTuple):  # dataclasses are slow to import
    """What the flags say about the files."""

    format: str = "pem"
    chain_out: "Path | None" = None
    root_out: "Path | None" = None
    with_root: bool = False
    p12_password_source: str | None = None
    access: Access = Access(mode=MODE, exact=False)


def flags(*formats: str) -> Callable[[Command], Command]:
    """``wanted: Wanted``, from the flags about files; ``formats`` are those that ``--format`` takes."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def gathering(
            *arguments: Any,
            format: str,
            chain_out: "Path | None",
            root_out: "Path | None",
            fullchain_with_root: bool,
            mode: str | None,
            owner: str | None,
            p12_password_file: str | None = None,
            **rest: Any,
        ) -> Any:
            wanted = Wanted(
                format=format,
                chain_out=chain_out,
                root_out=root_out,
                with_root=fullchain_with_root,
                p12_password_source=p12_password_file,
                access=_access(mode, owner),
            )
            if wanted.format == "der" and wanted.with_root:
                raise Usage("flag '--fullchain-with-root' is incompatible with '--format der', which holds no chain")
            if wanted.format != "p12" and was_typed("--p12-password-file"):
                raise Usage("flag '--p12-password-file' requires '--format p12'")
            return command(*arguments, wanted=wanted, **rest)

        decorated: Any = gathering
        for option in reversed(_options(formats)):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _options(formats: Sequence[str]) -> list[Callable[[Any], Any]]:
    forms = {"pem": "pem", "der": "der (CRT_FILE is the certificate alone)", "p12": "p12 (see above)"}
    secret = click.option(
        "--p12-password-file", metavar="FILE", help="Password for the PKCS #12 file: a file, - for stdin, fd:N."
    )
    return [
        click.option("--format", type=click.Choice(formats), default="pem", metavar="FORM",
                     help=f"Form of CRT_FILE: {', '.join(forms[name] for name in formats)} [pem]."),
        click.option("--chain-out", type=FILE, metavar="FILE", help="Also write the issuers but the root, in PEM."),
        click.option("--root-out", type=FILE, metavar="FILE", help="Also write the root certificate, in PEM."),
        click.option("--fullchain-with-root", is_flag=True, help="CRT_FILE ends with the root certificate."),
        click.option("--mode", metavar="OCTAL",
                     help="Who may read what is written, such as 0644 [0600]. Others never read keys; see --owner."),
        click.option("--owner", metavar="USER[:GROUP]",
                     help="Whose the files are. GROUP may read a key, when --mode lets it read."),
        *([secret] if "p12" in formats else []),
    ]  # fmt: skip


def _access(mode: str | None, owner: str | None) -> Access:
    uid, gid = (-1, -1) if owner is None else _owner(owner)
    if mode is None:
        return Access(mode=MODE, exact=False, uid=uid, gid=gid)
    bits = int(mode, 8) if mode.isascii() and mode.isdigit() and not set(mode) & set("89") and len(mode) <= 4 else 0
    if not bits & 0o400 or bits & ~_WIDEST:
        raise Usage(
            f"invalid value {mode!r} for flag '--mode'",
            hint="octal, from 0400 to 0644: its owner reads, and nobody else writes",
        )
    return Access(mode=bits, uid=uid, gid=gid)


def _owner(text: str) -> tuple[int, int]:
    """User and group id, -1 for what is not named; raises Usage for strangers, FileProblem when it is not allowed."""
    user, colon, group = text.partition(":")
    uid = _id(user, lambda name: pwd.getpwnam(name).pw_uid, "user") if user else -1
    gid = _id(group, lambda name: grp.getgrnam(name).gr_gid, "group") if colon else -1
    if not user and not colon:
        raise Usage("invalid value '' for flag '--owner'", hint="USER, USER:GROUP or :GROUP")
    ours = {-1, os.getegid(), *os.getgroups()}
    if os.geteuid() != 0 and (uid not in (-1, os.geteuid()) or gid not in ours):
        raise FileProblem(f"--owner {text}: only root may give files away", hint="run this as root, or leave it out")
    return uid, gid


def _id(name: str, known: Callable[[str], int], what: str) -> int:
    try:
        return known(name)
    except (KeyError, ValueError) as error:  # ValueError: a NUL in the name
        if name.isascii() and name.isdigit() and len(name) < 10:
            return int(name)
        raise Usage(f"invalid value {name!r} for flag '--owner'", hint=f"there is no {what} of that name") from error
