"""A maker of tokens: somebody with the rightful key, who need not make rightful tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica.client.jws import PrivateKey
from mica.client.jws import encode as encode
from mica.client.jws import sign as sign
from mica.pkix import PublicKey

SigningKey = PrivateKey


class _Absent:
    """Its name is the same in every process, as the ids of tests have to be."""

    def __repr__(self) -> str:
        return "ABSENT"


#: Marks a member that a token lacks.
ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes tokens with the rightful key, out of parts that need not be rightful."""

    key: SigningKey = field(repr=False)
    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    now: datetime
    """The moment at which the good token is good."""

    @property
    def alg(self) -> str:
        """The algorithm of the good token."""
        return str(self.header["alg"])

    @property
    def public_key(self) -> PublicKey:
        """The key with which the provisioner verifies."""
        return self.key.public_key()

    def good(self) -> str:
        """The token that must be accepted."""
        return self.token()

    def token(self, header: Mapping[str, Any] | None = None, /, **claims: Any) -> str:
        """A token signed with the rightful key, with these members over the good ones; ``ABSENT`` takes one away."""
        return self.raw(_json(_over(self.header, header or {})), _json(_over(self.payload, claims)))

    def raw(self, header: bytes, payload: bytes) -> str:
        """Any octets as header and payload, signed with the rightful key."""
        signing_input = f"{encode(header)}.{encode(payload)}"
        return f"{signing_input}.{encode(self.signature(signing_input.encode()))}"

    def signature(self, message: bytes) -> bytes:
        """The rightful signature over ``message``."""
        return sign(self.key, self.alg, message)

    def parts(self) -> tuple[str, str, bytes]:
        """Header, payload and signature of the good token; the first two as they stand in it."""
        header, payload, _ = self.good().split(".")
        return header, payload, self.signature(f"{header}.{payload}".encode())

    def stranger(self) -> "Maker":
        """The same parts signed with another key of the same kind."""
        key: SigningKey
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            key = ec.generate_private_key(self.key.curve)
        elif isinstance(self.key, rsa.RSAPrivateKey):
            key = _another_rsa_key(self.key.key_size)
        else:
            key = ed25519.Ed25519PrivateKey.generate()
        return Maker(key=key, header=self.header, payload=self.payload, now=self.now)


@cache  # to find one takes longer than all else that is done with it
def _another_rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


def _over(good: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not ABSENT}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
