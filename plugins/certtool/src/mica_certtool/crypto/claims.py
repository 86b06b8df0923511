"""The claims of a token that is to be signed (RFC 7519 §4.1): from a file and from flags, which win."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from mica.cli.kit import FileProblem, Usage, options

_REQUIRED = ("iss", "aud", "sub", "exp")
_TIMES = ("exp", "nbf", "iat")
_TEXTS = ("iss", "sub", "jti")
_LAST_SECOND = 2**35  # the year 3058

When = datetime | timedelta


class NumericDate(options.TimeOrDuration):
    """A moment: Unix seconds (RFC 7519 §2), RFC 3339, or a duration from now."""

    name = "time"

    def convert(
        self, value: str | When, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        if not isinstance(value, str) or not (value.isascii() and value.isdigit()):
            return super().convert(value, param, ctx)
        if len(value) > 11 or int(value) >= _LAST_SECOND:
            self.fail(f"{value[:20]!r} is too late a second", param, ctx)
        return datetime.fromtimestamp(int(value), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the flags say about the claims; None and nothing are left to the file, and to what is usual."""

    iss: str | None
    aud: tuple[str, ...]
    sub: str | None
    exp: When | None
    nbf: When | None
    iat: When | None
    jti: str | None


def build(given: Mapping[str, Any], wanted: Wanted, now: datetime, *, subtle: bool) -> dict[str, Any]:
    """The whole payload, alphabetical; raises Usage for what ``subtle`` would allow, FileProblem for a wrong type."""
    second = int(now.timestamp())
    claims = {"nbf": second, "iat": second, "jti": os.urandom(32).hex(), **given}
    for name in (*_TEXTS, *_TIMES):
        value = getattr(wanted, name)
        if value is not None:
            claims[name] = value if isinstance(value, str) else _second(value, now)
    if wanted.aud:
        # RFC 7519 §4.1.3: one audience may stand without brackets, and has to for many readers.
        claims["aud"] = wanted.aud[0] if len(wanted.aud) == 1 else list(wanted.aud)
    _check_types(claims)
    if not subtle:
        _check_use(claims, second)
    return dict(sorted(claims.items()))


def _second(when: When, now: datetime) -> int:
    try:
        return int((now + when if isinstance(when, timedelta) else when).timestamp())
    except OverflowError as error:
        raise Usage("a time lies beyond the year 9999") from error


def _check_types(claims: Mapping[str, Any]) -> None:
    """Flags are of the right type; what a file says may be anything."""
    for name in _TIMES:
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise FileProblem(f"the claim {name} must be a number, in Unix seconds (RFC 7519 §2)")
    for name in _TEXTS:
        if name in claims and not isinstance(claims[name], str):
            raise FileProblem(f"the claim {name} must be a text (RFC 7519 §4.1)")
    audience = claims.get("aud", "")
    if not isinstance(audience, str) and not (
        isinstance(audience, list) and all(isinstance(one, str) for one in audience)
    ):
        raise FileProblem("the claim aud must be a text or a list of texts (RFC 7519 §4.1.3)")


def _check_use(claims: Mapping[str, Any], now: int) -> None:
    """Somebody could accept the token; raises Usage."""
    for name in _REQUIRED:
        if not claims.get(name):
            raise Usage(f"flag '--{name}' is required unless the '--subtle' flag is given")
    if claims["exp"] <= now:
        raise Usage("flag '--exp' lies in the past: nobody would accept the token", hint="--subtle allows it")
    if claims["exp"] <= claims["nbf"]:
        raise Usage("flag '--exp' lies before '--nbf': the token would never be valid", hint="--subtle allows it")
