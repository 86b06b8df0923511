"""``mica ca certs list`` and ``show``: what the CA has issued, on its own host."""

import textwrap
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.ca.configuration import ca_config, read_settings
from mica.cli.console import json_text, printable, product, report, say, wants_json
from mica.cli.errors import CLIError, Usage
from mica.cli.serials import parse_serial

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.certs_layout import Table
    from mica.config import Settings
    from mica.records import Found, Query

_FIRST_ROWS = 100
_STATUSES = ("valid", "expired", "revoked")
_KINDS = ("x509", "ssh")
_TITLES = {None: "certificate", "x509": "X.509 certificate", "ssh": "SSH certificate"}


class SerialNumber(click.ParamType[int]):
    """A serial number, decimal or hexadecimal with ``0x`` (RFC 5280 §4.1.2.2: at most 20 octets)."""

    name = "serial"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_serial(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error


def _filter(*names: str, **attributes: Any) -> Callable[[options.Command], options.Command]:
    """An option that only the command line sets: a ``provisioner`` in ``defaults.json`` must not hide certificates."""
    return click.option(*names, cls=options.CommandLineOnly, **attributes)


def _kind(command: options.Command) -> options.Command:
    return _filter("--kind", type=click.Choice(_KINDS), help="Certificates of X.509 alone, or of SSH.")(command)


@click.command(
    "list",
    epilog=options.examples(
        "mica ca certs list --status valid --expires-within 7d",
        "mica ca certs list --kind ssh --name alice",
        "mica ca certs list --all --json",
    ),
)
@ca_config
@_kind
@_filter("--name", metavar="NAME", help="Those that carry exactly this name or principal.")
@_filter("--subject", metavar="NAME", help="Those with exactly this subject or key id.")
@_filter("--provisioner", metavar="NAME", help="Those that this provisioner vouched for.")
@_filter("--status", type=click.Choice(_STATUSES), help="valid (not revoked, not expired), expired or revoked.")
@_filter("--expires-within", type=options.Duration(), help="Those that end between now and then, such as 7d.")
@_filter("--serial", type=SerialNumber(), metavar="SERIAL", help="Those with this serial number.")
@_filter("--limit", type=click.IntRange(min=1), metavar="N", help=f"At most so many [{_FIRST_ROWS}].")
@_filter("--all", "all_", is_flag=True, help="All of them.")
@options.json_output
def list_(ca_config: "Path | None", limit: int | None, all_: bool, **filters: Any) -> None:
    """List the certificates on record, newest first, from the store that ca.toml names."""
    if all_ and limit is not None:
        raise Usage("flag '--all' is incompatible with '--limit'")
    rows = None if all_ else limit or _FIRST_ROWS
    _run(_list(read_settings(ca_config), _query(**filters), rows))


@click.command(
    epilog=options.examples("mica ca certs show --pem $(openssl x509 -in svc.crt -noout -serial | sed s/serial=/0x/)")
)
@click.argument("serial", type=SerialNumber())
@ca_config
@_kind
@click.option("--pem", is_flag=True, help="Print the certificate itself, in PEM.")
@options.json_output
def show(serial: int, ca_config: "Path | None", kind: str | None, pem: bool) -> None:
    """Show everything on record about the certificate with this SERIAL number, decimal or hexadecimal with 0x.

    The serial numbers of X.509 and of SSH are apart: where both have it, --kind says which one is meant.
    """
    if pem and wants_json():
        raise Usage("flag '--pem' is incompatible with '--json'", hint="--json has the certificate in PEM, too")
    _run(_show(read_settings(ca_config), serial, kind, pem=pem))


def _run(task: Coroutine[Any, Any, None]) -> None:
    import asyncio  # slow to import, and help needs none of it

    asyncio.run(task)


def _query(
    kind: str | None,
    name: str | None,
    subject: str | None,
    provisioner: str | None,
    status: str | None,
    expires_within: timedelta | None,
    serial: int | None,
) -> "Query":
    from mica.cli.ca import record
    from mica.records import CertificateKind, Query, Status

    now, until = record.now(), None
    if expires_within is not None:
        if expires_within <= timedelta():
            raise Usage("flag '--expires-within' takes a duration above 0, such as 7d")
        try:
            until = now + expires_within
        except OverflowError:
            raise Usage("flag '--expires-within' is too long") from None
    return Query(
        now=now,
        kind=None if kind is None else CertificateKind(kind),
        name=None if name is None else _as_recorded(name, kind),
        subject=subject,
        provisioner=provisioner,
        status=None if status is None else Status(status),
        expires_before=until,
        expires_after=None if until is None else now,
        serial_number=serial,
    )


def _as_recorded(name: str, kind: str | None) -> str:
    """``name`` as the CA writes it: ``SVC.Example`` is on record as ``svc.example``; a principal stays as it is."""
    from mica.errors import MalformedRequest
    from mica.names import classify, text

    if kind == "ssh":
        return name
    try:
        canonical = text(classify(name))
    except MalformedRequest:  # an SSH principal may be anything
        return name
    if canonical != name and kind is None:
        say(f"Names are looked for as X.509 has them, here {printable(canonical)}. For a principal in SSH: --kind ssh")
    return canonical


def _table() -> "Table":
    from mica.cli.ca.certs_layout import Table  # imports ssl

    return Table()


@dataclass(slots=True)
class _Listing:
    """What is printed page after page: a table, or a JSON array whose end is not known before the last page."""

    now: datetime
    table: "Table" = field(default_factory=_table)
    count: int = 0
    more: bool = False

    def add(self, rows: "Sequence[Found]", more: bool) -> None:
        """One page more is on stdout; ``more`` tells whether it was not the last that there is."""
        from mica.cli.ca import certs_layout

        if wants_json():
            for index, row in enumerate(rows, self.count):
                item = json_text(certs_layout.members(row, self.now))
                product((",\n" if index else "[\n") + textwrap.indent(item, "  "), nl=False)
        elif rows:
            product("\n".join(self.table.page(rows, self.now)))
        self.count += len(rows)
        self.more = more

    def end(self) -> None:
        """What was printed is complete, and stderr says what it is not."""
        if wants_json():
            product("\n]" if self.count else "[]")
        elif not self.count:
            say("No certificate on record matches.")
        if self.more:
            say(f"These are the newest {self.count}. There are more: --limit N, or --all.")


async def _list(settings: "Settings", query: "Query", limit: int | None) -> None:
    from mica.cli.ca import record  # imports much

    listing = _Listing(query.now)
    async with record.opened(settings) as store:
        async for rows, more in record.pages(store, query, limit):
            listing.add(rows, more)
    listing.end()


async def _show(settings: "Settings", serial_number: int, kind: str | None, *, pem: bool) -> None:
    from mica.cli.ca import certs_layout, record
    from mica.records import CertificateKind

    only = None if kind is None else CertificateKind(kind)
    async with record.opened(settings) as store:
        found = await record.with_serial_number(store, serial_number, only)
        ends = [] if found else await record.revocations(store, settings, serial_number, only)
    _require_one_kind(found, serial_number)
    now = record.now()
    if not found and (pem or not ends):
        raise CLIError(
            f"no {_TITLES[kind]} with the serial number {serial_number} is on record",
            hint="mica ca certs list --all shows them all" if not ends else "only its revocation is, without --pem",
        )
    if pem:
        product("".join(certs_layout.pem(row.issuance) for row in found), nl=False)
    elif wants_json():
        certificates = [certs_layout.all_members(row, now) for row in found]
        revocations = [certs_layout.revocation_members(end) for end in ends]
        report({"serial_number": str(serial_number), "certificates": certificates, "revocations": revocations})
    else:
        texts = [certs_layout.everything(row, now) for row in found] + [*map(certs_layout.only_revoked, ends)]
        product("\n\n".join(texts))


def _require_one_kind(found: "Sequence[Found]", serial_number: int) -> None:
    """The certificates are of one kind: an answer about the wrong one would be taken for the right one."""
    if len({row.issuance.id.kind for row in found}) > 1:
        raise Usage(
            f"an X.509 and an SSH certificate have the serial number {serial_number}",
            hint="say which one you mean: --kind x509 or --kind ssh",
        )
