"""Whether an identity token is what this machine asked for. Its signature is for the CA to judge."""

import hmac
from datetime import UTC, datetime, timedelta

from mica.client.oauth.refusals import NotSignedIn
from mica.errors import Unauthorized
from mica.tokens import LEEWAY, UnverifiedToken

#: A token that expires sooner may be late when the CA has it.
MARGIN = timedelta(seconds=5)


def checked(raw: object, *, issuer: str, client_id: str, nonce: str | None, now: datetime) -> UnverifiedToken:
    """The token in ``raw``, by ``issuer`` for ``client_id``, unexpired (OpenID Connect Core §3.1.3.7).

    ``nonce`` must be in it; None: it need not have one. Raises NotSignedIn.
    """
    if not isinstance(raw, str) or not raw:
        raise NotSignedIn("the identity provider sent no identity token", hint="the scope openid makes it send one")
    try:
        token = UnverifiedToken.parse(raw)
    except Unauthorized as error:
        raise NotSignedIn(f"the identity provider sent no identity token that can be read: {error}") from error
    if token.issuer != issuer:
        raise NotSignedIn(f"the identity token is by {token.issuer!r}, not by {issuer!r}")
    authorized = token.payload.get("azp", client_id)
    if client_id not in token.audiences or authorized != client_id:
        raise NotSignedIn(f"the identity token is for {', '.join(token.audiences)!r}, not for {client_id!r}")
    if not token.subject:
        raise NotSignedIn("the identity token does not say whose it is: it has no sub")
    if nonce is not None and not hmac.compare_digest(token.text("nonce").encode(), nonce.encode()):
        raise NotSignedIn("the identity token is for another sign-in: its nonce is not this one's")
    _check_times(token, now)
    return token


def expiry(token: UnverifiedToken) -> datetime:
    """When it expires; raises NotSignedIn when it does not say so."""
    exp = token.payload.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not 0 <= exp < 2**35:
        raise NotSignedIn("the identity token does not say when it expires")
    return datetime.fromtimestamp(exp, UTC)


def _check_times(token: UnverifiedToken, now: datetime) -> None:
    if (end := expiry(token)) <= now + MARGIN:
        raise NotSignedIn(
            f"the identity token expired at {end:%Y-%m-%d %H:%M:%S} UTC, and it is {now:%Y-%m-%d %H:%M:%S} here",
            hint="is this machine's clock ahead?",
        )
    start = token.payload.get("nbf")
    if isinstance(start, int | float) and start > (now + LEEWAY).timestamp():
        raise NotSignedIn("the identity token is not valid yet", hint="is this machine's clock behind?")
