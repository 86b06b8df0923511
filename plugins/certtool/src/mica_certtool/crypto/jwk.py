"""``mica crypto jwk create``, ``jwk public`` and ``jwk thumbprint``."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import FileProblem, Usage, options
from mica_certtool.crypto import algorithms, protection
from mica_certtool.outputs import PUBLIC, SECRET, settle_apart
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path

    from mica.keyfiles import PrivateKey

_PEM_PASSWORD = "--pem-password-file"  # noqa: S105 - the name of a flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the flags ask for."""

    kty: str | None
    curve: str | None
    size: int | None
    alg: str | None
    use: str
    kid: str | None
    pem: str | None
    pem_password: str | None
    subtle: bool

    @property
    def symmetric(self) -> bool:
        """Whether the key is a secret shared by both sides."""
        return self.kty == "oct"


@click.command(
    epilog=options.examples(
        "mica crypto jwk create new.pub.json new.json --password-file password.txt",
        "mica crypto jwk create --kty RSA --size 3072 --alg PS256 new.pub.json new.json --password-file password.txt",
        "mica crypto jwk create --from-pem svc.key new.pub.json new.json --no-password --insecure",
    )
)
@click.argument("public_file", metavar="PUB", type=options.FILE)
@click.argument("private_file", metavar="PRIV", type=options.FILE)
@click.option(
    "--kty",
    "--type",
    "kty",
    type=click.Choice(("EC", "RSA", "OKP", "oct"), case_sensitive=False),
    metavar="TYPE",
    help="EC, RSA, OKP; oct, a symmetric key, which stands in both files [EC].",
)
@click.option("--size", type=int, metavar="N", help="RSA: 2048, 3072, 4096 bits; oct: octets [2048; 32].")
@click.option(
    "--curve",
    "--crv",
    "curve",
    metavar="CURVE",
    type=click.Choice(("P-256", "P-384", "P-521", "Ed25519"), case_sensitive=False),
    help="P-256, P-384, P-521; Ed25519 [P-256].",
)
@click.option("--alg", metavar="ALG", help="Algorithm that the key is for [what is usual for it].")
@click.option("--use", type=click.Choice(("sig", "enc")), default="sig", show_default=True, help="What it is for.")
@click.option("--kid", metavar="ID", help="Key id [RFC 7638 thumbprint].")
@click.option("--from-pem", metavar="FILE", help="Take the private key from this file instead of making one.")
@protection.password_flag(_PEM_PASSWORD, "Password of that file")
@click.option("--subtle", is_flag=True, help="Allow an --alg that does not suit the key.")
@protection.flags("Password of the new file PRIV")
@options.force
@options.json_output
@silenced()
def create(
    public_file: "Path",
    private_file: "Path",
    kty: str | None,
    size: int | None,
    curve: str | None,
    alg: str | None,
    use: str,
    kid: str | None,
    from_pem: str | None,
    pem_password_file: str | None,
    subtle: bool,
    password_file: str | None,
    no_password: bool,
    insecure: bool,
    force: bool,
) -> None:
    """Make a JSON Web Key: the public key in PUB, the private key, encrypted, in PRIV.

    A symmetric key has no public half: both files are then the same, and as secret.
    """
    protection.check(no_password=no_password, insecure=insecure, source=password_file)
    order = Order(
        kty=kty, curve=curve, size=size, alg=alg, use=use, kid=kid,
        pem=from_pem, pem_password=pem_password_file, subtle=subtle,
    )  # fmt: skip
    _check(order)
    settle_apart([private_file, public_file], [from_pem], force=force)
    members = _members(order)
    password = protection.new_password(password_file, "the private key", no_password=no_password)
    from mica import jwk
    from mica_certtool.crypto import encodings  # cryptography is slow to import

    private = encodings.private_jwk(members, password)
    public = private if order.symmetric else encodings.json_file(jwk.public(members))
    kit.write_all([(private_file, private, SECRET), (public_file, public, SECRET if order.symmetric else PUBLIC)])
    if kit.wants_json():
        about = {name: members.get(name) for name in ("kid", "kty", "alg", "use")}
        kit.report({"public_key": str(public_file), "private_key": str(private_file), **about})
    kit.say(f"Your public key has been saved in {public_file}.\nYour private key has been saved in {private_file}.")


@click.command(
    epilog=options.examples(
        "mica crypto jwk public < jwk.pub.json", "mica crypto jwk public jwk.json --password-file password.txt"
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@options.password_file("Password of the key")
def public(file: str | None, password_file: str | None) -> None:
    """Print the public half of the JSON Web Key in FILE or on stdin."""
    from mica.jwk import PRIVATE
    from mica_certtool.crypto import material  # cryptography is slow to import

    found = material.read_jwk(file, password_file)
    if isinstance(found.key, bytes):
        raise FileProblem(f"{found.place}: is a symmetric key, which has no public half")
    kit.product(kit.json_text({name: value for name, value in found.members.items() if name not in PRIVATE}))


@click.command(
    epilog=options.examples(
        "mica crypto jwk thumbprint < jwk.pub.json", "mica crypto jwk thumbprint jwk.json --password-file password.txt"
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@options.password_file("Password of the key")
@options.json_output
def thumbprint(file: str | None, password_file: str | None) -> None:
    """Print the thumbprint (RFC 7638) of the JSON Web Key in FILE or on stdin."""
    from mica_certtool.crypto import material  # cryptography is slow to import

    found = material.read_jwk(file, password_file)
    from mica import jwk

    # Of the key and not of the text: base64url may be spelled in more than one way.
    digest = jwk.thumbprint(found.members if isinstance(found.key, bytes) else jwk.public_members(found.public))
    if kit.wants_json():
        kit.report({"thumbprint": digest, "kid": found.members.get("kid")})
    else:
        kit.product(digest)


def _check(order: Order) -> None:
    """The flags fit together; raises Usage."""
    if order.pem is not None:
        for flag, value in (("--kty", order.kty), ("--curve", order.curve), ("--size", order.size)):
            if value is not None:
                raise Usage(f"flag '{flag}' is incompatible with '--from-pem', which names a key that exists")
    elif order.symmetric:
        if order.curve is not None:
            raise Usage("flag '--curve' is incompatible with '--kty oct'", hint="symmetric keys have a --size")
        if order.size is not None and not 16 <= order.size <= 1024:
            raise Usage(f"invalid value {order.size} for flag '--size'", hint="16 to 1024 octets")
    else:
        options.key_algorithm(order.kty, order.curve, order.size)
    if order.alg is not None and order.alg.lower() == "none":
        raise Usage("invalid value 'none' for flag '--alg'", hint="a key that signs nothing is of no use")


def _members(order: Order) -> dict[str, str]:
    """The whole private JWK, in the order in which step writes it."""
    from mica import jwk

    if order.symmetric:
        octets = os.urandom(order.size or algorithms.default_octets(order.alg))
        material, size = {"kty": "oct", "k": jwk.encode(octets)}, len(octets)
    else:
        key = _key(order)
        material, size = {**jwk.public_members(key.public_key()), **jwk.secret_members(key)}, 0
    about = {"use": order.use}
    # The thumbprint of a symmetric key is a digest of the secret: nobody should see it.
    kid = order.kid if order.kid is not None else None if order.symmetric else jwk.thumbprint(material)
    if kid is not None:
        about["kid"] = kid
    return {**about, "alg": _algorithm(order, material, size), **material}


def _key(order: Order) -> "PrivateKey":
    if order.pem is None:
        return kit.new_key(order.kty, order.curve, order.size)
    from mica_certtool.crypto import material

    found = material.read(order.pem, order.pem_password, flag=_PEM_PASSWORD, uris=False)
    return found.require_private()


def _algorithm(order: Order, members: dict[str, str], size: int) -> str:
    """What the key is for; raises Usage when the order does not suit the key, and is not subtle."""
    fitting = algorithms.suitable(members, order.use, size)
    if order.alg is not None and (order.subtle or order.alg in fitting):
        return order.alg
    what = f"a key of the type {members['kty']}" + (f" of {size} octets" if size else "")
    if order.alg is not None:
        raise Usage(
            f"flag '--alg {order.alg}' does not suit {what} with '--use {order.use}'",
            hint=f"one of {', '.join(fitting) or 'none'}; --subtle allows it",
        )
    if not fitting:
        raise Usage(f"flag '--use {order.use}' does not suit {what}", hint="choose another --kty, --use or --size")
    return fitting[0]
