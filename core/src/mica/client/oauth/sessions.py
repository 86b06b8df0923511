"""An identity token for a CA, by a sign-in that is remembered for its short life.

A CA takes each identity token once, so a token that has been handed out is not kept. What is kept is the refresh token,
when the provider gives one, until the identity token of the sign-in has expired, and at most for an hour; and an
identity token that the CA is known to have left unused (``give_back``).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from mica.client import tls
from mica.client.errors import ClientError
from mica.client.oauth import identity
from mica.client.oauth.cache import Cache, Kept
from mica.client.oauth.desk import SignInDesk
from mica.client.oauth.providers import Provider, Registration, discover
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.signin import Tokens, refreshed, sign_in
from mica.client.oauth.web import Web
from mica.clock import system_clock
from mica.tokens import UnverifiedToken

LONGEST = timedelta(hours=1)


def identity_token(
    endpoint: str, registration: Registration, desk: SignInDesk, *, tenant_id: str = "", listen: str = ""
) -> UnverifiedToken:
    """A token that no CA has seen, of whoever is at ``desk``; raises NotSignedIn, Unreachable, what the desk raises."""
    web = Web(trust=tls.context(desk.wishes.roots))
    provider = discover(endpoint, web, tenant_id=tenant_id)
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

    def begun(self, tokens: Tokens) -> UnverifiedToken:
        """The identity token of a new sign-in, which is remembered as far as it may be."""
        now = system_clock()
        token = self._checked(tokens, now)
        until = min(identity.expiry(token), now + LONGEST)
        self._remember(tokens, Kept(until=until, subject=token.subject, nonce=token.text("nonce")))
        return token

    def remembered(self) -> UnverifiedToken | None:
        """An identity token without a sign-in, when one is remembered that gives one."""
        now = system_clock()
        kept = self.cache.take(self.provider.issuer, self.registration.client_id, now) if self.cache else None
        if kept is None:
            return None
        if kept.identity_token and (unused := self._unused(kept, now)):
            return unused
        return self._refreshed(kept, now) if kept.refresh_token else None

    def _unused(self, kept: Kept, now: datetime) -> UnverifiedToken | None:
        try:
            token = self._checked(Tokens(answer={"id_token": kept.identity_token}), now)
        except NotSignedIn:
            return None
        self._remember(Tokens(answer={}), replace(kept, identity_token=""))
        return token

    def _refreshed(self, kept: Kept, now: datetime) -> UnverifiedToken | None:
        """A token of the same person that no CA has seen; None when the provider gives none."""
        try:
            tokens = refreshed(self.provider, self.registration, self.web, kept.refresh_token)
            token = self._checked(tokens, now)
        except ClientError:  # whoever it was signs in again
            return None
        # OpenID Connect Core §12.2: the nonce may be the first token's, and the CA has seen that one.
        if token.subject != kept.subject or (token.text("nonce") and token.text("nonce") == kept.nonce):
            return None
        self._remember(tokens, replace(kept, nonce=token.text("nonce") or kept.nonce))
        return token

    def _checked(self, tokens: Tokens, now: datetime) -> UnverifiedToken:
        return identity.checked(
            tokens.answer.get("id_token"),
            issuer=self.provider.issuer,
            client_id=self.registration.client_id,
            nonce=tokens.nonce,
            now=now,
        )

    def _remember(self, tokens: Tokens, kept: Kept) -> None:
        given = tokens.answer.get("refresh_token") or kept.refresh_token
        if self.cache is not None and isinstance(given, str) and given:
            self.cache.keep(self.provider.issuer, self.registration.client_id, replace(kept, refresh_token=given))
