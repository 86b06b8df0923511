"""Which endpoint answers a path.

Paths are compared as the octets that were sent. Nothing is decoded, folded or normalised before the comparison, so
``//sign``, ``/%73ign`` and ``/Sign`` are other paths than ``/sign``, and are not found.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

Endpoint = Callable[[Request], Awaitable[Response]]

_PREFIXES = ("", "/1.0")
_PARAMETER = "{}"


@dataclass(frozen=True, slots=True)
class Route:
    """``endpoint`` answers ``method`` at ``path``, with and without ``/1.0``.

    One segment of the path may be ``{}``: what stands there is given, decoded, as ``path_params["value"]``.
    """

    method: str
    path: str
    endpoint: Endpoint


class RoutingTable:
    """Every route, found by look-up."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[bytes, dict[str, Endpoint]] = {}
        self._open: dict[tuple[bytes, ...], dict[str, Endpoint]] = {}
        for route in routes:
            for prefix in _PREFIXES:
                self._add(prefix + route.path, route)

    def _add(self, path: str, route: Route) -> None:
        if _PARAMETER in path:
            methods = self._open.setdefault(tuple(path.encode().split(b"/")), {})
        else:
            methods = self._fixed.setdefault(path.encode(), {})
        methods[route.method] = route.endpoint
        if route.method == "GET":
            methods["HEAD"] = route.endpoint

    async def answer(self, request: Request) -> Response:
        """The endpoint's answer; 404 for an unknown path, 405 for a method that the path does not have."""
        path: bytes = request.scope["raw_path"]
        methods = self._fixed.get(path) or self._parametrised(path, request)
        if methods is None:
            return PlainTextResponse("404 page not found\n", 404)
        endpoint = methods.get(request.scope["method"])
        if endpoint is None:
            return Response(None, 405, {"allow": ", ".join(methods)})
        response = await endpoint(request)
        if not isinstance(response, Response):
            raise TypeError(f"{endpoint!r} answered with {type(response).__name__}, not with a Response")
        return response

    def _parametrised(self, path: bytes, request: Request) -> Mapping[str, Endpoint] | None:
        """The methods of the route whose one open segment fits; its value is put into ``path_params``."""
        segments = path.split(b"/")
        for pattern, methods in self._open.items():
            if len(pattern) != len(segments):
                continue
            given = [segment for segment, expected in zip(segments, pattern, strict=True) if segment != expected]
            place = pattern.index(_PARAMETER.encode())
            if given == [segments[place]] and given[0]:
                try:
                    request.scope["path_params"] = {"value": unquote_to_bytes(given[0]).decode()}
                except UnicodeDecodeError:
                    return None
                return methods
        return None
