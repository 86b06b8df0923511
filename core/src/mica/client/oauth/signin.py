"""One sign-in, from the invitation to the provider's tokens."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from mica.client import transport
from mica.client.oauth import device
from mica.client.oauth.authorization import Attempt
from mica.client.oauth.callback import Callback, refusal
from mica.client.oauth.desk import SignInDesk
from mica.client.oauth.listener import Address, listening
from mica.client.oauth.providers import Provider, Registration
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.web import Web

PATIENCE = 120.0
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the provider gave."""

    answer: Mapping[str, Any] = field(repr=False)
    """As it came (RFC 6749 §5.1): ``access_token``, ``id_token`` …"""
    nonce: str | None = None
    """What the identity token must have; None when none was asked for."""

    @property
    def access_token(self) -> str:
        """What opens the provider's services; raises NotSignedIn when there is none."""
        token = self.answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise NotSignedIn("the identity provider sent no access token")
        return token


def sign_in(
    provider: Provider,
    registration: Registration,
    web: Web,
    desk: SignInDesk,
    *,
    listen: str = "",
    patience: float = PATIENCE,
    pause: Callable[[float], None] = time.sleep,
) -> Tokens:
    """Whoever is at ``desk`` has signed in; raises NotSignedIn, Unreachable, and what the desk raises.

    By a browser here, within ``patience`` seconds; or by one elsewhere, where that is wished, or nothing can be seen
    here and the provider allows it. ``listen`` is where the provider sends the browser, unless the desk wishes another.
    """
    if desk.wishes.console or (not desk.has_display and provider.device_endpoint):
        return _elsewhere(provider, registration, web, desk, pause)
    return _here(provider, registration, web, desk, desk.wishes.listen or listen, patience)


def refreshed(provider: Provider, registration: Registration, web: Web, refresh_token: str) -> Tokens:
    """New tokens without anybody's doing (RFC 6749 §6); raises NotSignedIn, Unreachable."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return Tokens(answer=_exchanged(provider, registration, web, form))


def _here(
    provider: Provider, registration: Registration, web: Web, desk: SignInDesk, listen: str, patience: float
) -> Tokens:
    attempt = Attempt()
    with listening(Address.parse(listen)) as listener:
        url = attempt.url(provider, registration, listener.redirect_uri)
        callback = Callback(
            hosts=listener.hosts, state=attempt.state, issuer=provider.issuer, names_itself=provider.names_itself
        )
        listener.serve(callback)
        desk.invite(f"Sign in with the browser, at this URL unless it opens by itself:\n\n{url}\n", url)
        with transport.waiting.get()("waiting for the sign-in in the browser"):
            code = callback.wait(patience)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": listener.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        return Tokens(answer=_exchanged(provider, registration, web, form), nonce=attempt.nonce)


def _elsewhere(
    provider: Provider, registration: Registration, web: Web, desk: SignInDesk, pause: Callable[[float], None]
) -> Tokens:
    invitation = device.invited(provider, registration, web)
    desk.invite(f"Open {invitation.url} in any browser, and enter this code:\n\n{invitation.user_code}\n")
    before = transport.waiting.get()
    with before("waiting for the sign-in elsewhere"):
        inner = transport.waiting.set(lambda _: nullcontext())  # the line is taken
        try:
            return Tokens(answer=device.awaited(invitation, provider, registration, web, pause))
        finally:
            transport.waiting.reset(inner)


def _exchanged(provider: Provider, registration: Registration, web: Web, form: Mapping[str, str]) -> dict[str, Any]:
    status, said = web.post(provider.token_endpoint, {**registration.credentials, **form})
    if status != _OK:
        raise refusal(said.get("error") or f"HTTP status {status}", said.get("error_description"))
    return said
