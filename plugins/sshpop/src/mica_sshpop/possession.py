"""Proof of possession: a token signed by the key of the SSH certificate that stands in its header."""

import base64
import binascii

from mica import MalformedRequest, Unauthorized, UnverifiedToken, tokensignatures
from mica.sshcert import SSHCertificate

HEADER = "sshpop"


def prove(token: UnverifiedToken) -> SSHCertificate:
    """The certificate in the header, whose key has signed the token; raises Unauthorized.

    Its own signature is good, by a key that anybody may have made: whether that is a CA's, is for the core to say.
    """
    certificate = _read(token.header.get(HEADER))
    key = certificate.tbs.public_key
    if key.is_security_key:  # it signs more than a JWS
        raise Unauthorized(f"a key of the type {key.key_type} cannot sign tokens")
    # A weak key is worth no signature, and one of enormous length no verification.
    if faults := [*key.faults(), *certificate.tbs.signature_key.faults()]:
        raise Unauthorized(f"the sshpop certificate's keys are not good enough: {'; '.join(faults)}")
    tokensignatures.require_signature(token, key.key, "sshpop certificate")
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
