"""Who brings tokens that no key in ``ca.toml`` signs: holders of a certificate (X5C), and users of a provider (OIDC).

``strangers`` puts every setting of the two into ``ca.toml``; ``WHO`` says what each of their bearers may order.
"""

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mica.grants import Operation
from mica.keyfiles import generate
from mica.testing import earlier
from mica.testing.ca import TestCA
from mica.testing.issuers import Issuer, make_ca
from mica.testing.makers import Maker
from mica.testing.openid import CLIENT_ID, OpenIDProvider, openid_provider
from mica.testing.plugins import append, enable

ADMIN, USER, GROUP = "root@harbour.example", "Ann.B@harbour.example", "captains"
#: Nobody listens at this port.
NOWHERE = "https://localhost:1"
ROBOT = "repo:harbour/site:ref:refs/heads/main"
SIGN, REVOKE = Operation.X509_SIGN, Operation.X509_REVOKE
SSH_SIGN, SSH_REVOKE = Operation.SSH_SIGN, Operation.SSH_REVOKE
_ALL = frozenset({SIGN, REVOKE, SSH_SIGN, SSH_REVOKE})
_NOTHING: frozenset[Operation] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An ID token of somebody's: for which client, and with which claims."""

    client: str = CLIENT_ID
    claims: Mapping[str, Any] = field(default_factory=dict)
    is_admin: bool = False
    may: frozenset[Operation]


_NO_EMAIL = {"email": None, "email_verified": None}
_ADMIN = {"email": ADMIN, "sub": "1"}
_MEMBER = {"groups": ["staff"]}
#: Everybody with a login, by what is peculiar to them and to the provisioner, and what they may order.
WHO: dict[str, Login] = {
    "a user": Login(may=frozenset({SIGN, SSH_SIGN})),
    "an administrator": Login(claims=_ADMIN, is_admin=True, may=_ALL),
    "a group of administrators": Login(claims={"groups": [GROUP]}, is_admin=True, may=_ALL),
    "nobody with an address": Login(claims=_NO_EMAIL, may=frozenset({SIGN})),
    "an administrator's address, not verified": Login(claims=_ADMIN | {"email_verified": False}, may=_NOTHING),
    "an administrator's address as another claim": Login(
        claims=_NO_EMAIL | {"preferred_username": ADMIN, "upn": ADMIN}, may=frozenset({SIGN})
    ),
    "a user where SSH is off": Login(client="plain", may=frozenset({SIGN})),
    "an administrator where SSH is off": Login(
        client="plain", claims=_ADMIN, is_admin=True, may=frozenset({SIGN, REVOKE, SSH_REVOKE})
    ),
    "a member": Login(client="strict", claims=_MEMBER, may=frozenset({SIGN, SSH_SIGN})),
    "an administrator who is no member": Login(client="strict", claims=_ADMIN, may=_NOTHING),
    "a member of another domain": Login(client="strict", claims=_MEMBER | {"email": "ann@evil.example"}, may=_NOTHING),
    "a member of no known domain": Login(client="strict", claims=_MEMBER | _NO_EMAIL, may=_NOTHING),
    "a member whose address nobody has verified": Login(
        client="strict", claims=_MEMBER | {"email_verified": None}, may=_NOTHING
    ),
    "a workload": Login(client="work", claims=_NO_EMAIL | {"sub": ROBOT}, may=frozenset({SIGN, SSH_SIGN})),
    "another workload": Login(client="work", claims=_NO_EMAIL | {"sub": f"{ROBOT}x"}, may=_NOTHING),
    "a user of a provider that is down": Login(client="shut", may=_NOTHING),
    "a client of nobody's": Login(client="mica-client-2", may=_NOTHING),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody with a certificate that leads to the root of the X5C provisioner ``name``, and its key."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    leaf: x509.Certificate
    issuer: Issuer = field(repr=False)

    @property
    def header(self) -> dict[str, Any]:
        """That of its tokens (RFC 7515 §4.1.6)."""
        chain = (self.leaf, self.issuer.certificate)
        x5c = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
        return {"alg": "ES256", "typ": "JWT", "x5c": x5c}

    def claims(self, ca: TestCA, subject: str, path: str = "/1.0/sign", **claims: Any) -> dict[str, Any]:
        """Those of a token that is good for five minutes; one of None is left out."""
        now = int(ca.clock().timestamp())
        payload = {
            "iss": self.name, "sub": subject, "aud": f"{ca.url}{path}#x5c/{self.name}", "iat": now, "nbf": now,
            "exp": now + 300, "jti": secrets.token_hex(32), **claims,
        }  # fmt: skip
        return {name: value for name, value in payload.items() if value is not None}

    def token(self, ca: TestCA, subject: str, path: str = "/1.0/sign", **claims: Any) -> str:
        """A token, by another library than the CA's."""
        return jwt.encode(self.claims(ca, subject, path, **claims), self.key, "ES256", self.header)

    def maker(self, ca: TestCA, subject: str, path: str = "/1.0/sign", **claims: Any) -> Maker:
        """Somebody with this certificate, whose good token that is."""
        return Maker(key=self.key, header=self.header, payload=self.claims(ca, subject, path, **claims), now=ca.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Strangers:
    """Those who are in ``ca.toml`` by a root or by a provider, and not by a key of their own."""

    provider: OpenIDProvider
    edge: Holder
    """Orders X.509 and SSH."""
    dry: Holder
    """Its provisioner has SSH switched off."""

    def login(self, ca: TestCA, who: str = "a user", **claims: Any) -> str:
        """An ID token of theirs, by a login of its own; a claim of None is left out."""
        login = WHO[who]
        maker = self.provider.maker(ca.clock(), **{"aud": login.client, **login.claims, **claims})
        absent = {name for name, value in maker.payload.items() if value is None}
        payload = {name: value for name, value in maker.payload.items() if name not in absent}
        return jwt.encode(payload, self.provider.key, "ES256", dict(maker.header))


@contextmanager
def strangers(ca: TestCA, folder: Path) -> Iterator[Strangers]:
    """``ca.toml`` has X5C and OIDC provisioners in every setting; ``folder`` is for the provider's files."""
    enable(ca, "x5c", "oidc")
    root = make_ca("Harbour Root")
    (ca.directory / "certs/harbour.crt").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    with openid_provider(folder) as provider:
        append(ca, _X5C + _OIDC.format(issuer=provider.issuer, roots=provider.server.roots))
        yield Strangers(provider=provider, edge=_holder("edge", root), dry=_holder("dry", root))


def _holder(name: str, root: Issuer) -> Holder:
    issuer, key = make_ca("Harbour Issuer", issuer=root, path_length=0), generate("EC-P256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    start = issuer.certificate.not_valid_before_utc
    leaf = earlier.leaf(
        issuer.certificate, issuer.key, key, provisioner=None, not_before=start, lifetime=timedelta(days=19 * 365)
    )
    return Holder(name=name, key=key, leaf=leaf, issuer=issuer)


_X5C = """
[[provisioners]]
type = "x5c"
name = "edge"
roots = ["certs/harbour.crt"]
claims = { enable_ssh_ca = true }

[[provisioners]]
type = "x5c"
name = "dry"
roots = ["certs/harbour.crt"]
"""
_OIDC = f"""
[[provisioners]]
type = "oidc"
name = "corp"
client_id = "{CLIENT_ID}"
configuration_endpoint = "{{issuer}}"
roots = "{{roots}}"
admins = ["{ADMIN}", "{GROUP}"]
claims = {{{{ enable_ssh_ca = true }}}}

[[provisioners]]
type = "oidc"
name = "plain"
client_id = "plain"
configuration_endpoint = "{{issuer}}"
roots = "{{roots}}"
admins = ["{ADMIN}"]

[[provisioners]]
type = "oidc"
name = "strict"
client_id = "strict"
configuration_endpoint = "{{issuer}}"
roots = "{{roots}}"
admins = ["{ADMIN}"]
domains = ["harbour.example"]
groups = ["staff"]
require_email_verified = true
claims = {{{{ enable_ssh_ca = true }}}}

[[provisioners]]
type = "oidc"
name = "work"
client_id = "work"
configuration_endpoint = "{{issuer}}"
roots = "{{roots}}"
map = [{{{{ when = {{{{ sub = ["{ROBOT}"] }}}}, principals = ["deploy"], dns = ["site.example"] }}}}]
claims = {{{{ enable_ssh_ca = true }}}}

[[provisioners]]
type = "oidc"
name = "shut"
client_id = "shut"
configuration_endpoint = "{NOWHERE}"
roots = "{{roots}}"
admins = ["{ADMIN}"]
claims = {{{{ enable_ssh_ca = true }}}}
"""
