"""Signing in with a browser on another machine: a code is shown here and typed there (RFC 8628)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mica.client.errors import Unreachable, Untrusted
from mica.client.oauth.answers import granted, is_yes, refusal
from mica.client.oauth.providers import Provider, Registration
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.web import Web, check_url

PATIENCE = 300.0
_TROUBLE = 500  # the least status that speaks of the provider's own trouble
_MAX_CODE = 64
_INTERVAL = 5.0  # RFC 8628 §3.5, also what slow_down adds
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the user is to open and to type, and what this machine asks with meanwhile."""

    url: str
    user_code: str
    device_code: str = field(repr=False)
    interval: float
    lifetime: float
    """Both in seconds."""


def invited(provider: Provider, registration: Registration, web: Web) -> Invitation:
    """A new invitation; raises NotSignedIn, Unreachable."""
    if not provider.device_endpoint:
        raise NotSignedIn(
            f"{provider.issuer} has no device endpoint, and so no sign-in with a browser elsewhere",
            hint="leave --console out",
        )
    form = registration.credentials | {"scope": " ".join(registration.scopes)}
    try:
        said = granted(*web.post(provider.device_endpoint, form))
    except NotSignedIn as error:
        error.hint = "the provider may not let this client sign in by a code; --listen lets a browser come here"
        raise
    # RFC 8628 §3.2; the draft that Google still speaks called the last one verification_url.
    codes = [said.get(member) for member in ("device_code", "user_code", "verification_uri", "verification_url")]
    device_code, user_code, url, earlier = (code if isinstance(code, str) else "" for code in codes)
    if not (device_code and user_code) or len(user_code) > _MAX_CODE or not user_code.isprintable():
        raise Unreachable(f"{provider.device_endpoint} gives no code (RFC 8628 §3.2)")
    return Invitation(
        url=check_url(url or earlier),
        user_code=user_code,
        device_code=device_code,
        interval=_seconds(said, "interval", _INTERVAL),
        lifetime=min(_seconds(said, "expires_in", PATIENCE), PATIENCE),
    )


def awaited(
    invitation: Invitation,
    provider: Provider,
    registration: Registration,
    web: Web,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """The provider's answer once somebody has signed in; raises NotSignedIn when nobody does, Untrusted."""
    form = registration.credentials | {"grant_type": _GRANT, "device_code": invitation.device_code}
    interval, waited, begun, trouble = invitation.interval, 0.0, time.monotonic(), ""
    while max(waited, time.monotonic() - begun) + interval <= invitation.lifetime:
        pause(interval)
        waited += interval
        try:
            status, said = web.post(provider.token_endpoint, form)
        except Untrusted:
            raise
        except Unreachable as error:
            interval, trouble = interval * 2, str(error)  # RFC 8628 §3.5
            continue
        if is_yes(status, said):
            return said
        why, trouble = said.get("error"), ""
        no = refusal(why or f"HTTP status {status}", said.get("error_description"))
        if why == "slow_down":
            interval += _INTERVAL
        elif why == "expired_token":
            break
        elif status >= _TROUBLE:
            interval, trouble = interval * 2, str(no)
        elif why != "authorization_pending":
            raise no
    again = "run the command again for another code"
    hint = f"{again}; the provider was in trouble at last: {trouble}" if trouble else again
    raise NotSignedIn("nobody signed in before the code expired", hint=hint)


def _seconds(said: Mapping[str, Any], member: str, default: float) -> float:
    value = said.get(member)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1e6 else default
