"""``mica oauth --account``: a service account's key speaks, and nobody is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mica.cli.ca.passwordflags import was_typed
from mica.cli.errors import Usage
from mica.cli.files import read_input
from mica.cli.oauth.desk import BrowserDesk
from mica.client import tls
from mica.client.oauth import Web
from mica.client.oauth.accounts import LIFETIME, ServiceAccount
from mica.clock import system_clock

#: What only somebody who signs in has a use for.
_OTHERS = (
    "--provider", "--client-id", "--client-secret-file", "--authorization-endpoint", "--token-endpoint",
    "--device-authorization-endpoint", "--auth-param", "--prompt", "--oidc", "--console", "--listen", "--listen-url",
    "--redirect-url", "--no-cache",
)  # fmt: skip


def answer(file: Path, *, scopes: tuple[str, ...], subject: str, own: bool) -> Mapping[str, Any]:
    """What the provider gives the account in ``file``, or with ``own`` the account itself makes, for no other's doing.

    Raises Usage, FileProblem, KeyProblem, NotSignedIn, Unreachable.
    """
    for flag in _OTHERS:
        if was_typed(flag):
            raise Usage(f"flag '{flag}' is incompatible with '--account', for which nobody signs in")
    if own and len(scopes) != 1:
        raise Usage("flag '--jwt' requires one '--scope' flag", hint="the audience of the token: a service's URL")
    account = ServiceAccount.parse(read_input(file), str(file))
    if own:
        token = account.assertion(scopes[0], now=system_clock(), subject=subject)
        return {"access_token": token, "token_type": "Bearer", "expires_in": int(LIFETIME.total_seconds())}
    web = Web(trust=tls.context(BrowserDesk().wishes.roots))
    return account.tokens(web, subject=subject, scopes=scopes)
