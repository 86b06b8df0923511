"""``mica crypto change-pass``."""

from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import Usage, options
from mica_certtool import outputs
from mica_certtool.crypto import protection

if TYPE_CHECKING:
    from pathlib import Path

    from mica_certtool.crypto.material import Material

_NEW = "--new-password-file"


@click.command(
    "change-pass",
    epilog=options.examples(
        "mica crypto change-pass enc.key --password-file password.txt --new-password-file ca-password.txt",
        "mica crypto change-pass jwk.json --password-file password.txt --no-password --insecure --out jwk.plain.json",
        "mica crypto change-pass svc.key --new-password-file password.txt --out svc.enc.key",
    ),
)
@click.argument("file", metavar="FILE|-")
@protection.flags("Password that the key has now")
@protection.password_flag(_NEW, "Password that it shall have")
@outputs.out("Write to this file; FILE stays as it is.")
@options.force
@options.json_output
def change_pass(
    file: str,
    password_file: str | None,
    new_password_file: str | None,
    no_password: bool,
    insecure: bool,
    out: "Path | None",
    force: bool,
) -> None:
    """Change the password of the private key in FILE: PEM, DER, OpenSSH's form or JWK, which it keeps."""
    from pathlib import Path  # slow to import, and help needs none of it

    protection.check(no_password=no_password, insecure=insecure, source=new_password_file, flag=_NEW)
    if file == "-" and out is None:
        raise Usage("stdin cannot be changed in place", hint="--out FILE says where the key goes")
    target = out or Path(file)
    kit.settle([target], force=force)
    from mica_certtool.crypto import encodings, material  # cryptography is slow to import

    found = material.read(file, password_file, uris=False)
    _check(found)
    password = protection.new_password(new_password_file, str(target), no_password=no_password, flag=_NEW)
    kit.write_all([(target, encodings.again(found, password), outputs.SECRET)])
    if kit.wants_json():
        kit.report({"file": str(target), "form": found.form, "encrypted": password is not None})
    kit.say(f"Your key has been saved in {target}.")


def _check(found: "Material") -> None:
    """There is something to encrypt; raises FileProblem."""
    if not isinstance(found.key, bytes):
        found.require_private()
