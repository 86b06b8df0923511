"""What is remembered of a sign-in for its short life: one file for each provider and client, for its owner alone.

Taking an entry removes it, so that no two commands use one identity token: a CA takes each once. A cache that cannot be
read or written costs a sign-in, and is no failure. What is older than any entry may be goes with the next use, whoever
it was of.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mica.errors import MalformedRequest
from mica.tokens import decode_json

#: How long a sign-in is remembered at most.
LONGEST = timedelta(hours=1)
_MAX_ENTRY = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One sign-in."""

    until: datetime
    """When it is over, whatever is left of it."""
    subject: str
    asked: str = ""
    """What the provider was asked for: an answer to something else is none. Empty when that is not known."""
    nonce: str = ""
    """The one that the CA has seen."""
    identity_token: str = field(default="", repr=False)
    """One that no CA has taken; empty when there is none."""
    refresh_token: str = field(default="", repr=False)


class Cache:
    """The entries in ``folder``, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, issuer: str, client_id: str, now: datetime) -> Kept | None:
        """The entry, which is nobody else's any more; None when there is none that can be trusted or used."""
        self._sweep(now)
        place = self._place(issuer, client_id)
        taken = place.with_name(f"{place.name}.{os.urandom(8).hex()}")
        try:
            place.rename(taken)
        except OSError:
            return None
        try:
            said = decode_json(_read(taken))
            kept = _entry(said) if (said["issuer"], said["client_id"]) == (issuer, client_id) else None
        except (OSError, MalformedRequest, LookupError, TypeError, ValueError, OverflowError):
            kept = None
        finally:
            with suppress(OSError):
                taken.unlink()
        return kept if kept is not None and now < kept.until <= now + LONGEST else None

    def keep(self, issuer: str, client_id: str, kept: Kept) -> None:
        """The entry is ``kept``, in a file of mode 0600."""
        members = {
            "issuer": issuer,
            "client_id": client_id,
            "until": kept.until.timestamp(),
            "subject": kept.subject,
            "asked": kept.asked,
            "nonce": kept.nonce,
            "identity_token": kept.identity_token,
            "refresh_token": kept.refresh_token,
        }
        place = self._place(issuer, client_id)
        new = place.with_name(f"{place.name}.{os.urandom(8).hex()}")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(json.dumps(members).encode())
                new.replace(place)
            finally:
                new.unlink(missing_ok=True)

    def _sweep(self, now: datetime) -> None:
        """No file is older than an entry may be: neither what was never asked for again, nor what a crash left."""
        with suppress(OSError):
            for place in self._folder.glob("*.json*"):
                if place.lstat().st_mtime < (now - LONGEST).timestamp():
                    place.unlink()

    def _place(self, issuer: str, client_id: str) -> Path:
        digest = hashlib.sha256("\0".join((issuer, client_id)).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.json"


def _read(place: Path) -> bytes:
    """What the file holds; raises PermissionError when others could have read or written it."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO makes nobody wait
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{place}: is not for its owner alone")
        return stream.read(_MAX_ENTRY)


def _entry(said: dict[str, Any]) -> Kept:
    texts = {name: said[name] for name in ("subject", "asked", "nonce", "identity_token", "refresh_token")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a member is no text")
    return Kept(until=datetime.fromtimestamp(said["until"], UTC), **texts)
