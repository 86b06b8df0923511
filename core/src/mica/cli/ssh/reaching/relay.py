"""Octets from one side of a connection to the other, both ways, each until its own end."""

import os
import socket
import threading
from contextlib import suppress

_CHUNK = 1 << 16


def relay(peer: socket.socket, source: int, sink: int) -> None:
    """What ``source`` had has been sent to ``peer``, and what ``peer`` sent is in ``sink``; both have ended.

    The end of one way is passed on, and does not end the other (TCP's half-close, RFC 9293 §3.6).
    """
    sending = threading.Thread(target=_send, args=(peer, source), daemon=True)
    sending.start()
    _receive(peer, sink)
    sending.join()


def _send(peer: socket.socket, source: int) -> None:
    with suppress(OSError):  # the peer has gone; what it said before is still to be delivered
        while octets := os.read(source, _CHUNK):
            peer.sendall(octets)
    with suppress(OSError):
        peer.shutdown(socket.SHUT_WR)


def _receive(peer: socket.socket, sink: int) -> None:
    with suppress(OSError):  # whoever read has gone, or the peer has reset the connection: the end, either way
        while octets := peer.recv(_CHUNK):
            rest = memoryview(octets)
            while rest:
                rest = rest[os.write(sink, rest) :]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sink)  # whoever reads sees the end, and nothing else takes the descriptor's number
    os.close(null)
