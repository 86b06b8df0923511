"""The sockets that the workers share."""

import errno
import os
import socket

from mica.config import split_address
from mica.errors import ConfigError

BACKLOG = 2048


def listen(address: str) -> list[socket.socket]:
    """A listening socket for each IPv4 and IPv6 address that ``address`` means; raises ConfigError.

    ``:8443`` means every interface. Port 0 is any free port, the same for all.
    """
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise ConfigError([f"address: {address!r} is not host:port"]) from error
    sockets: list[socket.socket] = []
    try:
        for family, place in _places(address, host, port):
            sockets.append(_listen(family, place[0], port or (sockets[0].getsockname()[1] if sockets else 0)))
    except OSError as error:
        # A name may stand for an address that this machine lacks: ::1 of localhost, where there is no IPv6.
        if not (sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)):
            for listener in sockets:
                listener.close()
            raise ConfigError([_fault(address, error)]) from error
    return sockets


def _places(address: str, host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Families and addresses, IPv4 first, so that a machine without IPv6 serves the rest."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError([f"address: {address} cannot be resolved: {error.strerror}"]) from error
    places = {(family, (str(place[0]), port)) for family, _, _, _, place in found}
    return sorted(places, key=lambda place: (place[0] != socket.AF_INET, place))


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _fault(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"address: {address} is in use by another program; stop it or choose another address"
    if error.errno == errno.EACCES:
        return f"address: {address} needs a privilege; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
    return f"address: cannot listen on {address}: {os.strerror(error.errno or 0)}"
