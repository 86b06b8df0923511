"""An identity token for a CA, by a sign-in that is remembered for its short life.

A CA takes each identity token once, so a token that has been handed out is not kept. What is kept is the refresh token,
when the provider gives one, until the identity token of the sign-in has expired, and at most for an hour; and an
identity token that the CA is known to have left unused (``give_back``).
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from mica.client import tls
from mica.client.errors import ClientError
from mica.client.oauth import identity
from mica.client.oauth.cache import LONGEST, Cache, Kept
from mica.client.oauth.desk import SignInDesk
from mica.client.oauth.providers import Provider, Registration, discover
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.signin import Tokens, check_identity, refreshed, sign_in
from mica.client.oauth.web import Web
from mica.clock import system_clock
from mica.tokens import UnverifiedToken

#: Parameters of a request that nothing remembered can answer: somebody is to be asked again, or to be another.
_ANEW = frozenset({"prompt", "max_age", "login_hint", "id_token_hint", "acr_values", "claims"})


def identity_token(
    endpoint: str | Provider, registration: Registration, desk: SignInDesk, *, tenant_id: str = "", listen: str = ""
) -> UnverifiedToken:
    """A token that no CA has seen, of whoever is at ``desk``; raises NotSignedIn, Unreachable, what the desk raises.

    ``endpoint`` is the provider, or where it describes itself.
    """
    web = Web(trust=tls.context(desk.wishes.roots))
    provider = endpoint if isinstance(endpoint, Provider) else discover(endpoint, web, tenant_id=tenant_id)
    cache = Cache(desk.wishes.cache) if desk.wishes.cache is not None else None
    session = _Session(provider=provider, registration=registration, web=web, cache=cache)
    found = session.remembered()
    if found is not None:
        return found
    return session.begun(sign_in(provider, registration, web, desk, listen=listen))


def give_back(token: UnverifiedToken, folder: Path) -> None:
    """The next sign-in is ``token``'s, which the CA is known not to have taken."""
    now, cache, client_id = system_clock(), Cache(folder), token.text("azp") or "".join(token.audiences[:1])
    try:
        until = min(identity.expiry(token), now + LONGEST)
    except NotSignedIn:
        return
    kept = cache.take(token.issuer, client_id, now)
    if kept is None or kept.subject != token.subject:
        kept = Kept(until=until, subject=token.subject, nonce=token.text("nonce"))
    cache.keep(token.issuer, client_id, replace(kept, identity_token=token.raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """A provider, and what is remembered of it."""

    provider: Provider
    registration: Registration
    web: Web
    cache: Cache | None

    @property
    def asked(self) -> str:
        """What the provider is asked for, but for whom."""
        return json.dumps([self.registration.scopes, self.registration.parameters])

    def begun(self, tokens: Tokens) -> UnverifiedToken:
        """The identity token of a new sign-in, which is remembered as far as it may be."""
        now = system_clock()
        token = self._checked(tokens)
        until = min(identity.expiry(token), now + LONGEST)
        kept = Kept(until=until, subject=token.subject, asked=self.asked, nonce=token.text("nonce"))
        self._remember(tokens, kept)
        return token

    def remembered(self) -> UnverifiedToken | None:
        """An identity token without a sign-in, when one is remembered that gives one."""
        if self.cache is None or _ANEW.intersection(dict(self.registration.parameters)):
            return None
        kept = self.cache.take(self.provider.issuer, self.registration.client_id, system_clock())
        if kept is None or kept.asked not in ("", self.asked):
            return None
        if kept.identity_token and (unused := self._unused(kept)):
            return unused
        return self._refreshed(kept) if kept.refresh_token else None

    def _unused(self, kept: Kept) -> UnverifiedToken | None:
        try:
            token = self._checked(Tokens(answer={"id_token": kept.identity_token}))
        except NotSignedIn:
            return None
        self._remember(Tokens(answer={}), replace(kept, identity_token=""))
        return token

    def _refreshed(self, kept: Kept) -> UnverifiedToken | None:
        """A token of the same person that no CA has seen; None when the provider gives none."""
        try:
            tokens = refreshed(self.provider, self.registration, self.web, kept.refresh_token)
            token = self._checked(tokens)
        except ClientError:  # whoever it was signs in again
            return None
        # OpenID Connect Core §12.2: the nonce may be the first token's, and the CA has seen that one.
        if token.subject != kept.subject or (token.text("nonce") and token.text("nonce") == kept.nonce):
            return None
        self._remember(tokens, replace(kept, nonce=token.text("nonce") or kept.nonce))
        return token

    def _checked(self, tokens: Tokens) -> UnverifiedToken:
        return check_identity(tokens, self.provider, self.registration)

    def _remember(self, tokens: Tokens, kept: Kept) -> None:
        given = tokens.answer.get("refresh_token") or kept.refresh_token
        if self.cache is not None and isinstance(given, str) and given:
            self.cache.keep(self.provider.issuer, self.registration.client_id, replace(kept, refresh_token=given))
