"""One worker: a process that serves one generation of the configuration until it is told to stop.

Run as ``python -m mica.web.worker FD PARENT``, where ``FD`` is its end of the link to the supervisor.
"""

import asyncio
import contextlib
import faulthandler
import gc
import json
import logging
import pickle
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any, NoReturn

import uvloop
from cryptography.hazmat.primitives import hashes

from mica import logs
from mica.authority import Authority
from mica.config import Settings, load
from mica.errors import ConfigError, MicaError
from mica.issuance import issue_own
from mica.web import hardening
from mica.web.app import create_app
from mica.web.link import Failed, Loaded, Orders, Ready, WorkerEnd
from mica.web.protocol import Limits, close_overdue
from mica.web.server import TLSServer
from mica.web.timing import Timing
from mica.web.tls import ServerCertificate, server_context

#: How a worker ends that could not start, and one that met what it should not have. The watchdog ends one with 1.
NOT_STARTED, BROKEN = 3, 70

_log = logging.getLogger("mica.worker")
_OTHER_FILES = 256
# A request makes some thousand short-lived objects and no cycles: the usual 700 has it collected twice for nothing.
_GC_THRESHOLDS = (20_000, 20, 20)


def main(arguments: list[str]) -> int:
    """The exit status, after everything that there was to serve has been served."""
    descriptor, parent = map(int, arguments)
    faulthandler.enable()
    # Ctrl-C and a closed terminal reach the whole process group; the supervisor decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hardening.end_with_parent(parent)
    hardening.protect_memory()
    hardening.raise_file_limit(Limits().connections + Limits().handshakes + _OTHER_FILES)
    link = WorkerEnd(socket.socket(fileno=descriptor))
    try:
        # The supervisor is this program too, and the only one that holds the other end.
        orders: Orders = pickle.loads(link.receive_orders())  # noqa: S301
        logs.configure(orders.log_format)
        return _work(link, orders)
    except EOFError:
        return 0  # the supervisor has gone or changed its mind


def _work(link: WorkerEnd, orders: Orders) -> int:
    try:
        settings: Settings = (
            pickle.loads(orders.settings)  # noqa: S301 - as above
            if orders.settings
            else load(orders.path, password=orders.password)
        )
        authority = Authority.assemble(settings)
        link.report(_loaded(settings), b"" if orders.settings else pickle.dumps(settings))
        sockets = link.receive_sockets()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(link, authority, sockets, orders.timing))
    except MicaError as error:
        _report_failure(link, error.faults if isinstance(error, ConfigError) else (str(error),))
        return NOT_STARTED
    except (EOFError, BrokenPipeError):
        raise EOFError from None
    except Exception as error:
        _log.exception("the worker failed")
        _report_failure(link, (f"{type(error).__name__}: {error}",))
        return BROKEN
    return 0


def _report_failure(link: WorkerEnd, faults: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError):  # the supervisor may have gone, or count on this worker already
        link.report(Failed(faults=faults))


def _loaded(settings: Settings) -> Loaded:
    store = json.dumps(settings.core.store, sort_keys=True, default=str)
    return Loaded(address=settings.address, url=settings.url, store=store)


async def _serve(link: WorkerEnd, authority: Authority, sockets: list[socket.socket], timing: Timing) -> None:
    """Serves until SIGTERM, or until the supervisor has gone; then finishes what is in flight."""
    loop = asyncio.get_running_loop()
    context = server_context(authority.clients_trust)
    server = TLSServer(create_app(authority), context, drain=timing.drain, ready=partial(_tell_ready, link, authority))
    loop.add_signal_handler(signal.SIGTERM, _stop, server)
    loop.set_exception_handler(_log_loop_failure)
    watchdog = asyncio.create_task(_feed_watchdog(timing.stall))
    try:
        await authority.start()
        certificate = ServerCertificate(context=context, issue=partial(issue_own, authority), now=authority.now)
        await certificate.obtain()
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process; collections need not look at it again
        gc.set_threshold(*_GC_THRESHOLDS)
        async with _in_background(
            certificate.keep_current(),
            close_overdue(server.server_state),
            _prune(authority, timing.prune),
            _stop_with_supervisor(link, server),
        ):
            await server.serve(sockets)
    finally:
        await authority.aclose()
        watchdog.cancel()
        faulthandler.cancel_dump_traceback_later()


def _tell_ready(link: WorkerEnd, authority: Authority) -> None:
    roots = tuple(root.fingerprint(hashes.SHA256()).hex() for root in authority.roots)
    link.connection.setblocking(True)
    link.report(Ready(roots=roots))
    link.connection.setblocking(False)


def _stop(server: TLSServer) -> None:
    server.should_exit = True


@contextlib.asynccontextmanager
async def _in_background(*coroutines: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """The coroutines run meanwhile; one that fails ends everything, because none of them may."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


async def _feed_watchdog(stall: float) -> NoReturn:
    """For ever: while the loop turns, the process is not ended. When it stands still, every thread's stack is printed.

    The watchdog is a thread of C code (faulthandler), which needs neither the loop nor the interpreter.
    """
    while True:
        faulthandler.dump_traceback_later(stall, exit=True)
        await asyncio.sleep(stall / 4)


async def _prune(authority: Authority, interval: float) -> NoReturn:
    """For ever: what the store need not remember any more is forgotten from time to time."""
    while True:
        await asyncio.sleep(interval)
        try:
            pruned = await authority.store.prune(authority.now())
        except Exception:  # the plugin boundary: the next time may go better
            _log.exception("spent tokens could not be pruned")
        else:
            _log.debug("spent tokens pruned", extra=logs.fields(count=pruned))


async def _stop_with_supervisor(link: WorkerEnd, server: TLSServer) -> None:
    """The server stops when the other end of the link is closed."""
    link.connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while await loop.sock_recv(link.connection, 1):
            pass
    _log.warning("the supervisor has gone; this worker finishes what it has begun")
    server.should_exit = True


def _log_loop_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Failures that no request owns: a handshake with a stranger is no news, anything else is an error."""
    error = context.get("exception")
    level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
    _log.log(level, context.get("message", "unhandled failure"), exc_info=error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
