"""Service accounts: a program's own key speaks for it, and nobody signs in (RFC 7523)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mica import keyfiles
from mica.client import jws
from mica.client.errors import KeyProblem, Unreachable
from mica.client.oauth.answers import granted
from mica.client.oauth.web import Web, check_url
from mica.clock import system_clock
from mica.errors import ConfigError, MalformedRequest
from mica.tokens import decode_json

#: As long as Google's may be valid at most.
LIFETIME = timedelta(hours=1)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """What the provider's JSON file says of an account."""

    email: str
    key_id: str
    key: jws.PrivateKey = field(repr=False)
    token_endpoint: str

    @classmethod
    def parse(cls, data: bytes, place: str) -> "ServiceAccount":
        """The account in the file ``place``, whose contents are ``data``; raises KeyProblem."""
        try:
            said = decode_json(data)
        except MalformedRequest as error:
            raise KeyProblem(f"{place}: is no JSON: {error}", hint="it is the key file of a service account") from error
        if not isinstance(said, dict) or said.get("type") != "service_account":
            raise KeyProblem(
                f"{place}: does not describe a service account", hint='its member "type" must be "service_account"'
            )
        email, key_id, pem, endpoint = (
            _text(said, member, place) for member in ("client_email", "private_key_id", "private_key", "token_uri")
        )
        try:
            key = keyfiles.load_private_key(pem.encode(), None, where=f"{place}: private_key")
            jws.algorithm(key)
            return cls(email=email, key_id=key_id, key=key, token_endpoint=check_url(endpoint))
        except (ConfigError, ValueError, Unreachable) as error:
            raise KeyProblem(f"{place}: {str(error).removeprefix(f'{place}: ')}") from error

    def assertion(self, audience: str, *, now: datetime, subject: str = "", scopes: tuple[str, ...] = ()) -> str:
        """A JWT that says who this is, or that it speaks for ``subject`` (RFC 7523 §3)."""
        issued_at = int(now.timestamp())
        payload: dict[str, Any] = {
            "iss": self.email,
            "sub": subject or self.email,
            "aud": audience,
            "iat": issued_at,
            "exp": issued_at + int(LIFETIME.total_seconds()),
        }
        if scopes:
            payload["scope"] = " ".join(scopes)
        header = {"alg": jws.algorithm(self.key), "kid": self.key_id, "typ": "JWT"}
        return jws.compact(header, payload, self.key)

    def tokens(self, web: Web, *, subject: str = "", scopes: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """What the provider gives for an assertion (RFC 7523 §2.1); raises NotSignedIn, Unreachable."""
        assertion = self.assertion(self.token_endpoint, now=system_clock(), subject=subject, scopes=scopes)
        return granted(*web.post(self.token_endpoint, {"grant_type": _GRANT, "assertion": assertion}))


def _text(said: Mapping[str, Any], member: str, place: str) -> str:
    value = said.get(member)
    if not isinstance(value, str) or not value:
        raise KeyProblem(f"{place}: its member {member} is missing", hint="download the account's key file anew")
    return value
