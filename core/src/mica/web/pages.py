"""The public pages: health, version, roots, intermediates. What is constant is encoded once."""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response

from mica import __version__
from mica.authority import Authority
from mica.deadlines import within
from mica.errors import MicaError, NotFound, Unavailable, Unsupported
from mica.roles import Store
from mica.web.answers import JSON, pem
from mica.web.routing import Endpoint, Route

#: For how long an answer of the store's probe stands, so that health checks cost it nothing.
PROBE_LIFETIME = 1.0
PROBE_PATIENCE = 5.0


def routes(authority: Authority) -> Iterable[Route]:
    """The public pages of ``authority``, but for its provisioners."""
    roots = authority.roots
    known = list(dict.fromkeys((*roots, *authority.federated_roots)))
    probe = StoreProbe(authority.store)
    pages: dict[str, Endpoint] = {
        "/health": partial(_health, probe),
        "/version": _constant(lambda: JSON({"version": __version__})),
        "/root/{}": partial(_root, {cert.fingerprint(hashes.SHA256()).hex(): _pem(cert) for cert in known}),
        "/roots": _constant(partial(_list, roots)),
        "/roots.pem": _constant(partial(_bundle, roots)),
        "/federation": _constant(partial(_list, known)),
        "/intermediates": _intermediates(authority, _list),
        "/intermediates.pem": _intermediates(authority, _bundle),
    }
    return [Route("GET", path, endpoint) for path, endpoint in pages.items()]


class StoreProbe:
    """Whether the store can write, asked at most once per ``PROBE_LIFETIME``, by one request at a time."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked_at: float | None = None
        self._failure: Unavailable | None = None

    async def check(self) -> None:
        """The store could write a moment ago; raises Unavailable."""
        async with self._lock:
            if self._asked_at is None or self._clock() - self._asked_at > PROBE_LIFETIME:
                self._failure = await self._ask()
                self._asked_at = self._clock()
        if self._failure is not None:
            raise Unavailable(str(self._failure))

    async def _ask(self) -> Unavailable | None:
        try:
            await within(PROBE_PATIENCE, self._store.probe())
        except TimeoutError:
            return Unavailable(f"the store did not answer within {PROBE_PATIENCE:.0f} s")
        except MicaError as error:
            return Unavailable(str(error))
        except Exception as error:  # the plugin boundary: a store that crashes is not healthy
            return Unavailable(f"the store failed: {type(error).__name__}: {error}")
        return None


async def _health(probe: StoreProbe, request: Request) -> Response:
    await probe.check()
    return JSON({"status": "ok"})


async def _root(known: dict[str, str], request: Request) -> Response:
    fingerprint = request.path_params["value"].lower().replace("-", "")
    if fingerprint not in known:
        raise NotFound(f'root certificate with fingerprint "{fingerprint}" was not found')
    return JSON({"ca": known[fingerprint]})


def _constant(make: Callable[[], Response]) -> Endpoint:
    """An endpoint whose answer never changes; it is made anew each time because headers are added to it."""

    async def endpoint(request: Request) -> Response:
        return make()

    return endpoint


def _intermediates(authority: Authority, render: Callable[[Iterable[x509.Certificate]], Response]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if not authority.intermediates:
            raise Unsupported("")
        return render(authority.intermediates)

    return endpoint


def _list(certificates: Iterable[x509.Certificate]) -> Response:
    return JSON({"crts": [_pem(certificate) for certificate in certificates]}, HTTPStatus.CREATED)


def _bundle(certificates: Iterable[x509.Certificate]) -> Response:
    return Response("".join(map(_pem, certificates)), media_type="application/x-pem-file")


def _pem(certificate: x509.Certificate) -> str:
    return pem(certificate.public_bytes(Encoding.DER))
