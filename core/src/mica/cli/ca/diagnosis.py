"""Why the CA may have refused a token. Its 401 says nothing, by protocol; much can be seen from here."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mica.cli.ca import ordering
from mica.cli.ca.connection import Connection
from mica.cli.oauth import desk as signin
from mica.client import Refused, Untrusted
from mica.clock import system_clock
from mica.tokens import LEEWAY

if TYPE_CHECKING:
    from mica.tokens import UnverifiedToken

_SKEW = timedelta(seconds=30)
_UNAUTHORIZED = 401
#: What was asked for is refused, and a token that says who asks is as good as before.
_UNSPENT = frozenset({400, 403})
_NO_RENEWAL = (
    "the certificate may be revoked or expired, or its provisioner gone or without renewal, and the CA's log has the "
    "reason; {} gets a new one"
)
#: How the CA begins where a client may not know why; whatever else it says is the reason.
_NO_REASON = "The request lacked necessary authorization to be completed."
_NOTHING = "the token may have been used already, or its provisioner's key has changed; the CA's log has the reason"
_NOTHING_OF_SSH = (
    "the token may have been used already, its provisioner's key has changed, or its claims lack enable_ssh_ca; the "
    "CA's log has the reason"
)


@contextmanager
def diagnosed(token: "UnverifiedToken", connection: Connection, path: str) -> Iterator[None]:
    """A refusal, or distrust of the server, comes with what can be seen of its cause; ``path`` ends the URL used."""
    try:
        yield
    except Refused as error:
        if error.status == _UNAUTHORIZED and not error.hint and not error.explained:
            seen = [*_times(token, error.date), *_destination(token, connection, path)]
            error.hint = "; ".join(seen) or _guess(str(error), path)
        if error.status in _UNSPENT and ordering.is_identity(token):
            signin.give_back(token)
        raise
    except Untrusted as error:
        if error.flaw == "wrong-root" and (difference := _root(token, connection)):
            error.hint = difference
        raise


@contextmanager
def diagnosed_renewal(command: str = "mica ca certificate") -> Iterator[None]:
    """A refused renewal comes with what can be its cause; ``command`` gets a new certificate."""
    try:
        yield
    except Refused as error:
        if error.status in (0, _UNAUTHORIZED) and not error.hint and not error.explained:
            error.hint = "; ".join([*_skew(error.date), _NO_RENEWAL.format(command)])
        raise


def _guess(message: str, path: str) -> str:
    """What may be the cause when nothing can be seen; nothing, where the CA itself says why."""
    if not message.startswith(_NO_REASON):
        return ""
    return _NOTHING_OF_SSH if path.startswith("/ssh/") else _NOTHING


def _times(token: "UnverifiedToken", server_date: datetime | None) -> Iterator[str]:
    """What is wrong with the token's times by the CA's clock, which is not taken to the second, and with the clocks."""
    now = server_date or system_clock()
    not_before, expires = _moment(token, "nbf"), _moment(token, "exp")
    if expires is not None and expires + LEEWAY <= now:
        yield f"the token expired at {_text(expires)}, and it is {_text(now)} now: make a new one"
    if not_before is not None and not_before > now + LEEWAY:
        yield f"the token is not valid before {_text(not_before)}, and it is {_text(now)} now"
    yield from _skew(server_date)


def _skew(server_date: datetime | None) -> Iterator[str]:
    """How far this machine's clock is from the CA's, when that is far."""
    here = system_clock()
    if server_date is not None and abs(here - server_date) > _SKEW:
        ahead = "ahead of" if here > server_date else "behind"
        seconds = round(abs(here - server_date).total_seconds())
        yield f"this machine's clock is {seconds} seconds {ahead} the CA's: set it right"


def _destination(token: "UnverifiedToken", connection: Connection, path: str) -> Iterator[str]:
    """How the token's audience differs from where it was sent, and its root from the one that is trusted."""
    if ordering.is_identity(token):  # it is for the identity provider's client, which the CA names
        return
    audiences = [urlsplit(audience.partition("#")[0]) for audience in token.audiences]
    here = urlsplit(connection.url)
    if audiences and not any(audience.netloc.lower() == here.netloc.lower() for audience in audiences):
        yield f"the token is for {audiences[0].netloc or token.audiences[0]}, and was sent to {here.netloc}"
    if audiences and not any(audience.path.removeprefix("/1.0") == path for audience in audiences):
        yield f"the token is for {audiences[0].path or 'nothing'}, and was used for {path}"
    if difference := _root(token, connection):
        yield difference


def _root(token: "UnverifiedToken", connection: Connection) -> str:
    pinned = token.text("sha").lower()
    if not pinned or pinned == connection.root_fingerprint:
        return ""
    return f"the token is for a CA whose root is {pinned}, the one that is trusted is {connection.root_fingerprint}"


def _moment(token: "UnverifiedToken", claim: str) -> datetime | None:
    value = token.payload.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**35:
        return None
    return datetime.fromtimestamp(value, UTC)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
