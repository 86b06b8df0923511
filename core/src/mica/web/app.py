"""The ASGI application: one request in, one answer out, one line in the log, one id in all three."""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mica import logs
from mica.authority import Authority
from mica.containment import contained
from mica.errors import ConfigError, MicaError, Unavailable, told
from mica.services import Services
from mica.web import certificates, pages, provisioners, without_ssh
from mica.web.answers import failure, note, noted
from mica.web.pluginroutes import guarded
from mica.web.routing import Route, RoutingTable

_log = logging.getLogger("mica.access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_ID_HEADERS = (b"x-request-id", b"x-smallstep-id")
_METHODS = ("GET", "POST", "PUT", "DELETE")
_VERSION = "1.0"  # every path is served below it, too
# The first segment is literal, so that no path can be two plugins'.
_SOUND_PATH = re.compile(r"(?!.*/[.]+(/|$))(/[A-Za-z0-9._~-]+)+(/\{\})?(/[A-Za-z0-9._~-]+)*")
_CLIENT_GONE = 499  # as nginx logs it


def create_app(authority: Authority) -> "Application":
    """The HTTP API of ``authority``."""
    modules = (certificates, pages, provisioners)
    own = [route for module in modules for route in module.routes(authority)]
    return Application(RoutingTable([*own, *plugin_routes(authority, own)]))


def plugin_routes(authority: Authority, own: Iterable[Route]) -> list[Route]:
    """What plugins serve beside the core; raises ConfigError when two would share the first segment of a path."""
    owners = {_VERSION: "the core"} | {_first_segment(route): "the core" for route in own}
    routes: dict[tuple[str, str], Route] = {}
    faults = []
    for plugin, route in authority.hooks.routes(Services(authority)):
        if not isinstance(route, Route):
            faults.append(f"plugin {plugin}: routes must give mica.Route objects, not {type(route).__name__}")
        elif route.method not in _METHODS or not _SOUND_PATH.fullmatch(route.path):
            faults.append(f"plugin {plugin}: {route.method} {route.path} cannot be served; see mica.Route")
        elif (owner := owners.setdefault(_first_segment(route), plugin)) != plugin:
            faults.append(f"plugin {plugin}: {route.path} is below what {owner} serves; choose another first segment")
        elif (route.method, route.path) in routes:
            faults.append(f"plugin {plugin}: {route.method} {route.path} is there twice")
        else:
            routes[route.method, route.path] = guarded(plugin, route)
    if faults:
        raise ConfigError(faults)
    return [*routes.values(), *(route for route in without_ssh.routes() if _first_segment(route) not in owners)]


def _first_segment(route: Route) -> str:
    return route.path.split("/")[1]


class Application:
    """Answers every request that the routing table knows, and every failure as the error table says."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. The answer has the request's id; the access line has both."""
        started = time.perf_counter()
        identifier = _identify(scope["headers"])
        logs.request_id.set(identifier.decode())
        request = Request(scope, receive)
        response = await self._answer(request)
        if response is not None:
            response.raw_headers.append((b"x-request-id", identifier))
            await response(scope, receive, send)
        _account(request, _CLIENT_GONE if response is None else response.status_code, time.perf_counter() - started)

    async def _answer(self, request: Request) -> Response | None:
        """The answer, None when the client has gone. Nothing is raised."""
        try:
            with contained:
                return await self._table.answer(request)
        except MicaError as error:
            cause = error.__cause__
            note(request, error=told(error), cause=f"{type(cause).__name__}: {told(cause)}" if cause else None)
            return failure(error)
        except ClientDisconnect:
            return None
        except asyncio.CancelledError:
            # Only the end of the grace period cancels a request. Its connection is told, then closed.
            return failure(Unavailable("the server is shutting down"))
        except Exception as error:
            _log.exception("a request failed in a way that nobody foresaw; please report this")
            return failure(error)


def _identify(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The id that the client chose when it is a plain one, else a new one (RFC 9562 §5.4)."""
    for name, value in headers:
        if name in _ID_HEADERS and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid4()).encode()


def _account(request: Request, status: int, seconds: float) -> None:
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    if not _log.isEnabledFor(level):
        return
    scope = request.scope
    client = scope.get("client")
    facts = logs.fields(
        method=scope["method"],
        path=scope["path"],
        status=status,
        milliseconds=round(seconds * 1000, 1),
        remote=client[0] if client else None,
        **noted(request),
    )
    _log.log(level, "request", extra=facts)
