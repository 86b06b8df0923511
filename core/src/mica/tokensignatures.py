"""Tokens signed by a key that came along with them: the key decides the algorithm, never the token (RFC 8725 §3.1)."""

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mica.errors import Unauthorized
from mica.pkix import PublicKey
from mica.tokens import UnverifiedToken

_CURVE_ALGORITHMS = {"secp256r1": ["ES256"], "secp384r1": ["ES384"], "secp521r1": ["ES512"]}
_RSA_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def require_signature(token: UnverifiedToken, key: PublicKey, owner: str) -> None:
    """The token is signed by ``key``, with an algorithm of that key; raises Unauthorized.

    ``owner`` is whose key it is, in the message. Whether the key is good enough, has been asked before.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithms = _CURVE_ALGORITHMS.get(key.curve.name, [])
    else:
        algorithms = _RSA_ALGORITHMS if isinstance(key, rsa.RSAPublicKey) else ["EdDSA"]
    try:
        jwt.api_jws.decode(token.raw, key, algorithms=algorithms)
    except jwt.PyJWTError as error:
        raise Unauthorized(f"the token is not signed by the {owner}'s key: {error}") from error
