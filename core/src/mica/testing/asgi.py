"""Requests to an application in the process of the test: no TLS, no sockets, no credential, the same routes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from mica.web.app import Application


@dataclass(frozen=True, slots=True)
class Heard:
    """What the application answered, and how much of the request it has read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    read: int
    """Octets of the body that it took."""


async def ask(
    app: Application,
    method: str,
    path: bytes,
    body: Iterable[bytes] = (),
    headers: Mapping[str, str] | None = None,
    *,
    hangs_up: bool = False,
) -> Heard | None:
    """The answer; None when there is none, because the client ``hangs_up`` after ``body``, as one may."""
    path, _, query = path.partition(b"?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 443),
        "extensions": {},
    }
    sent: list[Any] = []
    sending = _Body(iter(body), hangs_up=hangs_up)

    async def collect(message: Any) -> None:
        sent.append(message)

    await app(scope, sending.receive, collect)
    if not sent:
        return None
    octets = b"".join(message.get("body", b"") for message in sent[1:])
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in sent[0].get("headers", ())}
    return Heard(int(sent[0]["status"]), found, octets, sending.sent)


@dataclass(slots=True)
class _Body:
    """What a client sends, piece by piece, as it is asked for."""

    pieces: Iterator[bytes]
    hangs_up: bool
    sent: int = 0

    async def receive(self) -> dict[str, Any]:
        piece = next(self.pieces, None)
        if piece is None:
            return {"type": "http.disconnect"} if self.hangs_up else {"type": "http.request", "body": b""}
        self.sent += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}
