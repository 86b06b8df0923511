"""A provider's keys: its JWK Set, of which only what can verify an ID token is kept (RFC 7517 §5).

The key decides which algorithms it may be used with, never the token alone (RFC 8725 §3.1). A key without an
algorithm of its own allows those of its type: RSA has six, each EC curve and Ed25519 one. ``HS…`` and ``none`` do not
exist here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature

from mica import jwa, jwk
from mica.keyrules import check_public_key
from mica.pkix import PublicKey

MAX_KEYS = 100
_MAX_KID = 255  # it ends up in records and logs


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """A public key for signatures, with the algorithms that it may be used with."""

    kid: str
    algorithms: frozenset[str]
    key: PublicKey

    def is_signer_of(self, message: bytes, signature: bytes, algorithm: str) -> bool:
        """Whether ``signature`` over ``message`` is this key's by ``algorithm``."""
        if algorithm not in self.algorithms:
            return False
        try:
            jwa.verifier(self.key, algorithm)(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys by their ``kid``; there may be several of one (RFC 7517 §4.5)."""

    keys: Mapping[str, tuple[ProviderKey, ...]]

    @classmethod
    def parse(cls, document: object) -> "KeySet":
        """The keys in ``document`` that can verify; raises ValueError when it is no JWK Set or has none."""
        members = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(members, list):
            raise ValueError("the JWK Set has no array keys")
        if len(members) > MAX_KEYS:
            raise ValueError(f"the JWK Set has {len(members)} keys, more than {MAX_KEYS}")
        found: dict[str, tuple[ProviderKey, ...]] = {}
        for key in _usable(members):
            found[key.kid] = (*found.get(key.kid, ()), key)
        if not found:
            raise ValueError("the JWK Set has no key that can verify a signature")
        return cls(found)

    def named(self, kid: str) -> tuple[ProviderKey, ...]:
        """The keys of that ``kid``; those without one, where it is empty."""
        return self.keys.get(kid, ())


def _usable(members: list[Any]) -> Iterator[ProviderKey]:
    """RFC 7517 §5: what is not understood is passed over. So is a key that is weak, secret, or for something else."""
    for member in members:
        if not isinstance(member, dict) or member.get("use", "sig") != "sig" or jwk.PRIVATE & member.keys():
            continue
        operations = member.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            continue
        kid = member.get("kid", "")
        try:
            key = jwk.load_public(member)
        except ValueError:
            continue
        algorithms = frozenset(jwa.algorithms(key))
        if "alg" in member:
            algorithms &= frozenset({member["alg"]} if isinstance(member["alg"], str) else ())
        if _is_kid(kid) and algorithms and not check_public_key(key):
            yield ProviderKey(kid=kid, algorithms=algorithms, key=key)


def _is_kid(kid: object) -> bool:
    return isinstance(kid, str) and len(kid) <= _MAX_KID and kid.isprintable()
