"""What the flags of ``mica oauth`` say of the provider, of the program, and of whoever signs in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mica.cli.errors import FileProblem, Usage
from mica.cli.oauth.desk import BrowserDesk
from mica.cli.passwords import given
from mica.client import oauth, tls
from mica.client.oauth import Provider, Registration, Wishes
from mica.client.oauth.providers import NAMES
from mica.client.oauth.web import check_url

_SCOPES = Registration(client_id="").scopes


class OAuthDesk(BrowserDesk):
    """As ``BrowserDesk``, and knows the flags that ``mica oauth`` alone has."""

    def __init__(self, *, listen_url: str, onward: str) -> None:
        self._listen_url, self._onward = listen_url, onward

    @property
    def wishes(self) -> Wishes:
        """How they want to; raises FileProblem when the root is none."""
        return replace(super().wishes, listen_url=self._listen_url, onward=self._onward)

    @property
    def remedy(self) -> str:
        """What to do where nobody may be asked."""
        return "use a service account, with --account"


class Where(NamedTuple):
    """A provider, or where it describes itself; and what it is asked for when nobody says otherwise."""

    provider: str | Provider
    scopes: tuple[str, ...]


def provider(name: str, endpoints: Sequence[str | None], *, identifies: bool) -> Where:
    """The one called ``name``; ``endpoints`` are where it authorizes, gives tokens, and gives codes, if it cannot say.

    Raises Usage; also when it ``identifies`` nobody, and is to. Raises Unreachable when a URL is none.
    """
    found = _described(name, endpoints) if any(endpoints) else NAMES.get(name, name)
    if isinstance(found, str):
        return Where(found, _SCOPES)
    if identifies and not found.identifies:
        raise Usage(
            f"flag '--oidc' is of no use with '--provider {name}', which gives no identity tokens",
            hint="leave it out for the access token",
        )
    return Where(found, found.scopes)


def registration(
    client_id: str | None,
    secret_source: str | None,
    scopes: tuple[str, ...],
    parameters: tuple[str, ...],
    hints: Mapping[str, str | None],
) -> Registration:
    """What the provider knows of the program, and is asked; raises Usage, FileProblem."""
    if client_id is None:
        raise Usage("flag '--client-id' is required", hint="the provider gives one to each program that is registered")
    pairs = [parameter.partition("=") for parameter in parameters]
    for (key, equals, _), parameter in zip(pairs, parameters, strict=True):
        if not key or not equals:
            raise Usage(f"invalid value {parameter!r} for flag '--auth-param'", hint="such as hd=harbour.example")
    said = [(key, value) for key, value in hints.items() if value is not None]
    return Registration(
        client_id=client_id,
        client_secret=_secret(secret_source),
        scopes=scopes,
        parameters=(*((key, value) for key, _, value in pairs), *said),
    )


def answer(where: str | Provider, program: Registration, desk: OAuthDesk, *, remembered: bool) -> Mapping[str, Any]:
    """What the provider gives, or the identity token alone where a ``remembered`` sign-in may give it."""
    if remembered:
        return {"id_token": oauth.identity_token(where, program, desk).raw}
    web = oauth.Web(trust=tls.context(desk.wishes.roots))
    found = oauth.discover(where, web) if isinstance(where, str) else where
    return oauth.sign_in(found, program, web, desk).answer


def _described(name: str, endpoints: Sequence[str | None]) -> Provider:
    authorization, token, device = endpoints
    if authorization is None or token is None:
        raise Usage(
            "flags '--authorization-endpoint' and '--token-endpoint' require each other"
            + (", and '--device-authorization-endpoint' requires both" if device else "")
        )
    if name in NAMES:
        raise Usage(
            "flag '--authorization-endpoint' requires the flag '--provider' with a URL",
            hint="the provider's issuer, by which its answers are known",
        )
    return Provider(
        issuer=check_url(name),
        authorization_endpoint=check_url(authorization),
        token_endpoint=check_url(token),
        device_endpoint=check_url(device) if device else "",
    )


def _secret(source: str | None) -> str:
    try:
        return (given(source) or b"").decode()
    except UnicodeDecodeError:
        raise FileProblem(f"{source}: is no text, as a client secret is", hint="save it as UTF-8") from None
