"""Listens at the loopback address to which the provider sends the browser back (RFC 8252 §7.3)."""

import html
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from mica.client.oauth.callback import Callback, Page
from mica.client.oauth.landing import Address, Landing
from mica.client.oauth.refusals import NotSignedIn

_MAX_CONNECTIONS = 16
_PATIENCE = 10  # seconds that a browser may need for a line


@contextmanager
def listening(landing: Landing) -> "Iterator[Listener]":
    """A listener for ``landing``, closed afterwards; raises NotSignedIn when somebody else has its address."""
    address = landing.address
    try:
        server = _Server(address)
    except OSError as error:
        raise NotSignedIn(
            f"{address.host}:{address.port}: cannot be listened at: {(error.strerror or str(error)).lower()}",
            hint="another program may have it, or another sign-in; --listen names another, if the provider takes that",
        ) from error
    try:
        yield Listener(server, landing)
    finally:
        server.close()


class Listener:
    """Takes connections once there is a callback to judge them; until then the kernel keeps them."""

    def __init__(self, server: "_Server", landing: Landing) -> None:
        self._server, self.port = server, int(server.server_address[1])
        self.redirect_uri, self.hosts, self.path = (
            landing.redirect_uri(self.port),
            landing.hosts(self.port),
            landing.path,
        )

    def serve(self, callback: Callback) -> None:
        """Requests are answered as ``callback`` judges them, until the listener is closed."""
        self._server.callback = callback
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="sign-in", daemon=True).start()
        self._server.running = True


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"  # elsewhere it would let another program listen at the same address
    callback: Callback
    running = False

    def __init__(self, address: Address) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((address.ip, address.port), _Handler)

    def close(self) -> None:
        if self.running:
            self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own; the oldest connection goes when there are too many: a browser is quick."""
        with self._lock:
            self._open[id(request)] = request
            oldest = next(iter(self._open.values())) if len(self._open) > _MAX_CONNECTIONS else None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A stranger's broken connection is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        page = self.server.callback.judge(self.path, self.headers.get_all("Host") or [])
        try:
            self._show(page)
        finally:
            if page.last:
                self.server.callback.finish()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no GET, or no HTTP, is turned away in few words."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._show(Page(status=status, title="mica", text=status.phrase))

    def version_string(self) -> str:
        return "mica"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the answer holds a code."""

    def _show(self, page: Page) -> None:
        title, text = html.escape(page.title), html.escape(page.text)
        body = f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1><p>{text}</p>\n'.encode()
        self.send_response(page.status)
        onward = {"Location": page.location} if page.location else {}
        for name, value in (
            *onward.items(),
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
