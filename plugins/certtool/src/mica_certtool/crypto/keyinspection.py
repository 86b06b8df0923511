"""``mica crypto key inspect`` and ``mica crypto key fingerprint``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import Usage, options
from mica_certtool.reading.octets import FORMATS, hex_rows, of_number
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from mica_certtool.crypto.material import Material, PublicKey

_ROW = 16


@click.command(
    epilog=options.examples(
        "mica crypto key inspect svc.key",
        "mica crypto key inspect enc.key --password-file password.txt --json",
        "mica crypto key public svc.key | mica crypto key inspect",
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@options.password_file("Password of the key")
@options.json_output
@silenced()
def inspect(file: str | None, password_file: str | None) -> None:
    """Show the numbers of a key in FILE or on stdin. Those of a private key are secret."""
    from mica_certtool.crypto import material  # cryptography is slow to import

    found = material.read(file, password_file)
    if kit.wants_json():
        kit.report(_members(found))
        return
    from mica_certtool.crypto import numbers

    kit.product("\n".join(_rows(found, numbers.of(found.key))))


@click.command(
    epilog=options.examples(
        "mica crypto key fingerprint svc.key",
        "mica crypto key fingerprint --ssh svc.key",
        "mica crypto key fingerprint --pkix --format hex svc.crt",
    )
)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option("--pkix", is_flag=True, help="Hash the whole SubjectPublicKeyInfo, not only the key in it.")
@click.option("--ssh", is_flag=True, help="Hash the key as OpenSSH sends it; what ssh-keygen -l shows.")
@click.option("--sha1", is_flag=True, help="SHA-1 in place of SHA-256, in hex; needs --insecure.")
@click.option("--raw", is_flag=True, help="Print the octets that would be hashed.")
@click.option("--format", "layout", type=click.Choice(tuple(FORMATS)), help="Encoding [base64].")
@options.password_file("Password of the key")
@options.insecure
@options.json_output
@silenced()
def fingerprint(
    file: str | None,
    pkix: bool,
    ssh: bool,
    sha1: bool,
    raw: bool,
    layout: str | None,
    password_file: str | None,
    insecure: bool,
) -> None:
    """Print the fingerprint of the key in FILE or on stdin: of its public half, by default of subjectPublicKey."""
    _check(pkix=pkix, ssh=ssh, sha1=sha1, raw=raw, layout=layout, insecure=insecure)
    import hashlib  # slow to import, and cryptography more so

    from mica_certtool.crypto import material

    octets = _hashed(material.read(file, password_file).public, pkix=pkix, ssh=ssh)
    if raw:
        kit.product(octets, nl=False)
        return
    # ssh-keygen writes base64 without its padding, and what is compared must be equal to the letter.
    chosen = layout or ("hex" if sha1 else "base64-raw" if ssh else "base64")
    digest = hashlib.sha1(octets) if sha1 else hashlib.sha256(octets)  # noqa: S324 - --insecure was given
    text = f"{digest.name.upper()}:{FORMATS[chosen](digest.digest())}"
    if kit.wants_json():
        kit.report({"fingerprint": text, "algorithm": digest.name, "digest": digest.hexdigest()})
    else:
        kit.product(text)


def _check(*, pkix: bool, ssh: bool, sha1: bool, raw: bool, layout: str | None, insecure: bool) -> None:
    """The flags fit together; raises Usage."""
    if pkix and ssh:
        raise Usage("flag '--pkix' is incompatible with '--ssh'")
    for flag, given in (("--sha1", sha1), ("--format", layout is not None), ("--json", kit.wants_json())):
        if raw and given:
            raise Usage(f"flag '--raw' is incompatible with '{flag}'")
    if sha1:
        options.require_insecure("--sha1", insecure)


def _hashed(key: "PublicKey", *, pkix: bool, ssh: bool) -> bytes:
    import base64

    from mica_certtool.crypto import encodings
    from mica_certtool.reading import asn1

    if ssh:
        return base64.b64decode(encodings.ssh_line(key).split()[1])
    spki = encodings.public(key, "der")
    return spki if pkix else asn1.key_bits(next(asn1.elements(spki)))


def _rows(found: "Material", listed: "dict[str, int | bytes]") -> Iterator[str]:
    from mica_certtool.crypto import numbers

    yield numbers.title(found.key)
    for label, value in listed.items():
        octets = value if isinstance(value, bytes) else of_number(value)
        if isinstance(value, int) and value.bit_length() <= 32:
            yield f"{label}: {value} (0x{value:x})"
            continue
        yield f"{label}:"
        yield from (f"    {row}" for row in hex_rows(octets, _ROW))


def _members(found: "Material") -> dict[str, object]:
    """What ``--json`` reports: nothing secret."""
    from mica.keyfiles import describe
    from mica_certtool.crypto import numbers

    kind = numbers.title(found.key)
    about: dict[str, object] = {
        "key": "symmetric" if isinstance(found.key, bytes) else describe(found.key),
        "title": kind,
        "private": found.private is not None,
        "form": found.form,
        "encrypted": found.encrypted,
    }
    if isinstance(found.key, bytes):
        return about | {"bits": 8 * len(found.key)}
    import hashlib

    public = {
        label: value if isinstance(value, int) and value.bit_length() <= 32 else _hex(value)
        for label, value in numbers.of(found.public).items()
    }
    digest = hashlib.sha256(_hashed(found.public, pkix=True, ssh=False)).hexdigest()
    return about | {"bits": numbers.bits(found.public), "numbers": public, "fingerprint_sha256": digest}


def _hex(value: int | bytes) -> str:
    return (value if isinstance(value, bytes) else of_number(value)).hex()
