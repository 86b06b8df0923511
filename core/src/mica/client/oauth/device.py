"""Signing in with a browser on another machine: a code is shown here and typed there (RFC 8628)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mica.client.errors import Unreachable, Untrusted
from mica.client.oauth.callback import refusal
from mica.client.oauth.providers import Provider, Registration
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.web import Web, check_url

PATIENCE = 300.0
_OK = 200
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
    status, said = web.post(provider.device_endpoint, form)
    if status != _OK:
        raise refusal(said.get("error") or f"HTTP status {status}", said.get("error_description"))
    codes = [said.get(member) for member in ("device_code", "user_code", "verification_uri")]
    device_code, user_code, url = (code if isinstance(code, str) else "" for code in codes)
    if not (device_code and user_code):
        raise Unreachable(f"{provider.device_endpoint} gives no code (RFC 8628 §3.2)")
    return Invitation(
        url=check_url(url),
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
    interval, waited = invitation.interval, 0.0
    while waited + interval <= invitation.lifetime:
        pause(interval)
        waited += interval
        try:
            status, said = web.post(provider.token_endpoint, form)
        except Untrusted:
            raise
        except Unreachable:
            interval *= 2  # RFC 8628 §3.5
            continue
        if status == _OK:
            return said
        error = said.get("error")
        if error == "slow_down":
            interval += _INTERVAL
        elif error == "expired_token":
            break
        elif error != "authorization_pending":
            raise refusal(error or f"HTTP status {status}", said.get("error_description"))
    raise NotSignedIn("nobody signed in before the code expired", hint="run the command again for another code")


def _seconds(said: Mapping[str, Any], member: str, default: float) -> float:
    value = said.get(member)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1e6 else default
