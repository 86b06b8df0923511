"""``mica oauth``: sign in with an identity provider, and get its tokens."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import product, report
from mica.cli.errors import Usage
from mica.cli.oauth import retired
from mica.cli.options import FILE

if TYPE_CHECKING:
    from pathlib import Path

#: Providers that can be named in a word; the client knows where they are.
WORDS = ("github", "google")


@click.command(
    epilog=options.examples(
        "mica oauth --provider https://id.example --client-id mica --oidc --bare",
        "mica oauth --provider https://id.example --client-id mica --console",
        "mica oauth --provider https://id.example --client-id mica --listen-url http://localhost:10000/cb --bare",
        "mica oauth --account account.json --scope https://id.example/files --bare",
    )
)
@click.option(
    "--provider",
    "--idp",
    "provider",
    metavar="URL",
    default="google",
    help="Issuer, or google, github [google].",
    shell_complete=lambda _, __, typed: [name for name in WORDS if name.startswith(typed)],
)
@click.option("--client-id", metavar="ID", help="What the provider calls this program.")
@click.option("--client-secret-file", metavar="FILE", help="Its secret, if it has one: a file, - for stdin, fd:N.")
@click.option(
    "--authorization-endpoint", metavar="URL", help="Where the browser begins, at a provider without discovery."
)
@click.option("--token-endpoint", metavar="URL", help="Where such a provider gives tokens.")
@click.option("--device-authorization-endpoint", metavar="URL", help="Where it gives codes for --console, if it does.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What is asked for [openid, email].")
@click.option("--auth-param", "auth_param", multiple=True, metavar="KEY=VALUE", help="More of the browser's request.")
@click.option("--email", "-e", metavar="ADDRESS", help="Who is going to sign in; whom --account speaks for.")
@click.option("--prompt", metavar="TEXT", help="What the provider is to ask again: login, consent …")
@click.option("--account", type=FILE, help="Key file of a service account (JSON), which needs nobody to sign in.")
@click.option("--jwt", is_flag=True, help="The account's own token, for the audience that --scope names.")
@click.option("--oidc", is_flag=True, help="The identity token, with --bare or --header, not the access token.")
@click.option("--bare", is_flag=True, help="Print the token alone.")
@click.option("--header", is_flag=True, help="Print the token as a header of HTTP.")
@options.sign_in("-c")
@click.option("--listen-url", metavar="URL", help="What the provider knows that address by, where it wants a path.")
@click.option("--redirect-url", metavar="URL", help="Where the browser goes after the sign-in.")
@retired.flags
@options.json_output
@reported()
def oauth(
    provider: str,
    client_id: str | None,
    client_secret_file: str | None,
    authorization_endpoint: str | None,
    token_endpoint: str | None,
    device_authorization_endpoint: str | None,
    scopes: tuple[str, ...],
    auth_param: tuple[str, ...],
    email: str | None,
    prompt: str | None,
    account: "Path | None",
    jwt: bool,
    oidc: bool,
    bare: bool,
    header: bool,
    listen_url: str | None,
    redirect_url: str | None,
) -> None:
    """Sign in with an identity provider, and print the tokens that it gives: as JSON, or one of them.

    A browser on this machine is opened; --console is for one elsewhere, and is the default where there is no display
    and the provider allows it, unless --listen says where a browser arrives. The identity token with --bare or --header
    comes without a sign-in while the last one is remembered, and --prompt and --email ask for none.
    """
    from mica.cli.oauth import accounts, asking  # the client is slow to import

    if bare and header:
        raise Usage("flag '--bare' is incompatible with '--header'")
    if jwt and account is None:
        raise Usage("flag '--jwt' requires the '--account' flag")
    if account is not None:
        answer = accounts.answer(account, scopes=scopes, subject=email or "", own=jwt)
        _show(answer, "access_token", bare=bare, header=header)
        return
    endpoints = (authorization_endpoint, token_endpoint, device_authorization_endpoint)
    where = asking.provider(provider, endpoints, identifies=oidc)
    hints = {"login_hint": email, "prompt": prompt}
    registration = asking.registration(client_id, client_secret_file, scopes or where.scopes, auth_param, hints)
    desk = asking.OAuthDesk(listen_url=listen_url or "", onward=redirect_url or "")
    wanted = "id_token" if oidc else "access_token"
    answer = asking.answer(where.provider, registration, desk, remembered=oidc and (bare or header))
    _show(answer, wanted, bare=bare, header=header)


def _show(answer: Mapping[str, Any], wanted: str, *, bare: bool, header: bool) -> None:
    if not (bare or header):
        report(answer)
        return
    from mica.client.oauth import Tokens

    token = Tokens(answer=answer).access_token if wanted == "access_token" else answer[wanted]
    product(f"Authorization: Bearer {token}" if header else token)
