"""Octets as texts: hex in rows, base64, digests."""

import base64
from collections.abc import Callable, Iterator


def b64(octets: bytes) -> str:
    """``octets`` in base64 (RFC 4648 §4)."""
    return base64.b64encode(octets).decode()


def b64url(octets: bytes) -> str:
    """``octets`` in base64 for URLs (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(octets).decode()


#: By the names that ``--format`` knows them by; ``raw`` is without padding.
FORMATS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": b64,
    "base64-url": b64url,
    "base64-raw": lambda octets: b64(octets).rstrip("="),
    "base64-url-raw": lambda octets: b64url(octets).rstrip("="),
}


def hex_rows(octets: bytes, width: int) -> Iterator[str]:
    """``octets`` in lower-case hex with colons, ``width`` in a row; a row that continues ends in a colon."""
    for start in range(0, len(octets), width):
        row = octets[start : start + width].hex(":")
        yield row + (":" if start + width < len(octets) else "")


def of_number(number: int) -> bytes:
    """``number`` in as few octets as hold it, at least one."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
