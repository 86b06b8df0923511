"""Tokens in compact form and their parts as JSON (RFC 7515 §7.1, RFC 7519 §3), taken apart and not believed."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mica.cli.kit import FileProblem, Usage
from mica_certtool.reading import inputs

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_PARTS = ("header", "payload", "signature")
#: Headers that decide how a token is read; each has its own flag, or none at all.
_OURS = {"alg": "--alg", "kid": "--kid", "x5c": "--x5c-cert", "crit": None, "b64": None, "jwk": None, "zip": None}


def members(data: bytes) -> dict[str, object]:
    """Header, payload and signature of the JWT ``data``, in the token's order; raises FileProblem."""
    parts = inputs.cleaned(data, "stdin", "a token").decode("ascii", "replace").strip().split(".")
    if len(parts) != len(_PARTS):
        raise FileProblem(
            f"stdin: is not a JWT: it has {len(parts)} parts and not three", hint="header.payload.signature"
        )
    if not _BASE64URL.fullmatch(parts[2]):
        raise FileProblem("stdin: is not a JWT: its signature is not base64url")
    header, payload = (_object(part, name) for part, name in zip(parts, _PARTS[:2], strict=False))
    return {"header": header, "payload": payload, "signature": parts[2]}


def payload(data: bytes, place: str) -> dict[str, Any]:
    """The claims in JSON; raises FileProblem."""
    try:
        found = _loads(data)
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{place}: is not JSON: {error}", hint='claims are a JSON object: {"sub": "me"}') from error
    if not isinstance(found, dict):
        raise FileProblem(f"{place}: is not a JSON object", hint='claims are a JSON object: {"sub": "me"}')
    return found


def headers(given: Iterable[str]) -> dict[str, str]:
    """The further headers ``NAME=VALUE``; raises Usage for those that decide how a token is read."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Usage(f"invalid value {text!r} for flag '--header'", hint="NAME=VALUE")
        if name in _OURS:
            remedy = f"use the flag '{_OURS[name]}'" if _OURS[name] else "it is not offered"
            raise Usage(f"flag '--header' cannot set {name!r}", hint=remedy)
        found[name] = value
    return found


def kid(shown: Mapping[str, Any]) -> str | None:
    """The key id that the token names; raises FileProblem when it names none."""
    named = shown["header"].get("kid")
    if not isinstance(named, str):
        raise FileProblem("stdin: the token names no key", hint="say with --kid which one of --jwks it is")
    return named


def _object(part: str, name: str) -> dict[str, object]:
    try:
        if not _BASE64URL.fullmatch(part):
            raise binascii.Error("a character that is not in its alphabet")
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = _loads(decoded)
    except binascii.Error as error:
        raise FileProblem(f"stdin: is not a JWT: its {name} is not base64url: {error}") from error
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"stdin: is not a JWT: its {name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FileProblem(f"stdin: is not a JWT: its {name} is not a JSON object")
    return found


def _loads(data: bytes) -> object:
    import json  # slow to import, and help needs none of it

    return json.loads(data, object_pairs_hook=_without_repetition, parse_constant=_no_constant)


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")  # RFC 7519 §4 lets parsers refuse it
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number in JSON")
