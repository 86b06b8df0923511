"""The endpoints of plugins: one that fails or hangs is named, and answers nobody but who asked."""

import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mica.containment import contained
from mica.deadlines import Late, within
from mica.errors import MicaError, Unavailable
from mica.web.answers import failure
from mica.web.routing import Route

#: How long an endpoint may take for its answer, in seconds: longer than all of an issuance's own deadlines.
DEADLINE = 90.0

_log = logging.getLogger("mica.routes")


def guarded(plugin: str, route: Route) -> Route:
    """The same route; its endpoint raises MicaError and ClientDisconnect at most, and Unavailable in the end."""
    endpoint, place = route.endpoint, f"{route.method} {route.path}"

    async def answer(request: Request) -> Response:
        try:
            with contained:
                response: object = await within(DEADLINE, endpoint(request))
        except (MicaError, ClientDisconnect):
            raise
        except Late as error:
            _log.exception("plugin %s did not answer %s in time", plugin, place)
            raise Unavailable(f"plugin {plugin} did not answer {place} in time") from error
        except Exception as error:
            _log.exception("plugin %s failed at %s", plugin, place)
            return failure(error)
        if isinstance(response, Response):
            return response
        _log.error("plugin %s answered %s with %s, not with a Response", plugin, place, type(response).__name__)
        return failure(TypeError())

    return Route(route.method, route.path, answer)
