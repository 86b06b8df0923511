"""Evil plugins are tried out here: an authority with them, and what came of it. Same process, so a plugin that patches
the core's own modules is beyond any defence; what is tried is all that the interfaces allow."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from mica.authority import Authority
from mica.keyfiles import generate
from mica.records import CertificateKind, Query
from mica.testing.ca import TestCA, csr_pem
from mica.testing.line_requests import Reply, send
from mica.testing.plugins import enable
from mica.web.app import Application, create_app

Act = Callable[..., Any]
KEY = generate("EC-P256")
CANARY = "canary-5f1d"


def raising(error: BaseException) -> Act:
    """Raises it when it is called."""

    def act(*_: Any) -> Any:
        raise error

    return act


def raising_later(error: BaseException) -> Act:
    """Raises it after it has waited."""

    async def act(*_: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    return act


async def hang(*_: Any) -> Any:
    """Waits for longer than anybody does."""
    await asyncio.sleep(600)


async def hang_and_agree(*_: Any) -> Any:
    """Waits, is told to end, and has no objection then."""
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return None


async def hang_on(*_: Any) -> Any:
    """Waits, and does not end when it is told."""
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


class Posing:
    """Not what it says that it is."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._kind


class Unruly:
    """What an ``await`` meets and cannot wait for."""

    def __init__(self, steps: Callable[[], Any]) -> None:
        self._steps = steps

    def __await__(self) -> Any:
        return self._steps()


#: Everything that can be raised, at once and later.
ERRORS: dict[str, BaseException] = {
    "RuntimeError": RuntimeError(f"{CANARY}\n\x1b[31m\u2028"),
    "StopIteration": StopIteration(None),
    "StopAsyncIteration": StopAsyncIteration(),
    "RecursionError": RecursionError("deep"),
    "MemoryError": MemoryError(),
    "TimeoutError": TimeoutError(),
    "a group": ExceptionGroup("many", [ValueError("one")]),
    "CancelledError": asyncio.CancelledError(),
    "SystemExit": SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "a BaseException of its own": type("Own", (BaseException,), {})(),
}
#: Ways to give no answer, for any call that is awaited.
FAILURES: dict[str, Act] = {
    **{f"raises {name}": raising(error) for name, error in ERRORS.items()},
    **{f"raises {name} later": raising_later(error) for name, error in ERRORS.items()},
    "hangs": hang,
    "hangs on when told to end": hang_on,
    "is awaited and gives no iterator": lambda *_: Unruly(lambda: 7),
    "yields what nobody can wait for": lambda *_: Unruly(lambda: iter([7, 8])),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An authority with evil plugins in it, and its application."""

    ca: TestCA
    authority: Authority
    app: Application

    async def sign(self, token: str = "", name: str = "svc.example") -> Reply:
        """The answer to an order, with a good token unless another is given."""
        body = {"csr": csr_pem(name, key=KEY), "ott": token or self.ca.token(name, sans=[name])}
        return await send(self.app, "POST", "/sign", body)

    async def on_record(self) -> list[str]:
        """The subjects of all certificates."""
        rows = []
        for kind in CertificateKind:
            page = await self.authority.store.search(Query(now=self.authority.now(), kind=kind))
            rows += [row.issuance.subject for row in page.rows]
        return rows


@asynccontextmanager
async def tried(ca: TestCA, **plugins: object) -> AsyncIterator[Trial]:
    """``ca`` is started with these plugins besides its own, and closed afterwards."""
    enable(ca, *plugins)
    authority = ca.authority(plugins)
    try:
        await authority.start()
        yield Trial(ca=ca, authority=authority, app=create_app(authority))
    finally:
        await authority.aclose()


def told(caplog: pytest.LogCaptureFixture) -> str:
    """Messages and fields of everything that was logged, as ``mica.logs`` writes them."""
    from mica.logs import JSONFormatter

    return "\n".join(map(JSONFormatter().format, caplog.records))


def lines_of(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    """The lines above INFO that have all of these words."""
    loud = [record for record in caplog.records if record.levelno > logging.INFO]
    caplog.handler.records = loud
    return [line for line in told(caplog).splitlines() if all(word in line for word in words)]


def blob(key: Any) -> str:
    """The SSH public key of ``key``, as requests have it."""
    from mica.sshkeys import SSHPublicKey

    return base64.b64encode(SSHPublicKey.of(key.public_key()).blob).decode()
