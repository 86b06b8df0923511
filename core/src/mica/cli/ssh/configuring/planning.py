"""What is to be changed on this machine so that it has a CA's configuration, or no longer has it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from mica.cli.errors import FileProblem
from mica.cli.ssh.configuring import edits, record
from mica.cli.ssh.configuring.changes import Change, Plan, held
from mica.cli.ssh.configuring.pieces import DIRECTORY, FILE, PREPEND_LINE, SNIPPET, Piece
from mica.cli.ssh.configuring.places import Places
from mica.cli.ssh.configuring.record import Entry


def plan(found: Iterable[Piece], places: Places, cert_type: str, now: datetime) -> Plan:
    """How the pieces get where they belong; host keys of earlier runs stay. Raises FileProblem."""
    place = record.place_of(places.mica, cert_type)
    known, others = record.read(place), record.of_others(places, cert_type)
    entries, changes, folders = dict(known), [], []
    for piece in found:
        earlier = known.get(piece.path)
        created = any(entry.created for entry in (*others, *known.values()) if entry.path == piece.path)
        if piece.kind == DIRECTORY:
            folders.append(piece.path)
            created |= not piece.path.exists()
        else:
            change = _change(piece, earlier, now, keep_keys=cert_type == "host")
            changes.append(change)
            created |= change.before is None
        entries[piece.path] = _entry(piece, created=created)
    return Plan(changes=changes, record=_recorded(place, entries), folders=folders)


def undoing(places: Places, cert_type: str) -> Plan:
    """How everything that was written for this CA goes again; what other contexts need stays. Raises FileProblem."""
    place = record.place_of(places.mica, cert_type)
    known, shared = record.read(place), {entry.path for entry in record.of_others(places, cert_type)}
    mine = {path: entry for path, entry in known.items() if places.covers(path)}
    # A block is known by its marks, so that one goes even when the record of it has gone.
    for path in _usual(places, cert_type):
        mine.setdefault(path, Entry(kind=SNIPPET, path=path, created=False))
    going = [entry for entry in mine.values() if entry.kind == PREPEND_LINE or entry.path not in shared]
    rest = {path: entry for path, entry in known.items() if path not in mine}
    changes = [_undone(entry) for entry in going if entry.kind != DIRECTORY]
    return Plan(
        changes=[change for change in changes if change.status != "unchanged"],
        record=_recorded(place, rest),
        gone=[entry.path for entry in going if entry.kind == DIRECTORY and entry.created],
    )


def _change(piece: Piece, earlier: Entry | None, now: datetime, *, keep_keys: bool) -> Change:
    before = held(piece.path)
    _refuse_binary(piece.path, before)
    if piece.kind == FILE:
        ours = before is None or (earlier is not None and earlier.is_as_written(before))
        asked = not ours and before != piece.content
        return Change(path=piece.path, before=before, after=piece.content, asked=asked)
    if piece.kind == PREPEND_LINE:
        after = edits.with_line_first(before or b"", piece.content.strip())
        return Change(path=piece.path, before=before, after=after)
    content = piece.content
    if keep_keys:
        for _, _, old in edits.blocks(before or b"", piece.path):
            content = edits.accumulated(old, content)
    after = edits.with_block(before or b"", content, comment=piece.comment, now=now, place=piece.path)
    return Change(path=piece.path, before=before, after=after)


def _entry(piece: Piece, *, created: bool) -> Entry:
    entry = Entry(kind=piece.kind, path=piece.path, created=created)
    if piece.kind == FILE:
        return replace(entry, sha256=hashlib.sha256(piece.content).hexdigest())
    return replace(entry, line=piece.content.strip().decode()) if piece.kind == PREPEND_LINE else entry


def _undone(entry: Entry) -> Change:
    before = held(entry.path)
    if before is None:
        return Change(path=entry.path, before=None, after=None)
    if entry.kind == FILE:
        asked = not entry.is_as_written(before)
        return Change(path=entry.path, before=before, after=None, asked=asked)
    if entry.kind == PREPEND_LINE:
        rest = edits.without_line(before, entry.line.encode())
    else:
        rest = edits.without_block(before, entry.path)
    return Change(path=entry.path, before=before, after=None if entry.created and not rest else rest)


def _refuse_binary(path: Path, data: bytes | None) -> None:
    if data is not None and b"\0" in data:
        raise FileProblem(f"{path}: is not a text that ssh reads", hint="is it UTF-16? Save it as UTF-8")


def _recorded(place: Path, entries: Mapping[Path, Entry]) -> Change:
    return Change(path=place, before=held(place), after=record.encoded(entries.values()) or None)


def _usual(places: Places, cert_type: str) -> list[Path]:
    if cert_type == "user":
        return [places.user_config]
    return [places.etc_ssh / PurePosixPath(name) for name in ("sshd_config", "ca.pub")] if places.etc_ssh else []
