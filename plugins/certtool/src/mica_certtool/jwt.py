"""``mica crypto jwt inspect``."""

import base64
import binascii
import json
import re
import sys

import click

from mica.cli.kit import FileProblem, Usage, json_text, options, product, read_input

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_PARTS = ("header", "payload", "signature")


@click.command()
@options.insecure
def inspect(insecure: bool) -> None:
    """Show the token on stdin, which is not verified."""
    if not insecure:
        raise Usage("flag '--insecure' is required, because the token is not verified")
    if sys.stdin.isatty():
        raise Usage("there is no token on stdin", hint="echo $TOKEN | mica crypto jwt inspect --insecure")
    product(json_text(members(read_input("-"))))


def members(data: bytes) -> dict[str, object]:
    """Header, payload and signature of the JWT ``data`` (RFC 7519 §3), in the token's order; raises FileProblem."""
    text = data.decode("ascii", "replace").strip()
    parts = text.split(".")
    if not text:
        raise FileProblem("stdin: is empty", hint="write a token to it")
    if len(parts) != len(_PARTS):
        raise FileProblem(
            f"stdin: is not a JWT: it has {len(parts)} parts and not three", hint="header.payload.signature"
        )
    if not _BASE64URL.fullmatch(parts[2]):
        raise FileProblem("stdin: is not a JWT: its signature is not base64url")
    header, payload = (_object(part, name) for part, name in zip(parts, _PARTS[:2], strict=False))
    return {"header": header, "payload": payload, "signature": parts[2]}


def _object(part: str, name: str) -> dict[str, object]:
    try:
        if not _BASE64URL.fullmatch(part):
            raise binascii.Error("a character that is not in its alphabet")
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = json.loads(decoded, object_pairs_hook=_without_repetition, parse_constant=_no_constant)
    except binascii.Error as error:
        raise FileProblem(f"stdin: is not a JWT: its {name} is not base64url: {error}") from error
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"stdin: is not a JWT: its {name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FileProblem(f"stdin: is not a JWT: its {name} is not a JSON object")
    return found


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")  # RFC 7519 §4 lets parsers refuse it
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number in JSON")
