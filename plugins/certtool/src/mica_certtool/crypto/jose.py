"""Tokens signed and verified by PyJWT (RFC 7515, RFC 7519): with one key, and algorithms that suit it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from mica.cli.kit import CLIError, FileProblem
from mica.tokens import LEEWAY
from mica_certtool.crypto.material import PRIVATE_KEYS
from mica_certtool.crypto.signing_keys import Chosen

if TYPE_CHECKING:
    from jwt.types import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say; None is not compared."""

    iss: str | None
    aud: str | None
    expiry: bool
    """It must expire."""


def sign(claims: Mapping[str, Any], chosen: Chosen, algorithm: str, headers: Mapping[str, str]) -> str:
    """The token in compact form, its members in alphabetical order; raises FileProblem when the key is public."""
    key = chosen.key if isinstance(chosen.key, bytes) else chosen.found.require_private()
    header: dict[str, Any] = dict(headers)
    if chosen.kid:
        header["kid"] = chosen.kid
    if chosen.chain:
        header["x5c"] = list(chosen.chain)
    payload = json.dumps(claims, sort_keys=True, separators=(",", ":")).encode()
    with _using(chosen):
        return jwt.PyJWS().encode(payload, key, algorithm=algorithm, headers=header, sort_headers=True)


def verify(
    token: bytes, shown: Mapping[str, Any], chosen: Chosen, algorithms: Sequence[str], expected: Expected
) -> None:
    """The token is signed by the key, is of this time, and says what is expected; raises CLIError."""
    header = shown["header"]
    if "crit" in header or "b64" in header:
        raise CLIError("the token asks for an extension that is not understood (RFC 7515 §4.1.11)")
    if header.get("alg") not in algorithms:
        raise CLIError(
            f"the token is signed with {header.get('alg')!r}, and the key is for {', '.join(algorithms)}",
            hint="the key decides about the algorithm, never the token",
        )
    key = chosen.key.public_key() if isinstance(chosen.key, PRIVATE_KEYS) else chosen.key
    options: Options = {
        "require": ["exp"] if expected.expiry else [],
        "verify_aud": expected.aud is not None,
        "verify_iss": expected.iss is not None,
    }
    try:
        with _using(chosen):
            jwt.decode_complete(
                token.strip(),
                key,
                algorithms=list(algorithms),
                audience=expected.aud,
                issuer=expected.iss,
                leeway=LEEWAY,
                options=options,
            )
    except jwt.InvalidTokenError as error:
        raise CLIError(_verdict(error, shown["payload"], expected)) from error


def _verdict(error: jwt.InvalidTokenError, payload: Mapping[str, Any], expected: Expected) -> str:
    match error:
        case jwt.InvalidSignatureError():
            return "the signature of the token is not by this key"
        case jwt.ExpiredSignatureError():
            return f"the token has expired: exp is {payload.get('exp')}"
        case jwt.ImmatureSignatureError():
            return f"the token is not valid yet: nbf is {payload.get('nbf')}, iat is {payload.get('iat')}"
        case jwt.InvalidAudienceError():
            return f"the token is for {payload.get('aud')!r}, not for {expected.aud!r}"
        case jwt.InvalidIssuerError():
            return f"the token is from {payload.get('iss')!r}, not from {expected.iss!r}"
        case jwt.MissingRequiredClaimError():
            return f"the token has no {error.claim}, which it must have"
    return f"the token cannot be accepted: {error}"


@contextmanager
def _using(chosen: Chosen) -> Iterator[None]:
    """What PyJWT refuses about the key is a fault of its file."""
    try:
        yield
    except jwt.InvalidKeyError as error:
        raise FileProblem(f"{chosen.place}: cannot be used: {error}") from error
