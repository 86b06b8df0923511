"""The request that a browser takes to the provider: authorization code with PKCE (RFC 6749 §4.1, RFC 7636)."""

import base64
import hashlib
import os
from dataclasses import dataclass, field
from urllib.parse import urlencode

from mica.client.oauth.providers import Provider, Registration
from mica.client.oauth.refusals import NotSignedIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to sign in. The verifier never leaves this process except to the provider itself."""

    state: str = field(default_factory=lambda: os.urandom(32).hex())
    """By which the answer is known to be to this request."""
    nonce: str = field(default_factory=lambda: os.urandom(32).hex())
    """By which the identity token is known to be for this attempt; the CA takes each once."""
    verifier: str = field(default_factory=lambda: _encoded(os.urandom(32)), repr=False)
    """Without it nobody can use the code, whoever sees it."""

    @property
    def challenge(self) -> str:
        """The verifier as it may be seen: S256 (RFC 7636 §4.2)."""
        return _encoded(hashlib.sha256(self.verifier.encode()).digest())

    def url(self, provider: Provider, registration: Registration, redirect_uri: str) -> str:
        """Where the browser begins. It holds no secret; raises NotSignedIn when a parameter is the protocol's own."""
        own = {
            "response_type": "code",
            "client_id": registration.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(registration.scopes),
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        }
        further = dict(registration.parameters)
        if taken := sorted({*own, "request", "request_uri", "response_mode"} & further.keys()):
            raise NotSignedIn(f"the authorization parameter {taken[0]!r} is not for anybody to choose")
        query = "&" if "?" in provider.authorization_endpoint else "?"
        return f"{provider.authorization_endpoint}{query}{urlencode(own | further)}"


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
