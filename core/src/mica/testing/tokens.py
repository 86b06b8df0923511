"""Hostile tokens: what no token provisioner may accept, each by name (RFC 8725, and what went wrong elsewhere).

Nearly every hostile token is signed with the rightful key, so that the poison alone can be at fault. A case is made
only where the good token has the member that it spoils: a provisioner that does not look at ``kid`` is not asked to
judge one.
"""

from mica.testing import (
    hostile_claims,
    hostile_headers,
    hostile_openid,
    hostile_shapes,
    hostile_ssh,
    hostile_x5c,
)
from mica.testing.makers import ABSENT, Maker, SigningKey, encode, sign

__all__ = ["ABSENT", "Maker", "SigningKey", "encode", "hostile_tokens", "sign", "with_character"]


def hostile_tokens(maker: Maker) -> dict[str, str]:
    """Every hostile token that applies to ``maker``, by the name of what is wrong with it."""
    families = (
        hostile_headers.algorithms,
        hostile_headers.embedded_keys,
        hostile_headers.key_ids,
        hostile_headers.extensions,
        hostile_claims.times,
        hostile_claims.identities,
        hostile_claims.audiences,
        hostile_claims.san_claims,
        hostile_claims.confirmations,
        hostile_ssh.kinds,
        hostile_ssh.step_claims,
        hostile_ssh.serials,
        hostile_ssh.held_certificates,
        hostile_x5c.chains,
        hostile_x5c.grafts,
        hostile_openid.parties,
        hostile_openid.issuers,
        hostile_openid.people,
        hostile_openid.nonces,
        hostile_openid.groups,
        hostile_openid.other_tokens,
        hostile_shapes.signatures,
        hostile_shapes.structures,
        hostile_shapes.encodings,
        hostile_shapes.documents,
    )
    cases = [case for family in families for case in family(maker)]
    corpus = dict(cases)
    assert len(corpus) == len(cases), "two hostile tokens have one name"
    return corpus


def with_character(token: str, place: int, character: str) -> str:
    """The token with another character somewhere: ``character``, or the next one where that stands there already."""
    place %= len(token)
    other = character if character != token[place] else chr(ord(character) + 1)
    return token[:place] + other + token[place + 1 :]
