"""One sign-in, from the invitation to the provider's tokens."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from mica.client import transport
from mica.client.errors import Unreachable
from mica.client.oauth import answers, device, identity
from mica.client.oauth.authorization import Attempt
from mica.client.oauth.callback import Callback
from mica.client.oauth.desk import SignInDesk
from mica.client.oauth.landing import Landing
from mica.client.oauth.listener import Listener, listening
from mica.client.oauth.providers import Provider, Registration
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.web import Web, check_url
from mica.clock import system_clock
from mica.tokens import UnverifiedToken

PATIENCE = 120.0
_TOKEN = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.12


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
        if not _TOKEN.fullmatch(token):
            raise NotSignedIn("the identity provider's access token has characters that none may have (RFC 6749, A.12)")
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
    here, the provider allows it, and no address is wished at which a browser would arrive. ``listen`` is where the
    provider sends the browser, unless the desk wishes another. An identity token that comes is for this sign-in.
    """
    wishes = desk.wishes
    arrives = desk.has_display or wishes.listen or wishes.listen_url
    if wishes.console or (not arrives and provider.device_endpoint):
        tokens = _elsewhere(provider, registration, web, desk, pause)
    else:
        tokens = _here(
            provider, registration, web, desk, Landing.parse(wishes.listen or listen, wishes.listen_url), patience
        )
    if "id_token" in tokens.answer:
        check_identity(tokens, provider, registration)
    return tokens


def check_identity(tokens: Tokens, provider: Provider, registration: Registration) -> UnverifiedToken:
    """The identity token among ``tokens``, which is by ``provider`` for ``registration``; raises NotSignedIn."""
    return identity.checked(
        tokens.answer.get("id_token"),
        issuer=provider.issuer,
        client_id=registration.client_id,
        nonce=tokens.nonce,
        now=system_clock(),
    )


def refreshed(provider: Provider, registration: Registration, web: Web, refresh_token: str) -> Tokens:
    """New tokens without anybody's doing (RFC 6749 §6); raises NotSignedIn, Unreachable."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return Tokens(answer=_exchanged(provider, registration, web, form))


def _here(
    provider: Provider, registration: Registration, web: Web, desk: SignInDesk, landing: Landing, patience: float
) -> Tokens:
    attempt, onward = Attempt(), _checked(desk.wishes.onward)
    with listening(landing) as listener:
        url = attempt.url(provider, registration, listener.redirect_uri)
        callback = Callback(
            hosts=listener.hosts,
            path=listener.path,
            state=attempt.state,
            issuer=provider.issuer,
            names_itself=provider.names_itself,
            onward=onward,
        )
        listener.serve(callback)
        desk.invite(_invitation(url, listener, desk), url)
        with transport.waiting.get()("waiting for the sign-in in the browser"):
            code = callback.wait(patience)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": listener.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        return Tokens(answer=_exchanged(provider, registration, web, form), nonce=attempt.nonce)


def _invitation(url: str, listener: Listener, desk: SignInDesk) -> str:
    """What is said of ``url``; whoever can see no browser here is told how one elsewhere comes back to here."""
    if desk.has_display:
        return f"Sign in with the browser, at this URL unless it opens by itself:\n\n{url}\n"
    way = f"ssh -L {listener.port}:127.0.0.1:{listener.port} …"
    return f"Sign in with a browser that reaches this machine (from another one: {way}), at this URL:\n\n{url}\n"


def _checked(onward: str) -> str:
    try:
        return check_url(onward, schemes=("https", "http")) if onward else ""
    except Unreachable:
        raise NotSignedIn(
            f"{onward!r} is no URL that a browser can go on to", hint="such as https://harbour.example/welcome"
        ) from None


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
    return answers.granted(*web.post(provider.token_endpoint, {**registration.credentials, **form}))
