"""``mica crypto jwt sign``, ``jwt verify`` and ``jwt inspect``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mica.cli.kit import Usage, json_text, options, product
from mica.clock import system_clock
from mica_certtool.crypto import claims, compact
from mica_certtool.reading import inputs
from mica_certtool.reading.remarks import silenced

Command = TypeVar("Command", bound=Callable[..., Any])

_TIME = claims.NumericDate()
_WHEN = "Unix seconds, RFC 3339, or a duration from now"
_ISSUED = "--iss joe@svc.example --aud https://svc.example --sub auth"


def _key(command: Command) -> Command:
    """``key``, ``jwks``, ``kid``, ``alg``, ``password_file``, ``subtle``."""
    command = click.option("--subtle", is_flag=True, help="Allow what is right for experts only.")(command)
    command = options.password_file("Password of the key")(command)
    command = click.option("--alg", metavar="ALG", help="Algorithm, which must suit the key: ES256, RS256, EdDSA …")(
        command
    )
    command = click.option("--kid", metavar="ID", help="Which key of --jwks; the key id in the header.")(command)
    command = click.option("--jwks", metavar="FILE", help="A set of keys, in which --kid names one.")(command)
    return click.option("--key", metavar="FILE", help="The key: PEM, DER, OpenSSH's form, JWK, or a key URI.")(command)


@click.command(
    epilog=options.examples(
        f"mica crypto jwt sign --key svc.key {_ISSUED} --exp 5m",
        f"mica crypto jwt sign --key jwk.json --password-file password.txt {_ISSUED} --exp 2031-03-14T09:26:53Z",
        """echo '{"srv":"https://svc.example"}' | mica crypto jwt sign --x5c-cert svc.crt --x5c-key svc.key """
        f"{_ISSUED} --exp 1h -",
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option("--iss", metavar="TEXT", help="Issuer.")
@click.option("--aud", multiple=True, metavar="TEXT", help="Audience; repeatable.")
@click.option("--sub", metavar="TEXT", help="Subject.")
@click.option("--exp", type=_TIME, help=f"When it expires: {_WHEN}.")
@click.option("--nbf", type=_TIME, help=f"From when it is valid: {_WHEN} [now].")
@click.option("--iat", type=_TIME, help=f"When it was issued: {_WHEN} [now].")
@click.option("--jti", metavar="ID", help="Its own id [random].")
@_key
@click.option("--x5c-cert", metavar="FILE", help="Certificate chain that vouches for --x5c-key, for the header.")
@click.option("--x5c-key", metavar="FILE", help="The key of that certificate.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Another header; repeatable.")
@silenced()
def sign(
    file: str | None,
    iss: str | None,
    aud: tuple[str, ...],
    sub: str | None,
    exp: claims.When | None,
    nbf: claims.When | None,
    iat: claims.When | None,
    jti: str | None,
    key: str | None,
    jwks: str | None,
    kid: str | None,
    alg: str | None,
    password_file: str | None,
    subtle: bool,
    x5c_cert: str | None,
    x5c_key: str | None,
    headers: tuple[str, ...],
) -> None:
    """Print a signed token with the claims of the JSON in FILE (or -, stdin) and of the flags.

    --iss, --aud, --sub and --exp are required, by a flag or in FILE, unless --subtle is given.
    """
    _check_alg(alg)
    _check_source(key=key, jwks=jwks, x5c=(x5c_cert, x5c_key))
    if jwks is not None and kid is None:
        raise Usage("flag '--jwks' requires the '--kid' flag")
    given = compact.payload(*inputs.read(file, "claims")) if file is not None else {}
    more = compact.headers(headers)
    wanted = claims.Wanted(iss=iss, aud=aud, sub=sub, exp=exp, nbf=nbf, iat=iat, jti=jti)
    now = system_clock()
    said = claims.build(given, wanted, now, subtle=subtle)
    from mica_certtool.crypto import jose, signing_keys  # cryptography is slow to import

    chosen = signing_keys.choose(
        signing_keys.Source(
            key=key, jwks=jwks, kid=kid, x5c_cert=x5c_cert, x5c_key=x5c_key, password=password_file
        )
    )  # fmt: skip
    if not subtle:
        signing_keys.check_chain(chosen, now)
    suitable = signing_keys.algorithm(chosen, alg, operation="sign", subtle=subtle)
    product(jose.sign(said, chosen, suitable[0], more))


@click.command(
    epilog=options.examples(
        f"mica crypto jwt sign --key svc.key {_ISSUED} --exp 5m | "
        "mica crypto jwt verify --key svc.crt --iss joe@svc.example --aud https://svc.example",
    )
)
@click.option("--iss", metavar="TEXT", help="Issuer that the token must be from.")
@click.option("--aud", metavar="TEXT", help="Audience that the token must be for.")
@_key
@silenced()
def verify(
    iss: str | None,
    aud: str | None,
    key: str | None,
    jwks: str | None,
    kid: str | None,
    alg: str | None,
    password_file: str | None,
    subtle: bool,
) -> None:
    """Verify the token on stdin and show it; --iss and --aud are required unless --subtle is given.

    Its signature, exp, nbf and iat are checked, with one minute of leeway. The key decides about the algorithm.
    """
    _check_alg(alg)
    _check_source(key=key, jwks=jwks, x5c=(None, None))
    for flag, value in (("--iss", iss), ("--aud", aud)):
        if not value and not subtle:
            raise Usage(f"flag '{flag}' is required unless the '--subtle' flag is given")
    data = _token()
    shown = compact.members(data)
    from mica_certtool.crypto import jose, signing_keys  # cryptography is slow to import

    named = kid or (compact.kid(shown) if jwks is not None else None)
    chosen = signing_keys.choose(signing_keys.Source(key=key, jwks=jwks, kid=named, password=password_file))
    suitable = signing_keys.algorithm(chosen, alg, operation="verify", subtle=subtle)
    jose.verify(data, shown, chosen, suitable, jose.Expected(iss=iss, aud=aud, expiry=not subtle))
    product(json_text(shown))


@click.command(epilog=options.examples("mica crypto jwt inspect --insecure < token.txt"))
@options.insecure
def inspect(insecure: bool) -> None:
    """Show the token on stdin, which is not verified."""
    if not insecure:
        raise Usage("flag '--insecure' is required, because the token is not verified")
    product(json_text(compact.members(_token())))


def _token() -> bytes:
    return inputs.read(None, "token", hint="echo $TOKEN | mica crypto jwt inspect --insecure")[0]


def _check_alg(alg: str | None) -> None:
    if alg is not None and alg.lower() == "none":
        raise Usage("invalid value 'none' for flag '--alg'", hint="a token without a signature proves nothing")


def _check_source(*, key: str | None, jwks: str | None, x5c: tuple[str | None, str | None]) -> None:
    """Exactly one key is named; raises Usage."""
    if (x5c[0] is None) != (x5c[1] is None):
        raise Usage("flags '--x5c-cert' and '--x5c-key' require each other")
    named = [flag for flag, value in (("--key", key), ("--jwks", jwks), ("--x5c-cert", x5c[0])) if value is not None]
    if not named:
        raise Usage("flag '--key' is required unless another flag names the key", hint="--key FILE, or --jwks FILE")
    if len(named) > 1:
        raise Usage(f"flag '{named[0]}' is incompatible with '{named[1]}'")
