"""A renew token: a JWT signed by the key of the very certificate that it asks to renew, which stands in its header."""

import base64
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from mica.audiences import Audiences
from mica.errors import Unauthorized, Untimely
from mica.grants import OneTime, Operation
from mica.keyrules import check_public_key
from mica.pkix import UNREADABLE, PublicKey
from mica.tokens import LEEWAY, UnverifiedToken
from mica.tokensignatures import require_signature

ISSUER = "step-ca-client/1.0"
HEADER = "x5cInsecure"
MAX_CHAIN = 8

_PUBLIC = "error validating renew token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewToken:
    """A genuine renew token: its bearer holds the key of ``certificate``, of which nothing else is known."""

    certificate: x509.Certificate
    spend: OneTime
    issuer: str

    def require_issuer(self, provisioner: str) -> None:
        """``iss`` is what clients put there: their own name, or in old ones the provisioner's; raises Unauthorized."""
        if self.issuer not in (ISSUER, provisioner):
            raise _invalid("invalid issuer claim (iss)")


def verify_renew_token(raw: str, audiences: Audiences, now: datetime) -> RenewToken:
    """The token is signed by the key of its certificate, current, and meant for renewal here; raises Unauthorized."""
    token = UnverifiedToken.parse(raw)
    certificate = _leaf(token)
    _require_signature(token, certificate)
    try:
        operation = audiences.operation(token)
    except Unauthorized as error:
        raise _invalid("invalid audience claim (aud)") from error
    if operation is not Operation.X509_RENEW:
        raise _invalid("invalid audience claim (aud)")
    try:
        expires_at = token.expiry(now)
    except Untimely as error:
        raise _invalid(error.rule) from error
    except Unauthorized as error:
        raise _invalid(str(error)) from error
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if token.subject != (str(common_names[0].value) if common_names else ""):
        raise _invalid("invalid subject claim (sub)")
    return RenewToken(
        certificate=certificate,
        spend=OneTime(id=f"renew:{token.digest}", until=expires_at + LEEWAY),
        issuer=token.issuer,
    )


def _leaf(token: UnverifiedToken) -> x509.Certificate:
    chain = token.header.get(HEADER)
    if not isinstance(chain, list) or not 0 < len(chain) <= MAX_CHAIN or not isinstance(chain[0], str):
        raise _invalid(f"header {HEADER} must hold the certificate")
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
        # pyca reads lazily, and anybody can have made this certificate.
        certificate.issuer.public_bytes()
        certificate.subject.public_bytes()
        return certificate
    except UNREADABLE as error:
        raise _invalid(f"header {HEADER} does not hold a certificate") from error


def _require_signature(token: UnverifiedToken, certificate: x509.Certificate) -> None:
    """The token is signed by the certificate's key, with an algorithm that fits the key."""
    try:
        key = certificate.public_key()
    except Exception as error:  # pyca raises several kinds for keys that it does not know
        raise _invalid("the certificate's key is not supported") from error
    if not isinstance(key, PublicKey):
        raise _invalid("the certificate's key is not supported")
    if check_public_key(key):
        raise _invalid("the certificate's key is too weak")
    try:
        require_signature(token, key, "certificate")
    except Unauthorized as error:
        raise _invalid("invalid signature") from error


def _invalid(detail: str) -> Unauthorized:
    return Unauthorized(f"{_PUBLIC}: {detail}", public=f"{_PUBLIC}: {detail}")
