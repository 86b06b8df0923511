"""``GET /provisioners`` in pages, and the encrypted key of a provisioner."""

import hashlib
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mica.authority import Authority
from mica.errors import MalformedRequest, NotFound
from mica.web.answers import JSON
from mica.web.routing import Route

_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def routes(authority: Authority) -> Iterable[Route]:
    """What the public may know of the provisioners."""
    return (
        Route("GET", "/provisioners", partial(_provisioners, authority)),
        Route("GET", "/provisioners/{}/encrypted-key", partial(_encrypted_key, authority)),
    )


async def _provisioners(authority: Authority, request: Request) -> Response:
    limit = _limit(request.query_params.get("limit", ""))
    cursor = request.query_params.get("cursor", "").rjust(40, "0")
    entries = authority.provisioners
    uids = [_uid(index, entry.type, entry.name) for index, entry in enumerate(entries)]
    first = next((index for index, uid in enumerate(uids) if uid >= cursor), len(uids))
    behind = first + limit
    return JSON(
        {
            "provisioners": [dict(entry.describe()) for entry in entries[first:behind]],
            "nextCursor": uids[behind].lstrip("0") if behind < len(uids) else "",
        }
    )


async def _encrypted_key(authority: Authority, request: Request) -> Response:
    kid = request.path_params["value"]
    for entry in authority.provisioners:
        description: dict[str, Any] = dict(entry.describe())
        key = description.get("key")
        if isinstance(key, dict) and key.get("kid") == kid and description.get("encryptedKey"):
            return JSON({"key": description["encryptedKey"]})
    raise NotFound("")


def _limit(text: str) -> int:
    if not text:
        return _DEFAULT_LIMIT
    if not _INTEGER.fullmatch(text):
        raise MalformedRequest(f"limit '{text[:40]}' is not an integer")
    limit = int(text)
    return min(limit, _MAX_LIMIT) if limit > 0 else _DEFAULT_LIMIT


def _uid(index: int, type: str, name: str) -> str:
    """Where a page can begin: the place of the provisioner, then some digits that tell it from a successor there."""
    digest = hashlib.sha1(f"{type}/{name}".encode(), usedforsecurity=False).digest()
    return (index.to_bytes(4, "big") + digest[4:20]).hex()
