"""The suites of ``mica.testing`` that the plugin keeps, with users and with administrators."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509

from mica import Context, Operation, names
from mica.client.oauth import Wishes
from mica.clock import system_clock
from mica.testing import signins
from mica.testing.contexts import Clock
from mica.testing.line import ProvisionerLineContract
from mica.testing.makers import Maker
from mica.testing.openid import CLIENT_ID, OpenIDProvider, openid_provider
from mica.testing.provisioners import TokenProvisionerContract
from mica.testing.renewals import RenewalProvisionerContract
from mica.testing.sources import SignInPaperDesk, TokenSourceContract
from mica_oidc.client import OIDCTokenSource
from mica_oidc.config import OIDCConfig
from mica_oidc.provisioner import OIDCProvisioner

SIGN, SSH_SIGN = Operation.X509_SIGN, Operation.SSH_SIGN
REVOKE, SSH_REVOKE = Operation.X509_REVOKE, Operation.SSH_REVOKE
ANN = "Ann.B@harbour.example"
ALICE = "alice@harbour.example"


def config_of(provider: OpenIDProvider, **more: Any) -> OIDCConfig:
    """A table with this provider, and ``more`` fields."""
    roots = provider.server.roots
    table: dict[str, Any] = {"client_id": CLIENT_ID, "configuration_endpoint": provider.issuer, "roots": roots}
    return OIDCConfig(name="corp", **{**table, **more})


class Tokens:
    """A provisioner that believes one provider, and a user who can log in there."""

    admins: ClassVar[tuple[str, ...]] = ()
    provider: OpenIDProvider

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _provider(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with openid_provider(tmp_path_factory.mktemp("provider")) as running:
            cls.provider = running
            yield

    def build(self, context: Context) -> OIDCProvisioner:
        """It knows where the provider is."""
        return OIDCProvisioner(config_of(self.provider, admins=self.admins), context)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """The user."""
        return self.provider.maker(now)


class Users(Tokens):
    """Users get what follows from who they are, and nothing of what they ask for."""

    ordered: ClassVar[tuple[Operation, ...]] = (SIGN, SSH_SIGN)
    unbound: ClassVar[frozenset[Operation]] = frozenset({SIGN, SSH_SIGN})

    def names(self, maker: Maker) -> frozenset[x509.GeneralName]:
        """Address and identity."""
        return frozenset({names.email(ANN), names.uri(f"{self.provider.issuer}#{maker.payload['sub']}")})

    def principals(self, maker: Maker) -> frozenset[str]:
        """What follows from the address."""
        return frozenset({"annb", "Ann.B", ANN})


class Administrators(Tokens):
    """Administrators get what they ask for."""

    admins = (ANN,)
    ordered: ClassVar[tuple[Operation, ...]] = (SIGN, SSH_SIGN, REVOKE, SSH_REVOKE)
    unbound: ClassVar[frozenset[Operation]] = frozenset({SIGN, SSH_SIGN, REVOKE, SSH_REVOKE})

    def names(self, maker: Maker) -> None:
        """Those of the request."""

    def principals(self, maker: Maker) -> None:
        """Those of the request."""


class TestUsers(Users, TokenProvisionerContract, RenewalProvisionerContract):
    """What a login entitles to."""


class TestAdministrators(Administrators, TokenProvisionerContract):
    """What the login of an administrator entitles to."""


class Line(Tokens, ProvisionerLineContract):
    """The provisioner in whole authorities."""

    plugin = "oidc"
    serves_elsewhere = "an ID token names the client of the provider, which several authorities can be"

    def table(self, folder: Path) -> str:
        """One with the provider."""
        return (
            f'type = "oidc"\nname = "corp"\nclient_id = "{CLIENT_ID}"\nadmins = {list(self.admins)}\n'
            f'configuration_endpoint = "{self.provider.issuer}"\nroots = "{self.provider.server.roots}"\n'
        )


class TestUsersLine(Users, Line):
    """Users in whole authorities."""


class TestAdministratorsLine(Administrators, Line):
    """Administrators in whole authorities, who say all that an SSH certificate needs."""

    def details(self, maker: Maker, operation: Operation) -> Mapping[str, Any]:
        """All that an SSH certificate needs to be told."""
        details = {"certType": "host", "keyID": "svc.example", "principals": ["svc.example"]}
        return details if operation is SSH_SIGN else {}


class TestTokens(TokenSourceContract):
    """The client's side: an administrator signs in, which is remembered as long as it may be."""

    ordered = (SIGN, SSH_SIGN, REVOKE, SSH_REVOKE)
    unbound = frozenset(ordered)
    bearer = ALICE
    provider: signins.SignInProvider

    @pytest.fixture(autouse=True)
    def _signing_in(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with signins.sign_in_provider(tmp_path_factory.mktemp("signins")) as self.provider:
            self.provider.refreshes = True
            yield

    @pytest.fixture
    def source_clock(self) -> Clock:
        """It is right: whoever signs in is told the time by the provider."""
        return Clock(system_clock())

    def build(self) -> OIDCTokenSource:
        return OIDCTokenSource()

    def provisioner(self, context: Context) -> OIDCProvisioner:
        url, root = self.provider.url, self.provider.root
        config = OIDCConfig(
            name="corp", client_id=signins.CLIENT_ID, configuration_endpoint=url, roots=root, admins=(ALICE,)
        )
        return OIDCProvisioner(config, context)

    def desk(self, directory: Path) -> SignInPaperDesk:
        return SignInPaperDesk(wishes=Wishes(cache=directory / "oidc", roots=self.provider.root.read_bytes()))

    def secrets(self) -> Iterator[str]:
        """What the provider alone was told."""
        for said in self.provider.requests("/token"):
            yield from (said[name] for name in ("code", "code_verifier", "refresh_token") if name in said)
