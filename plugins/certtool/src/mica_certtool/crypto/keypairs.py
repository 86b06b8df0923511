"""``mica crypto keypair``."""

from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import Usage, options
from mica_certtool.crypto import protection
from mica_certtool.outputs import PUBLIC, SECRET, settle_apart

if TYPE_CHECKING:
    from pathlib import Path

_JWK_PASSWORD = "--jwk-password-file"  # noqa: S105 - the name of a flag


@click.command(
    epilog=options.examples(
        "mica crypto keypair new.pub new.key --password-file password.txt",
        "mica crypto keypair --kty OKP new.pub new.key --no-password --insecure",
        "mica crypto keypair --from-jwk jwk.json --jwk-password-file password.txt new.pub new.key "
        "--password-file password.txt",
    )
)
@click.argument("public_file", metavar="PUB", type=options.FILE)
@click.argument("private_file", metavar="PRIV", type=options.FILE)
@options.key
@click.option("--from-jwk", metavar="FILE", help="Take the key from this private JWK instead of making one.")
@protection.password_flag(_JWK_PASSWORD, "Password of that JWK")
@protection.flags("Password of the new file PRIV")
@options.force
@options.json_output
def keypair(
    public_file: "Path",
    private_file: "Path",
    kty: str | None,
    curve: str | None,
    size: int | None,
    from_jwk: str | None,
    jwk_password_file: str | None,
    password_file: str | None,
    no_password: bool,
    insecure: bool,
    force: bool,
) -> None:
    """Make a key pair: the public key in PUB, the private key in PRIV, both in PEM."""
    protection.check(no_password=no_password, insecure=insecure, source=password_file)
    algorithm = _algorithm(from_jwk, kty, curve, size)
    settle_apart([private_file, public_file], [from_jwk], force=force)
    from mica_certtool.crypto import encodings, material  # cryptography is slow to import

    if from_jwk is None:
        key = kit.new_key(*algorithm)
    else:
        key = material.read_jwk(from_jwk, jwk_password_file, flag=_JWK_PASSWORD).require_private()
    password = protection.new_password(password_file, "the private key", no_password=no_password)
    private = encodings.private(key, "pem", password)
    public = encodings.public(key.public_key(), "pem")
    kit.write_all([(private_file, private, SECRET), (public_file, public, PUBLIC)])
    if kit.wants_json():
        from mica.keyfiles import describe

        kit.report({"public_key": str(public_file), "private_key": str(private_file), "key": describe(key)})
    kit.say(f"Your public key has been saved in {public_file}.\nYour private key has been saved in {private_file}.")


def _algorithm(
    from_jwk: str | None, kty: str | None, curve: str | None, size: int | None
) -> tuple[str | None, str | None, int | None]:
    """The three flags, which fit together; raises Usage."""
    options.key_algorithm(kty, curve, size)
    if from_jwk is not None and kty is not None:
        raise Usage("flag '--kty' is incompatible with '--from-jwk', which names a key that exists")
    return kty, curve, size
