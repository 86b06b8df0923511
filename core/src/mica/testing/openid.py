"""An OpenID provider for tests, over TLS on loopback: its discovery document, its keys, and ID tokens by them."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from mica import jwk
from mica.testing.makers import Maker, SigningKey
from mica.testing.webserver import Reply, WebServer, web_server

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
CLIENT_ID = "mica-client"


@dataclass(slots=True)
class OpenIDProvider:
    """A provider that runs. Whoever has it signs what it likes."""

    server: WebServer
    key: SigningKey = field(repr=False)
    kid: str

    @property
    def issuer(self) -> str:
        """What its tokens have as ``iss``."""
        return self.server.url

    def publish(self, *members: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """``members`` are its JWK Set; without any, its own key alone is."""
        keys = members or (self.member(),)
        fields = {"Content-Type": "application/json", **(headers or {})}
        self.server.replies[KEYS] = Reply(body=json.dumps({"keys": keys}).encode(), headers=fields)

    def member(self, **more: Any) -> dict[str, Any]:
        """Its own key as a member of the set."""
        return {**jwk.public_members(self.key.public_key()), "kid": self.kid, "use": "sig", **more}

    def describe(self, **members: Any) -> None:
        """Its discovery document has these members over the good ones."""
        good = {"issuer": self.issuer, "jwks_uri": f"{self.server.url}{KEYS}"}
        self.server.replies[DISCOVERY] = Reply(body=json.dumps({**good, **members}).encode())

    def rotate(self, kid: str, key: SigningKey | None = None) -> None:
        """It signs with another key from now on, and publishes that one alone."""
        self.key, self.kid = key or ec.generate_private_key(ec.SECP256R1()), kid
        self.publish()

    def maker(self, now: datetime, **claims: Any) -> Maker:
        """Somebody with its key, whose good token is one of Ann's, by a login of its own."""
        alg = jwk.algorithm(jwk.public_members(self.key.public_key()))
        moment = int(now.timestamp())
        payload = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 300,
            "nonce": secrets.token_hex(32),
            "email": "Ann.B@harbour.example",
            "email_verified": True,
            **claims,
        }
        return Maker(key=self.key, header={"alg": alg, "kid": self.kid, "typ": "JWT"}, payload=payload, now=now)


@contextmanager
def openid_provider(folder: Path) -> Iterator[OpenIDProvider]:
    """A provider with one EC key, its files in ``folder``; it is gone afterwards."""
    with web_server(folder) as server:
        provider = OpenIDProvider(server, ec.generate_private_key(ec.SECP256R1()), "key-1")
        provider.describe()
        provider.publish()
        yield provider
