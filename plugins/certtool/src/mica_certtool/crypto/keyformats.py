"""``mica crypto key format`` and ``mica crypto key public``."""

from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import Usage, options
from mica_certtool import outputs
from mica_certtool.crypto import protection
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path

    from mica_certtool.crypto.material import Material


@click.command(
    epilog=options.examples(
        "mica crypto key format --der svc.key --out svc.der",
        "mica crypto key format --ssh enc.key --password-file password.txt",
        "mica crypto key format --jwk svc.key",
        "mica crypto key format --pem jwk.pub.json",
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option("--pem", is_flag=True, help="PEM; private keys in PKCS #8.")
@click.option("--der", is_flag=True, help="DER; private keys in PKCS #8.")
@click.option("--ssh", is_flag=True, help="OpenSSH's form.")
@click.option("--jwk", is_flag=True, help="A JSON Web Key; a private one with a password is encrypted (JWE).")
@click.option("--pkcs8", is_flag=True, help="PKCS #8, which PEM and DER are in any case.")
@outputs.out()
@protection.flags("Password of the key, before and after")
@options.force
@silenced()
def format_(
    file: str | None,
    pem: bool,
    der: bool,
    ssh: bool,
    jwk: bool,
    pkcs8: bool,
    out: "Path | None",
    password_file: str | None,
    no_password: bool,
    insecure: bool,
    force: bool,
) -> None:
    """Convert the key in FILE or on stdin; without a flag, PEM becomes DER, and everything else PEM.

    A private key that is encrypted stays so, under the same password, unless --no-password says otherwise.
    """
    wanted = [form for form, flag in (("pem", pem), ("der", der), ("ssh", ssh), ("jwk", jwk)) if flag]
    if len(wanted) > 1:
        raise Usage(f"flag '--{wanted[0]}' is incompatible with '--{wanted[1]}'", hint="one form at a time")
    if pkcs8 and wanted and wanted[0] in ("ssh", "jwk"):
        raise Usage(f"flag '--pkcs8' is incompatible with '--{wanted[0]}'")
    if no_password:
        options.require_insecure("--no-password", insecure)
    if out is not None:
        kit.settle([out], force=force)
    from mica_certtool.crypto import material  # cryptography is slow to import

    found = material.read(file, password_file)
    form = wanted[0] if wanted else "der" if found.form == "pem" and not pkcs8 else "pem"
    data = _converted(found, form, encrypted=not no_password)
    outputs.deliver(data, out, mode=_mode(found, file), what="key")


@click.command(
    epilog=options.examples(
        "mica crypto key public svc.key",
        "mica crypto key public enc.key --password-file password.txt --out enc.pub",
        "mica crypto key public svc.crt",
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@outputs.out()
@options.password_file("Password of the key")
@options.force
@silenced()
def public(file: str | None, out: "Path | None", password_file: str | None, force: bool) -> None:
    """Print the public half of the key in FILE or on stdin, in PEM."""
    if out is not None:
        kit.settle([out], force=force)
    from mica_certtool.crypto import encodings, material  # cryptography is slow to import

    data = encodings.public(material.read(file, password_file).public, "pem")
    outputs.deliver(data, out, mode=outputs.PUBLIC, what="public key")


def _converted(found: "Material", form: str, *, encrypted: bool) -> bytes:
    """The key in another form; raises FileProblem when there is no such form of it."""
    from mica_certtool.crypto import encodings

    password = found.password if encrypted else None
    if isinstance(found.key, bytes):
        if form != "jwk":
            raise kit.FileProblem(f"{found.place}: is a symmetric key, for which there is no form but JWK")
        return encodings.private_jwk(found.members, password)
    if found.private is None:
        return encodings.public(found.public, form)
    if found.form == "uri":
        raise kit.FileProblem(
            f"{found.place}: the private key stays where it is", hint=f"mica crypto key public {found.place}"
        )
    if form == "jwk" and found.members:
        return encodings.private_jwk(found.members, password)
    return encodings.private(found.private, form, password)


def _mode(found: "Material", file: str | None) -> int:
    """The mode of the file that the key came from; never more than its owner's for a secret."""
    mode = outputs.mode_like(file)
    return mode & outputs.SECRET if found.private is not None or isinstance(found.key, bytes) else mode
