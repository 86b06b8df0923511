"""Tokens signed by a key that came along with them: the key decides the algorithm, never the token (RFC 8725 §3.1)."""

import jwt

from mica import jwa
from mica.errors import Unauthorized
from mica.pkix import PublicKey
from mica.tokens import UnverifiedToken


def require_signature(token: UnverifiedToken, key: PublicKey, owner: str) -> None:
    """The token is signed by ``key``, with an algorithm of that key; raises Unauthorized.

    ``owner`` is whose key it is, in the message. Whether the key is good enough, has been asked before.
    """
    try:
        jwt.api_jws.decode(token.raw, key, algorithms=jwa.algorithms(key))
    except jwt.PyJWTError as error:
        raise Unauthorized(f"the token is not signed by the {owner}'s key: {error}") from error
