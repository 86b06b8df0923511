"""What systemd is told about the service (sd_notify(3)); nothing when it did not ask."""

import os
import socket
import time


def ready(status: str) -> None:
    """systemd counts the service as started, or as reloaded."""
    _notify("READY=1", f"STATUS={status}")


def reloading() -> None:
    """systemd waits for the next ``ready`` (``Type=notify-reload``)."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """systemd knows that the service is ending by itself."""
    _notify("STOPPING=1")


def status(text: str) -> None:
    """``systemctl status`` shows ``text``."""
    _notify(f"STATUS={text}")


def alive() -> None:
    """The watchdog has its sign of life (``WatchdogSec=``)."""
    _notify("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """The seconds within which ``alive`` is to be called: half of what systemd allows; None when it asked for nothing.

    sd_watchdog_enabled(3): the variables may be meant for another process.
    """
    allowed, meant = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or (meant and meant != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


def _notify(*lines: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    path = "\0" + address[1:] if address.startswith("@") else address  # abstract namespace, unix(7)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1)
            sender.sendto("\n".join(lines).encode(), path)
    except OSError:
        return  # the service matters more than the notice
