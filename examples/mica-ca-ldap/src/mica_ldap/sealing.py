"""A password in a token: sealed to the provisioner's key, by HPKE (RFC 9180), where other tokens have a signature.

The token's first two segments are HPKE's ``info``. What has been sealed with them opens with them alone: a claim that
is changed, or a seal that is moved to another token, and there is no password.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from mica import Unauthorized

#: The token's ``alg``, a name of our own: what stands behind the second dot is no signature.
ALG = "LDAP-HPKE-P256"
CURVE = ec.SECP256R1
MAX_PASSWORD = 255
_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_PURPOSE = b"mica-ca-ldap password\0"


def fragment(name: str) -> str:
    """What ends the audience of a token for the provisioner ``name``, and of no other's."""
    return f"ldap/{name}"


def seal(password: bytes, key: ec.EllipticCurvePublicKey, signing_input: bytes) -> bytes:
    """The password for the owner of ``key`` alone, in the token that begins so; raises ValueError when it is none.

    Seals are all of one length: a token does not tell how long the password is.
    """
    if not 0 < len(password) <= MAX_PASSWORD or b"\0" in password:
        raise ValueError(f"a password has 1 to {MAX_PASSWORD} octets, none of them NUL")
    return _SUITE.encrypt(password.ljust(MAX_PASSWORD, b"\0"), key, _PURPOSE + signing_input)


def unseal(sealed: bytes, key: ec.EllipticCurvePrivateKey, signing_input: bytes) -> bytes:
    """The password; raises Unauthorized when it was not sealed to ``key``, in this token, or is none.

    An empty one would make the bind an anonymous one, which succeeds (RFC 4513 §5.1.2).
    """
    try:
        password = _SUITE.decrypt(sealed, key, _PURPOSE + signing_input).rstrip(b"\0")
    except (InvalidTag, ValueError) as error:
        raise Unauthorized("the token's password was not sealed to this provisioner, in this token") from error
    if not 0 < len(password) <= MAX_PASSWORD or b"\0" in password:
        raise Unauthorized("the token has no password")
    return password
