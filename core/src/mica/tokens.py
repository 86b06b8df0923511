"""Tokens before anybody has vouched for them: compact JWS, parsed once, believed by nobody.

``UnverifiedToken.parse`` refuses what no provisioner may accept (size, shape, duplicate members, ``crit``, ``none``);
``claims_at`` judges the time claims, which mean the same for every provisioner (RFC 7519 §4.1).
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mica.errors import MalformedRequest, Unauthorized, Untimely

MAX_TOKEN_BYTES = 64 * 1024
MAX_JSON_BYTES = 1024 * 1024
MAX_JSON_DEPTH = 32
LEEWAY = timedelta(minutes=1)  # RFC 7519 §4.1.4: "usually no more than a few minutes"
#: How far ahead ``exp`` may lie: a token is remembered until then. step's CLI makes tokens of at most one hour.
MAX_LIFETIME = timedelta(hours=24)

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_SPACE = " \t\n\r"  # RFC 8259 §2


def decode_json(data: bytes | str, *, max_bytes: int = MAX_JSON_BYTES, trailing: bool = False) -> Any:
    """The JSON text in ``data``, without NaN, duplicate members, or nesting deeper than ``MAX_JSON_DEPTH``.

    With ``trailing``, what follows the first value is ignored, as step's servers do with bodies. Raises
    MalformedRequest. Every body and every token is read by this one function.
    """
    if len(data) > max_bytes:
        raise MalformedRequest(f"JSON of {len(data)} bytes exceeds the limit of {max_bytes}")
    try:
        text = data if isinstance(data, str) else data.decode()
        if text.count("{") + text.count("[") > MAX_JSON_DEPTH:
            _check_depth(text)
        value = _DECODER.raw_decode(text.lstrip(_SPACE))[0] if trailing else _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text, and fails here
        return value
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"error decoding json: {error}") from error


def decode_base64url(text: str) -> bytes:
    """The octets of unpadded base64url ``text`` (RFC 7515 §2), which must be the only spelling of them."""
    if not _SEGMENT.fullmatch(text):
        raise MalformedRequest("not base64url")
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise MalformedRequest("not base64url") from error
    if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() != text:
        raise MalformedRequest("base64url with stray bits")
    return octets


@dataclass(frozen=True)
class UnverifiedToken:
    """A compact JWS whose signature nobody has checked: ``header`` and ``payload`` are what its maker claims."""

    raw: str = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw: str) -> "UnverifiedToken":
        """The token in ``raw``; raises Unauthorized when no provisioner could accept it."""
        if len(raw) > MAX_TOKEN_BYTES:
            raise Unauthorized(f"token of {len(raw)} bytes exceeds the limit of {MAX_TOKEN_BYTES}")
        segments = raw.split(".")
        if len(segments) != 3:
            raise Unauthorized("token is not a compact JWS of three segments (RFC 7515 §7.1)")
        try:
            header, payload = (decode_json(decode_base64url(segment)) for segment in segments[:2])
            signature = decode_base64url(segments[2])
        except MalformedRequest as error:
            raise Unauthorized(f"token is malformed: {error}") from error
        if not isinstance(header, dict) or not isinstance(payload, dict):
            raise Unauthorized("token header and payload must be JSON objects")
        if "crit" in header or "b64" in header:
            raise Unauthorized("token asks for an extension that is not understood (RFC 7515 §4.1.11)")
        alg = header.get("alg")
        if not isinstance(alg, str) or alg.lower() == "none":
            raise Unauthorized("token is not signed")
        return cls(raw, header, payload, signature)

    @property
    def signing_input(self) -> bytes:
        """The octets that the signature covers (RFC 7515 §5.1)."""
        return self.raw.rpartition(".")[0].encode("ascii")

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of what is signed, the token's id when it has no ``jti``.

        Not of the signature: whoever has one by ECDSA, (r, s), can write (r, n - s), which verifies as well.
        """
        return hashlib.sha256(self.signing_input).hexdigest()

    @property
    def id(self) -> str:
        """The ``jti``, or the digest of what is signed when it has none."""
        jti = self.payload.get("jti")
        return jti if isinstance(jti, str) and jti else self.digest

    @property
    def kid(self) -> str:
        """The header's ``kid``, empty when absent or not a string."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else ""

    @property
    def issuer(self) -> str:
        """The ``iss`` claim, empty when absent or not a string."""
        return self.text("iss")

    @property
    def subject(self) -> str:
        """The ``sub`` claim, empty when absent or not a string."""
        return self.text("sub")

    @property
    def audiences(self) -> tuple[str, ...]:
        """The ``aud`` claim, a string or an array of strings (RFC 7519 §4.1.3); empty when it is anything else."""
        aud = self.payload.get("aud")
        if isinstance(aud, str):
            return (aud,)
        if isinstance(aud, list) and all(isinstance(value, str) for value in aud):
            return tuple(aud)
        return ()

    @property
    def fragments(self) -> frozenset[str]:
        """What stands behind ``#`` in its audiences: ``x5c/edge`` names the provisioner that the token is for."""
        return frozenset(audience.partition("#")[2] for audience in self.audiences if "#" in audience)

    def text(self, claim: str) -> str:
        """The claim when it is a string, else the empty string."""
        value = self.payload.get(claim)
        return value if isinstance(value, str) else ""

    def strings(self, claim: str) -> tuple[str, ...]:
        """The claim when it is an array of strings, empty when absent; raises Unauthorized when it is anything else."""
        value = self.payload.get(claim, ())
        if value is None:
            return ()
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise Unauthorized(f"claim {claim} is not an array of strings")

    def expiry(self, now: datetime) -> datetime:
        """``exp``, after judging ``exp``, ``nbf`` and ``iat`` with one minute of leeway; raises Unauthorized.

        ``exp`` is required and lies at most ``MAX_LIFETIME`` ahead.
        """
        exp = self._time("exp")
        if exp is None:
            raise Unauthorized("token has no exp")
        if exp + LEEWAY <= now:
            raise Untimely("token is expired (exp)", exp)
        if exp > now + MAX_LIFETIME:
            raise Unauthorized(f"token expires more than {MAX_LIFETIME} ahead, at {exp.isoformat()}")
        for claim, verdict in (("nbf", "not valid yet"), ("iat", "issued in the future")):
            moment = self._time(claim)
            if moment is not None and moment > now + LEEWAY:
                raise Untimely(f"token {verdict} ({claim})", moment)
        return exp

    def _time(self, claim: str) -> datetime | None:
        """A NumericDate (RFC 7519 §2) as a moment; raises Unauthorized when it is not one of this era."""
        value = self.payload.get(claim)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**35:
            raise Unauthorized(f"claim {claim} is not a time")
        return datetime.fromtimestamp(value, UTC)


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKET.finditer(text):
        bracket = match.group()
        if bracket in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
        elif bracket in "]}":
            depth -= 1


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same member twice")
    return members


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
