"""Proof of possession: a token signed by the key of the SSH certificate that stands in its header."""

import base64
import binascii

import jwt

from mica import MalformedRequest, Unauthorized, UnverifiedToken
from mica.sshcert import SSHCertificate

HEADER = "sshpop"
#: The type of a key decides the algorithm (RFC 8725 §3.1). Security keys (``sk-…``) sign more than a JWS: none is here.
_ALGORITHMS = {
    "ecdsa-sha2-nistp256": ["ES256"],
    "ecdsa-sha2-nistp384": ["ES384"],
    "ecdsa-sha2-nistp521": ["ES512"],
    "ssh-ed25519": ["EdDSA"],
    "ssh-rsa": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
}


def prove(token: UnverifiedToken) -> SSHCertificate:
    """The certificate in the header, whose key has signed the token; raises Unauthorized.

    Its own signature is good, by a key that anybody may have made: whether that is a CA's, is for the core to say.
    """
    certificate = _read(token.header.get(HEADER))
    key = certificate.tbs.public_key
    algorithms = _ALGORITHMS.get(key.key_type)
    if algorithms is None:
        raise Unauthorized(f"a key of the type {key.key_type} cannot sign tokens")
    # A weak key is worth no signature, and one of enormous length no verification.
    if faults := [*key.faults(), *certificate.tbs.signature_key.faults()]:
        raise Unauthorized(f"the sshpop certificate's keys are not good enough: {'; '.join(faults)}")
    try:
        jwt.api_jws.decode(token.raw, key.key, algorithms=algorithms)
    except jwt.PyJWTError as error:
        raise Unauthorized(f"the token is not signed by the sshpop certificate's key: {error}") from error
    try:
        certificate.check_signature()
    except MalformedRequest as error:
        raise Unauthorized(f"the sshpop certificate is not signed: {error}") from error
    return certificate


def _read(header: object) -> SSHCertificate:
    """The certificate in base64 (RFC 4648 §4); a token is short, so that this is too (``tokens.MAX_TOKEN_BYTES``)."""
    if not isinstance(header, str) or not header:
        raise Unauthorized(f"the token's header {HEADER} must hold an SSH certificate")
    try:
        blob = base64.b64decode(header, validate=True)
        if base64.b64encode(blob).decode() != header:
            raise Unauthorized(f"the token's header {HEADER} has stray bits")
        return SSHCertificate.decode(blob)
    except (binascii.Error, ValueError) as error:
        raise Unauthorized(f"the token's header {HEADER} is not base64") from error
    except MalformedRequest as error:
        raise Unauthorized(f"the token's header {HEADER} does not hold an SSH certificate: {error}") from error
