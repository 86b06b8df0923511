"""``mica certificate p12``: PKCS #12 files (RFC 7292), written and read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mica.cli import kit
from mica.cli.kit import FileProblem, Usage, options, progress, report, say, wants_json, write_all
from mica_certtool.crypto import protection
from mica_certtool.outputs import PUBLIC, SECRET, settle_apart
from mica_certtool.reading import inputs
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from mica_certtool.making.archives import Archive

_KEY_PASSWORD = "--key-password-file"  # noqa: S105 - the name of a flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the flags ask for."""

    p12_file: str
    crt: "Path | None"
    key: str | None
    extract: bool
    authorities: "tuple[Path, ...]"
    password_file: str | None
    key_password_file: str | None
    no_password: bool
    legacy: bool
    insecure: bool
    force: bool


@click.command(
    epilog=options.examples(
        "mica certificate p12 svc.p12 svc.crt svc.key --ca root_ca.crt --password-file password.txt",
        "mica certificate p12 trust.p12 --ca root_ca.crt --password-file password.txt",
        "mica certificate p12 svc.p12 svc.crt svc.key --password-file password.txt && mica certificate p12 --extract"
        " svc.p12 new.crt new.key --password-file password.txt --key-password-file ca-password.txt",
    )
)
@click.argument("p12_file", metavar="P12")
@click.argument("crt", metavar="[CRT]", type=options.FILE, required=False)
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--extract", is_flag=True, help="Read P12, and write CRT (the issuers behind it) and KEY.")
@click.option(
    "--ca", "authorities", type=options.FILE, multiple=True, metavar="FILE", help="Add this certificate; repeatable."
)
@protection.flags("Password of P12")
@protection.password_flag(_KEY_PASSWORD, "Password of KEY")
@click.option("--legacy", is_flag=True, help="3DES and SHA-1, for old readers.")
@options.force
@options.json_output
@silenced()
def p12(**flags: Any) -> None:
    """Write CRT and KEY into the PKCS #12 file P12, or with --extract read it.

    KEY is a file or a key URI. Without CRT and KEY, P12 becomes a trust store of the --ca certificates. --extract
    takes the certificates out into CRT, and the key into KEY when that is named; legacy files are read as well.
    """
    order = Order(**flags)
    source, flag = (
        (order.key_password_file, _KEY_PASSWORD) if order.extract else (order.password_file, "--password-file")
    )
    protection.check(no_password=order.no_password, insecure=order.insecure, source=source, flag=flag)
    if order.extract:
        _extract(order)
    else:
        _write(order)


def _write(order: Order) -> None:
    if order.crt is None and not order.authorities:
        raise Usage("missing arguments 'CRT' and 'KEY'", hint="or --ca, for a trust store")
    if order.crt is not None and order.key is None:
        raise Usage("missing argument 'KEY'", hint="the key of CRT; a trust store takes --ca alone")
    from pathlib import Path  # slow to import, and help needs none of it

    target = Path(order.p12_file)
    settle_apart([target], [order.crt, order.key, *order.authorities], force=order.force)
    from mica_certtool.making import archives  # cryptography is slow to import
    from mica_certtool.reading.documents import certificates_in

    others = [each for file in order.authorities for each in certificates_in(file)]
    key = None
    if order.crt is not None and order.key is not None:
        certificates = certificates_in(order.crt)
        key = kit.read_key(order.key, order.key_password_file, flag=_KEY_PASSWORD)
        others = archives.sorted_for(key, certificates, order.key) + others
    secret = protection.new_password(order.password_file, "the .p12 file", no_password=order.no_password)
    with progress("encrypting"):
        octets = archives.write(list(dict.fromkeys(others)), key, secret, legacy=order.legacy)
    write_all([(target, octets, SECRET)])
    _tell(others, {"p12": target})
    say(f"Your .p12 file has been saved in {target}.")


def _extract(order: Order) -> None:
    if order.crt is None:
        raise Usage(
            "missing argument 'CRT'", hint="where the certificates go; KEY, where the key goes, can be left out"
        )
    for flag, value in (("--ca", order.authorities), ("--legacy", order.legacy)):
        if value:
            raise Usage(f"flag '{flag}' is incompatible with '--extract'")
    from pathlib import Path

    key_file = Path(order.key) if order.key else None
    settle_apart([key_file, order.crt], [order.p12_file], force=order.force)
    from mica_certtool.making import chains  # cryptography is slow to import

    archive = _opened(order)
    certificates = chains.in_order(archive.certificates)
    if not certificates:
        raise FileProblem(f"{inputs.place(order.p12_file)}: holds no certificate")
    written = [(order.crt, chains.pem(certificates), PUBLIC)]
    if key_file is not None:
        written.insert(0, (key_file, _key(order, archive), SECRET))
    write_all(written)
    _tell(certificates, {"certificate": order.crt, **({"key": key_file} if key_file else {})})
    say(f"Your certificate has been saved in {order.crt}.")
    if key_file is not None:
        say(f"Your private key has been saved in {key_file}.")


def _opened(order: Order) -> "Archive":
    """The archive, opened with the password; nobody is asked for one that it does not need. Raises FileProblem."""
    from mica_certtool.making import archives

    data, place = inputs.read(order.p12_file, "PKCS #12 file")
    if order.password_file is not None:
        found = archives.read(data, kit.password_from_source(order.password_file), place)
    else:
        found = archives.read(data, None, place)
        if found is None:
            asked = kit.password(None, f"Please enter the password to decrypt {place}", flag="--password-file")
            found = archives.read(data, asked, place)
    if found is None:
        raise FileProblem(f"{place}: cannot be opened: the password is wrong, or the file is damaged")
    return found


def _key(order: Order, archive: "Archive") -> bytes:
    if archive.key is None:
        raise FileProblem(f"{inputs.place(order.p12_file)}: holds no private key", hint="leave KEY out")
    secret = protection.new_password(
        order.key_password_file, "the private key", no_password=order.no_password, flag=_KEY_PASSWORD
    )
    return kit.key_pem(archive.key, secret)


def _tell(certificates: "list[x509.Certificate]", files: "dict[str, Path]") -> None:
    if wants_json():
        from mica_certtool.reading.members import summary

        named = {name: str(path) for name, path in files.items()}
        report({**named, "certificates": list(map(summary, certificates))})
