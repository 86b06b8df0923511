"""``mica ca audit verify``, ``head`` and ``show``: the log, on the authority's own host or wherever its files are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mica.cli.kit import FileProblem, Usage, ca_config, options, printable, product, report, say, wants_json

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from mica_auditlog.parts import Taken
    from mica_auditlog.verification import Report

_EVENTS = ("issued", "renewed", "revoked", "denied", "begun", "continued", "recovered", "lost")


class AnchorType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """``SEQ:HASH``."""

    name = "seq:hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        from mica_auditlog.heads import parse_anchor

        if isinstance(value, tuple):
            return value
        try:
            return parse_anchor(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog=options.examples(
        "mica ca audit verify",
        'mica ca audit verify --head "$(cat head.txt)"',
        "mica ca audit verify --against-store",
        "mica ca audit verify backup/audit.jsonl",
    ),
)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=options.FILE)
@click.option(
    "--head",
    "anchors",
    cls=options.CommandLineOnly,
    type=AnchorType(),
    multiple=True,
    metavar="SEQ:HASH",
    help="A line that must be there, as mica ca audit head once printed it; may be repeated.",
)
@click.option(
    "--against-store", cls=options.CommandLineOnly, is_flag=True, help="Compare with what the CA has on record, too."
)
@ca_config
@options.json_output
def verify(
    files: "tuple[Path, ...]", anchors: tuple[tuple[int, str], ...], against_store: bool, ca_config: "Path | None"
) -> int:
    """Tell whether the audit log is whole and unchanged. Findings, each with its file and line, and 1; else 0.

    The log is that of ca.toml with all the files that it was before, or the FILEs. Whoever can write them can rewrite
    them and the head beside them: only a head that was kept elsewhere shows that.
    """
    from mica_auditlog.verification import verify as run

    known = _anchors(anchors)
    with _reading():
        taken = _taken(files, ca_config)
        result = _compared(taken, known, ca_config) if against_store else run(taken, known)
    _tell(result)
    return 0 if result.sound else 1


@click.command(epilog=options.examples("mica ca audit head", "mica ca audit head > head.txt"))
@ca_config
@options.json_output
def head(ca_config: "Path | None") -> None:
    """Print number and hash of the last line, to be kept where whoever can write the log cannot."""
    from mica_auditlog.heads import read_head
    from mica_auditlog.places import Places

    place = Places(_place(ca_config)).head
    try:
        with _reading():
            found = read_head(place)
    except ValueError as error:
        raise FileProblem(f"{place}: is damaged: {error}", hint="mica ca audit verify tells what the log has") from None
    if found is None:
        raise FileProblem(f"{place}: there is no such file", hint="the CA makes it when it starts with the auditlog")
    if wants_json():
        report({"seq": found.seq, "hash": found.hash, "authority": found.authority})
    else:
        product(found.anchor)


@click.command(epilog=options.examples("mica ca audit show --event denied --since 24h", "mica ca audit show --json"))
@click.argument("files", metavar="[FILE]...", nargs=-1, type=options.FILE)
@click.option(
    "--event",
    "events",
    cls=options.CommandLineOnly,
    type=click.Choice(_EVENTS),
    multiple=True,
    help="Lines of this event alone; may be repeated.",
)
@click.option(
    "--since", cls=options.CommandLineOnly, type=options.TimeOrDuration(), help="Lines since then, or so far back."
)
@ca_config
@options.json_output
def show(
    files: "tuple[Path, ...]",
    events: tuple[str, ...],
    since: "datetime | timedelta | None",
    ca_config: "Path | None",
) -> None:
    """Print the lines of the audit log, oldest first; with --json as they stand there. Nothing is verified."""
    from mica_auditlog.layout import matching, row

    with _reading():
        for line in matching(_taken(files, ca_config), events, since):
            # A line of ours is ASCII; one that somebody changed must not reach a terminal raw.
            product(
                printable(line.decode("ascii", "backslashreplace").removesuffix("\n") if wants_json() else row(line))
            )


@contextmanager
def _reading() -> Iterator[None]:
    """What cannot be read is told as other commands tell it."""
    from mica_auditlog.parts import Unreadable
    from mica_auditlog.places import Unsuitable

    try:
        yield
    except (Unreadable, Unsuitable) as error:
        raise FileProblem(str(error)) from error


def _taken(files: "Sequence[Path]", ca_config: "Path | None") -> "Taken":
    """The files, or all those of ca.toml's log; raises FileProblem when there are none."""
    from mica_auditlog.parts import take
    from mica_auditlog.places import Places

    if not files:
        place = _place(ca_config)
        files = Places(place).files()
        if not files:
            raise FileProblem(
                f"{place}: there is no such file", hint="the CA makes it when it starts with the auditlog"
            )
    return take(files)


def _place(ca_config: "Path | None") -> "Path":
    """Where ca.toml says that the log is."""
    from mica.cli.kit import read_settings
    from mica_auditlog.places import DEFAULT

    settings = read_settings(ca_config)
    path = settings.core.plugin.get("auditlog", {}).get("path", DEFAULT)
    if not isinstance(path, str):
        raise FileProblem("plugin.auditlog.path: must be a path", hint="mica ca check names every mistake")
    return settings.directory / path


def _anchors(given: Sequence[tuple[int, str]]) -> dict[int, str]:
    """By number; raises Usage when two contradict each other."""
    anchors: dict[int, str] = {}
    for seq, hash in given:
        if anchors.setdefault(seq, hash) != hash:
            raise Usage(f"flag '--head' names line {seq} with two hashes: one of them is of another log")
    return anchors


def _compared(taken: "Taken", anchors: dict[int, str], ca_config: "Path | None") -> "Report":
    """The log verified, and held against what the store of ca.toml has. The store is read first."""
    import asyncio

    from mica.cli.kit import read_settings, record
    from mica.clock import system_clock
    from mica_auditlog.comparison import Comparison
    from mica_auditlog.layout import beginning
    from mica_auditlog.verification import verify as run

    comparison = Comparison(beginning(taken), system_clock())

    async def read() -> None:
        async with record.opened(read_settings(ca_config)) as store:
            await comparison.read(store)

    asyncio.run(read())
    result = run(taken, anchors, watch=comparison.watch)
    result.add(comparison.findings())
    return result


def _tell(result: "Report") -> None:
    if wants_json():
        report(_members(result))
        return
    for found in result.found:
        if found.finding.fault:
            product(printable(str(found)))
        else:
            say(f"note: {found}")
    if (more := result.faults - sum(found.finding.fault for found in result.found)) > 0:
        product(f"and {more} more")
    files = f"{len(result.files)} file{'s' if len(result.files) != 1 else ''}"
    faults = f"{result.faults} fault{'s' if result.faults != 1 else ''}"
    state = "whole and unchanged" if result.sound else f"not sound: {faults}"
    span = f"{result.lines} lines in {files}, {result.first} to {result.chain.seq}" if result.lines else "no lines"
    say(f"{span}: {state}")


def _members(result: "Report") -> dict[str, object]:
    return {
        "sound": result.sound,
        "lines": result.lines,
        "files": [str(path) for path in result.files],
        "first": result.first,
        "last": result.chain.seq,
        "head": f"{result.chain.seq}:{result.chain.hash.decode()}",
        "faults": result.faults,
        "findings": [
            {
                "code": found.finding.code,
                "fault": found.finding.fault,
                "place": found.place,
                "message": found.finding.message,
            }
            for found in result.found
        ],
    }
