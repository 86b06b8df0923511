"""A chain of certificates as a token carries it, and the proof that its leaf's key has signed that token."""

import base64
import warnings

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from mica import Unauthorized, UnverifiedToken, tokensignatures
from mica.pkix import UNREADABLE, PublicKey
from mica_x5c.paths import MAX_PATH

HEADER = "x5c"
#: A chain that nobody may take for valid today: what renew tokens have instead.
UNCHECKED = "x5cInsecure"
_MAX_OCTETS = 16 * 1024  # of one certificate; those of this CA have less than one thousand
_UNREADABLE: tuple[type[Exception], ...] = (*UNREADABLE, CryptographyDeprecationWarning)


def read(token: UnverifiedToken) -> tuple[x509.Certificate, ...]:
    """The certificates in the header, leaf first (RFC 7515 §4.1.6), of which nothing is known; raises Unauthorized.

    How many there are, and how long, is judged before any is read.
    """
    if UNCHECKED in token.header:
        raise Unauthorized(f"the token has a header {UNCHECKED}, which proves nothing here")
    header = token.header.get(HEADER)
    if not isinstance(header, list) or not all(isinstance(one, str) for one in header):
        raise Unauthorized(f"the token's header {HEADER} must be an array of certificates")
    if not 0 < len(header) <= MAX_PATH:
        raise Unauthorized(f"the token's header {HEADER} must hold 1 to {MAX_PATH} certificates, not {len(header)}")
    return tuple(map(_certificate, header))


def require_signature(token: UnverifiedToken, leaf: x509.Certificate) -> None:
    """The token is signed by the leaf's key, with an algorithm of that key; raises Unauthorized."""
    key = leaf.public_key()
    if not isinstance(key, PublicKey):
        raise Unauthorized("the x5c leaf's key cannot sign tokens")
    tokensignatures.require_signature(token, key, "x5c leaf")


def _certificate(text: str) -> x509.Certificate:
    """One certificate: DER in base64 (RFC 4648 §4, not base64url), in the only spelling that it has."""
    if len(text) > _MAX_OCTETS * 4 // 3:
        raise Unauthorized(f"a certificate of the token's header {HEADER} has more than {_MAX_OCTETS} octets")
    try:
        der = base64.b64decode(text, validate=True)
        if base64.b64encode(der).decode() != text:
            raise Unauthorized(f"the token's header {HEADER} has stray bits")
        # What pyca still reads with a warning, such as a negative serial number, is refused (RFC 5280 §4.1.2.2).
        with warnings.catch_warnings(action="error", category=CryptographyDeprecationWarning):
            certificate = x509.load_der_x509_certificate(der)
            _read_all(certificate)
    except _UNREADABLE as error:
        raise Unauthorized(f"the token's header {HEADER} does not hold certificates in base64: {error}") from error
    return certificate


def _read_all(certificate: x509.Certificate) -> None:
    """pyca reads lazily, and anybody can have made this certificate: what is wrong with it shows now."""
    for name in (certificate.issuer, certificate.subject):
        name.rfc4514_string()
    for extension in certificate.extensions:
        extension.value.public_bytes()
    certificate.public_key()
