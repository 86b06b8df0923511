"""SSHPOP tokens: the key of an SSH certificate asks that this certificate be renewed, rekeyed or revoked."""

import base64
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mica.client import jws
from mica.client.errors import KeyProblem

if TYPE_CHECKING:  # whoever has a certificate has imported it
    from mica.sshcert import SSHCertificate

LIFETIME = timedelta(minutes=5)


def make(
    audience: str,
    name: str,
    certificate: "SSHCertificate",
    key: jws.PrivateKey,
    subject: str,
    now: datetime,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """A token for the provisioner ``name``, signed with ``key``, which is ``certificate``'s; valid for five minutes.

    ``audience`` is the URL of the operation: ``https://ca.example/1.0/ssh/renew``. ``subject`` is the certificate's
    serial number. ``claims`` are further ones. Raises KeyProblem when the key is another.
    """
    public_key = certificate.tbs.public_key
    if public_key.is_security_key:
        raise KeyProblem(
            f"a key of the type {public_key.key_type} cannot sign tokens",
            hint="revoke the certificate with a token of another provisioner",
        )
    if key.public_key() != public_key.key:
        raise KeyProblem(
            "the private key is not the one that the SSH certificate is for",
            hint=f"the certificate is for the key {public_key.fingerprint}",
        )
    header = {
        "alg": jws.algorithm(key),
        "sshpop": base64.b64encode(certificate.blob).decode(),
        "typ": "JWT",
    }
    start = not_before or now
    payload = {
        **(claims or {}),
        "aud": f"{audience}#sshpop/{name}",  # as it is, for step's clients escape nothing
        "exp": int((not_after or start + LIFETIME).timestamp()),
        "iat": int(now.timestamp()),
        "iss": name,
        "jti": os.urandom(32).hex(),
        "nbf": int(start.timestamp()),
        "sub": subject,
    }
    return jws.compact(header, payload, key)
