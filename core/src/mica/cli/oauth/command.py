"""``mica oauth``: sign in with an identity provider, and get its tokens."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import product, report
from mica.cli.errors import Usage
from mica.cli.passwords import given

if TYPE_CHECKING:
    from mica.client.oauth import Registration


@click.command(
    epilog=options.examples(
        "mica oauth --provider https://id.example --client-id mica --oidc --bare",
        "mica oauth --provider https://id.example --client-id mica --console",
    )
)
@click.option("--provider", "--idp", "provider", metavar="URL", default="google", help="Issuer, or google [google].")
@click.option("--client-id", metavar="ID", help="What the provider calls this program.")
@click.option("--client-secret-file", metavar="FILE", help="Its secret, if it has one: a file, - for stdin, fd:N.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What is asked for [openid, email].")
@click.option("--auth-param", "parameters", multiple=True, metavar="KEY=VALUE", help="More of the browser's request.")
@click.option("--email", "-e", metavar="ADDRESS", help="Who is going to sign in.")
@click.option("--prompt", metavar="TEXT", help="What the provider is to ask again: login, consent …")
@click.option("--oidc", is_flag=True, help="The identity token, with --bare or --header, not the access token.")
@click.option("--bare", is_flag=True, help="Print the token alone.")
@click.option("--header", is_flag=True, help="Print the token as a header of HTTP.")
@options.sign_in("-c")
@options.json_output
@reported()
def oauth(
    provider: str,
    client_id: str | None,
    client_secret_file: str | None,
    scopes: tuple[str, ...],
    parameters: tuple[str, ...],
    email: str | None,
    prompt: str | None,
    oidc: bool,
    bare: bool,
    header: bool,
) -> None:
    """Sign in with an identity provider, and print the tokens that it gives: as JSON, or one of them.

    A browser on this machine is opened; --console is for one elsewhere, and is the default where there is no display
    and the provider allows it. The identity token with --bare or --header comes without a sign-in while the last one
    is remembered.
    """
    from mica.cli.oauth.desk import BrowserDesk  # the client is slow to import
    from mica.client import oauth as client
    from mica.client import tls
    from mica.client.oauth.providers import NAMES

    if bare and header:
        raise Usage("flag '--bare' is incompatible with '--header'")
    if client_id is None:
        raise Usage("flag '--client-id' is required", hint="the provider gives one to each program that is registered")
    hints = {"login_hint": email, "prompt": prompt}
    registration = _registration(client_id, given(client_secret_file), scopes, parameters, hints)
    desk, endpoint = BrowserDesk(), NAMES.get(provider, provider)
    if oidc and (bare or header):
        _show(client.identity_token(endpoint, registration, desk).raw, header=header)
        return
    web = client.Web(trust=tls.context(desk.wishes.roots))
    tokens = client.sign_in(client.discover(endpoint, web), registration, web, desk)
    if bare or header:
        _show(tokens.access_token, header=header)
    else:
        report(tokens.answer)


def _registration(
    client_id: str,
    secret: bytes | None,
    scopes: tuple[str, ...],
    parameters: tuple[str, ...],
    hints: "dict[str, str | None]",
) -> "Registration":
    """What the flags say of the program; raises Usage."""
    from mica.client.oauth import Registration

    pairs = [tuple(parameter.partition("=")[::2]) for parameter in parameters]
    for (key, _), parameter in zip(pairs, parameters, strict=True):
        if not key or "=" not in parameter:
            raise Usage(f"invalid value {parameter!r} for flag '--auth-param'", hint="such as hd=harbour.example")
    said = [(key, value) for key, value in hints.items() if value is not None]
    return Registration(
        client_id=client_id,
        client_secret=(secret or b"").decode("utf-8", "replace"),
        scopes=scopes or Registration(client_id=client_id).scopes,
        parameters=(*((key, value) for key, value in pairs), *said),
    )


def _show(token: str, *, header: bool) -> None:
    product(f"Authorization: Bearer {token}" if header else token)
