"""Requests to the application itself, in the process of the test: no TLS, no sockets, the same routes and refusals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mica.web.app import Application


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON value."""
        return json.loads(self.body)

    @property
    def is_served(self) -> bool:
        """Whether what was ordered has been done."""
        return self.status in (200, 201)

    @property
    def is_refused(self) -> bool:
        """Whether it was refused, by the fault of whoever asked: no 500, and nothing that a later try may have."""
        return self.status in (400, 401, 403, 413)


def require_served(reply: Reply, what: str) -> None:
    """What was asked for has been done; else it is told ``what`` should have been."""
    assert reply.is_served, f"{what} must be served; the answer is {reply.status}, and the log has the reason: {reply}"


def require_refused(reply: Reply, what: str) -> None:
    """What was asked for has been refused by 400, 401, 403 or 413; else it is told ``what`` should have been."""
    assert reply.is_refused, f"{what} must be refused, as Unauthorized, Refused or MalformedRequest; it got {reply}"


async def send(
    app: Application, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """The answer; ``body`` is sent as JSON unless it is bytes or None."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 443),
        "extensions": {},
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    async def collect(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, collect)
    octets = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], octets)
