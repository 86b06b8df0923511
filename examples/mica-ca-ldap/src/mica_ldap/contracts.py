"""The proof that the plugin brings along: mica's suites for its roles, over a directory of Debian's slapd."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mica import Context, Issuance, Operation, ProvisionerRef, RenewalProvisioner, jwk, keyfiles
from mica.client import TokenOrder
from mica.testing.contexts import URL, Clock
from mica.testing.line import ProvisionerLineContract
from mica.testing.provisioners import TokenProvisionerContract
from mica.testing.renewals import RenewalProvisionerContract, make_issuance
from mica.testing.sources import PaperDesk, TokenSourceContract
from mica.testing.tokens import Maker
from mica_ldap import slapd
from mica_ldap.client import USER_VARIABLE, LDAPTokenSource
from mica_ldap.config import LDAPConfig, MapRule
from mica_ldap.provisioner import LDAPProvisioner
from mica_ldap.sealing import ALG, CURVE, seal

_PATHS = {Operation.X509_SIGN: "/1.0/sign", Operation.SSH_SIGN: "/1.0/ssh/sign"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer(Maker):
    """Somebody with a password, whose tokens have it sealed to ``key`` where others have a signature."""

    password: str = slapd.PASSWORD

    def signature(self, message: bytes) -> bytes:
        """The password, sealed in the token that begins with ``message``."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return seal(self.password.encode(), self.key.public_key(), message)

    def stranger(self) -> "Bearer":
        """The same, sealed to another key."""
        return replace(self, key=ec.generate_private_key(CURVE()))


def bearer(key: ec.EllipticCurvePrivateKey, operation: Operation, now: datetime, user: str = "alice") -> Bearer:
    """The user, whose good token orders what is theirs."""
    moment = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": "corp",
        "sub": f"{user}@harbour.example",
        "aud": f"{URL}{_PATHS[operation]}#ldap/corp",
        "iat": moment,
        "nbf": moment,
        "exp": moment + 300,
        "jti": secrets.token_hex(16),
        "ldap_user": user,
    }
    if operation is Operation.SSH_SIGN:
        claims |= {"sub": user, "step": {"ssh": {"certType": "user", "keyID": user, "principals": [user]}}}
    else:
        claims["sans"] = [claims["sub"]]
    kid = jwk.thumbprint(jwk.public_members(key.public_key()))
    return Bearer(key=key, header={"alg": ALG, "kid": kid, "typ": "JWT"}, payload=claims, now=now)


def configure(folder: Path, directory: slapd.Slapd, key: ec.EllipticCurvePrivateKey, /, **more: Any) -> LDAPConfig:
    """What a table in ``folder`` says, beside the files that it names."""
    for name, octets in {
        "ldap_key": keyfiles.dump_private_key(key, None),
        "bind_password": slapd.SERVICE_PASSWORD.encode() + b"\n",
    }.items():
        (folder / name).write_bytes(octets)
        (folder / name).chmod(0o600)
    settings: dict[str, Any] = {
        "name": "corp",
        "url": directory.url,
        "roots": directory.roots,
        "key": Path("ldap_key"),
        "bind_dn": slapd.SERVICE,
        "bind_password_file": Path("bind_password"),
        "base": f"ou=people,{slapd.SUFFIX}",
        "map": (MapRule(group=slapd.OPS, principals=("deploy",), dns=("svc.harbour.example",)),),
    }
    return LDAPConfig(**{**settings, **more})


class _AtADirectory:
    """The provisioner ``corp`` of a directory that lives as long as the class."""

    directory: ClassVar[slapd.Slapd]
    key: ClassVar[ec.EllipticCurvePrivateKey] = ec.generate_private_key(CURVE())

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _directory(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with slapd.running(tmp_path_factory.mktemp("slapd")) as cls.directory:
            yield

    def build(self, context: Context) -> LDAPProvisioner:
        """``corp``."""
        return LDAPProvisioner(configure(context.directory, self.directory, self.key), context)


class _Alice(_AtADirectory):
    """Her tokens order what is hers."""

    ordered: ClassVar[tuple[Operation, ...]] = (Operation.X509_SIGN, Operation.SSH_SIGN)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """She."""
        return bearer(self.key, operation, now)

    def secrets(self) -> Iterator[str]:
        """What the table's files hold."""
        yield from (slapd.PASSWORD, slapd.SERVICE_PASSWORD)
        yield keyfiles.dump_private_key(self.key, None).decode().split("\n")[1]
        yield jwk.dump(self.key)["d"]


class TestLDAP(_Alice, TokenProvisionerContract):
    """Tokens with a password order certificates of X.509 and SSH."""


class TestLDAPLine(_Alice, ProvisionerLineContract):
    """The provisioner in whole authorities, and in processes of their own."""

    plugin = "ldap"

    def table(self, folder: Path) -> str:
        """What ``build`` is given, as TOML."""
        config = configure(folder, self.directory, self.key)
        members = ("name", "url", "roots", "key", "bind_dn", "bind_password_file", "base")
        lines = [f'{member} = "{getattr(config, member)}"' for member in members]
        rule = f'map = [{{ group = "{slapd.OPS}", principals = ["deploy"], dns = ["svc.harbour.example"] }}]'
        return "\n".join(['type = "ldap"', *lines, rule, ""])


class TestLDAPRenewals(_AtADirectory, RenewalProvisionerContract):
    """Who may log in, and have the names, may renew."""

    def own(self, provisioner: RenewalProvisioner, clock: Clock) -> Issuance:
        """Alice's certificate."""
        ref = ProvisionerRef(name=provisioner.name, type=provisioner.type, credential_id="alice")
        return replace(make_issuance(ref, clock()), names=("alice@harbour.example",))


class TestLDAPTokens(_Alice, TokenSourceContract):
    """The client's side, with the user's name in the environment."""

    @pytest.fixture(autouse=True)
    def _user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(USER_VARIABLE, "alice")

    def build(self) -> LDAPTokenSource:  # type: ignore[override]
        """The source."""
        return LDAPTokenSource()

    def provisioner(self, context: Context) -> LDAPProvisioner:
        """``corp``."""
        return _AtADirectory.build(self, context)

    def desk(self, directory: Path) -> PaperDesk:
        """Her password lies there."""
        return PaperDesk(given=(slapd.PASSWORD.encode(),))

    def order(self, operation: Operation, clock: Clock) -> TokenOrder:
        """What is hers."""
        step = {"step": {"ssh": {"certType": "user", "keyID": "alice", "principals": ["alice"]}}}
        changes = {"extra": step} if operation is Operation.SSH_SIGN else {"sans": ("alice@harbour.example",)}
        return replace(super().order(operation, clock), subject="alice", **changes)
