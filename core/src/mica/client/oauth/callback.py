"""The one request that ends a sign-in: the browser's, back from the provider. Everything else is turned away."""

import hmac
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from mica.client.oauth.answers import refusal
from mica.client.oauth.refusals import NotSignedIn

_MAX_FIELDS = 32
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a browser is shown, as plain text."""

    status: HTTPStatus
    title: str
    text: str
    last: bool = False
    """The sign-in is over when this has been sent."""
    location: str = ""
    """Where the browser goes on to, when it is not to stay."""


class Callback:
    """Waits for the answer with ``state``, at ``path`` of one of ``hosts``; the first such answer counts, and no other.

    ``onward`` is where the browser of somebody who signed in goes afterwards; empty: it stays.
    """

    def __init__(
        self,
        *,
        hosts: frozenset[str],
        state: str,
        issuer: str,
        names_itself: bool,
        path: str = "/",
        onward: str = "",
    ) -> None:
        self._hosts, self._path, self._state, self._onward = hosts, path, state, onward
        self._issuer, self._names_itself = issuer, names_itself
        self._lock, self._over = threading.Lock(), threading.Event()
        self._outcome: str | NotSignedIn | None = None
        self._strays = 0

    def wait(self, seconds: float) -> str:
        """The code; raises NotSignedIn when the answer is another, or does not come within ``seconds``."""
        self._over.wait(seconds)
        if isinstance(self._outcome, str):
            return self._outcome
        if self._outcome is not None:
            raise self._outcome
        stray = f"; requests that were no answer to this sign-in: {self._strays}" if self._strays else ""
        raise NotSignedIn(
            f"nobody signed in within {seconds / 60:g} minutes{stray}",
            hint="run the command again; --console is for a browser on another machine, where the provider has that",
        )

    def finish(self) -> None:
        """Whoever waits goes on."""
        self._over.set()

    def judge(self, target: str, hosts: Sequence[str]) -> Page:
        """What the request for ``target`` is answered with; ``hosts`` are its ``Host`` headers."""
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            # A page of another name that resolves to this address (DNS rebinding) learns nothing, and ends nothing.
            return _refused(HTTPStatus.MISDIRECTED_REQUEST, "This address is not for that name.")
        if target.partition("?")[0] != self._path:
            self._strays += "state=" in target  # whoever told the provider another path wonders
            return _refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        try:
            pairs = parse_qsl(target.partition("?")[2], keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:
            pairs = []
        fields = dict(pairs)
        if len(fields) != len(pairs) or not hmac.compare_digest(fields.get("state", "").encode(), self._state.encode()):
            self._strays += 1
            return _refused(HTTPStatus.BAD_REQUEST, "This is no answer to the sign-in that mica waits for.")
        with self._lock:
            if self._outcome is not None:
                return _refused(HTTPStatus.GONE, "This sign-in is over. This window may be closed.")
            self._outcome = self._judged(fields)
        return _shown(self._outcome, self._onward)

    def _judged(self, fields: dict[str, str]) -> str | NotSignedIn:
        """The code in the answer, or what is wrong with it."""
        if fields.get("iss", self._issuer) != self._issuer or (self._names_itself and "iss" not in fields):
            return NotSignedIn(  # RFC 9207 §2.4: another provider's answer, mixed in
                f"the answer in the browser is not by {self._issuer}: its iss is {fields.get('iss', '')[:_MAX_SHOWN]!r}"
            )
        if "error" in fields:
            return refusal(fields["error"], fields.get("error_description", ""))
        return fields.get("code") or NotSignedIn("the answer in the browser has no code")


def _refused(status: HTTPStatus, text: str) -> Page:
    return Page(status=status, title="mica", text=text)


def _shown(outcome: str | NotSignedIn, onward: str) -> Page:
    if isinstance(outcome, str):
        text = "The sign-in goes on in the terminal. This window may be closed."
        status = HTTPStatus.SEE_OTHER if onward else HTTPStatus.OK
        return Page(status=status, title="Signed in", text=text, last=True, location=onward)
    text = f"{outcome}. This window may be closed."
    return Page(status=HTTPStatus.BAD_REQUEST, title="Not signed in", text=text, last=True)
