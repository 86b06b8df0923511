"""Renew tokens: a certificate's own key asks for its renewal where mutual TLS cannot.

The certificate has expired, or a proxy that ends TLS stands in between.
"""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica.client import jws

ISSUER = "step-ca-client/1.0"
LIFETIME = timedelta(minutes=5)


def make(
    url: str,
    chain: Sequence[x509.Certificate],
    key: jws.PrivateKey,
    *,
    not_before: datetime,
    not_after: datetime | None = None,
) -> str:
    """A renew token for the CA at ``url``, signed with the key of ``chain[0]``; issuers follow it.

    The header is ``x5cInsecure``, so that nobody takes it for proof that the chain is valid today.
    """
    header = {
        "alg": jws.algorithm(key),
        "typ": "JWT",
        "x5cInsecure": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain],
    }
    payload = {
        "aud": f"{url}/renew",
        "exp": int((not_after or not_before + LIFETIME).timestamp()),
        "iat": int(not_before.timestamp()),
        "iss": ISSUER,
        "nbf": int(not_before.timestamp()),
        "sub": common_name(chain[0]),
    }
    return jws.compact(header, payload, key)


def common_name(certificate: x509.Certificate) -> str:
    """The subject's CN, empty when it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
