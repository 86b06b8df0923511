"""What an authority without SSH answers at SSH's paths: that it has none, in the words that step's clients know."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from mica.errors import NotFound, Unsupported
from mica.web.routing import Route

_ASKED = ("/ssh/roots", "/ssh/federation", "/ssh/hosts", "/ssh/get-hosts", "/ssh/krl")
_TOLD = ("/ssh/config", "/ssh/config/{}", "/ssh/check-host", "/ssh/bastion")
_ORDERED = ("/ssh/sign", "/sign-ssh", "/ssh/renew", "/ssh/rekey", "/ssh/revoke")


def routes() -> Iterable[Route]:
    """The routes that a plugin for SSH would have."""
    return (
        *(Route("GET", path, _not_found) for path in _ASKED),
        *(Route("POST", path, _not_found) for path in _TOLD),
        *(Route("POST", path, _unsupported) for path in _ORDERED),
    )


async def _not_found(_: Request) -> Response:
    raise NotFound("")


async def _unsupported(_: Request) -> Response:
    raise Unsupported("")
