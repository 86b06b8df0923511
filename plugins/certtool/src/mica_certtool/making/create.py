"""``mica certificate create``: a key, and a certificate or a request for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mica.cli.kit import Usage, options
from mica_certtool.crypto import protection
from mica_certtool.making.profiles import LEAF, PROFILES, SELF_SIGNED, Profile, path_length
from mica_certtool.outputs import settle_apart
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the flags ask for."""

    subject: str
    crt_file: "Path"
    key_file: "Path | None"
    """Where a new key goes; None when one exists."""
    csr: bool
    profile: str | None
    ca: "Path | None"
    ca_key: str | None
    ca_password_file: str | None
    sans: tuple[str, ...]
    path_len: int | None
    not_before: datetime | timedelta | None
    not_after: datetime | timedelta | None
    kty: str | None
    curve: str | None
    size: int | None
    key: str | None
    """A key that exists: a file or a key URI."""
    password_file: str | None
    no_password: bool
    bundle: bool
    subtle: bool
    insecure: bool
    force: bool

    @property
    def kind(self) -> Profile:
        """The profile, when a certificate is asked for."""
        return PROFILES[self.profile or LEAF.name]


@click.command(
    epilog=options.examples(
        "mica certificate create --csr svc.example new.csr new.key --password-file password.txt",
        "mica certificate create svc.example new.crt new.key --ca intermediate_ca.crt --ca-key intermediate_ca_key"
        " --ca-password-file ca-password.txt --no-password --insecure",
        "mica certificate create 'My Root' root.crt root.key --profile root-ca --password-file password.txt"
        " && mica certificate create 'My Intermediate' inter.crt inter.key --profile intermediate-ca --ca root.crt"
        " --ca-key root.key --ca-password-file password.txt --password-file password.txt",
        "mica certificate create localhost self.crt --profile self-signed --subtle --key svc.key --san 127.0.0.1",
    )
)
@click.argument("subject")
@click.argument("crt_file", metavar="CRT_OR_CSR", type=options.FILE)
@click.argument("key_file", metavar="[KEY]", type=options.FILE, required=False)
@click.option("--csr", is_flag=True, help="Make a certificate signing request.")
@click.option("--profile", type=click.Choice(tuple(PROFILES)), metavar="NAME", help=f"{', '.join(PROFILES)} [leaf].")
@click.option("--ca", type=options.FILE, metavar="FILE", help="Certificate of the issuer.")
@click.option("--ca-key", metavar="FILE", help="Key of the issuer: a file, or a key URI.")
@click.option("--ca-password-file", metavar="FILE", help="Password of the issuer's key: a file, - for stdin, fd:N.")
@click.option("--san", "sans", multiple=True, metavar="NAME", help="DNS name, IP, e-mail or URI; repeatable [SUBJECT].")
@click.option("--path-len", type=int, metavar="N", help="CAs that may stand below a CA; -1 for any [0; root-ca 1].")
@options.validity
@options.key
@click.option("--key", metavar="FILE", help="Use this key, a file or a key URI; then there is no KEY.")
@protection.flags("Password of the new key, or of --key")
@click.option("--bundle", is_flag=True, help="Leaf: write its issuer behind it.")
@click.option("--subtle", is_flag=True, help="Yes, a certificate that nobody vouches for; self-signed needs it.")
@options.force
@options.json_output
@silenced()
def create(**flags: Any) -> None:
    """Make a key, and a certificate for it or a request for one.

    A leaf needs an issuer: --ca and --ca-key. Durations in --not-before and --not-after count from now; a leaf lasts
    24h, a CA ten years, and nothing outlives its issuer.
    """
    order = Order(**flags)
    _check_key_flags(order)
    if order.csr:
        _check_request_flags(order)
    else:
        _check_certificate_flags(order)
    from mica_certtool.making import creation, requests  # cryptography is slow to import

    names = () if order.kind.is_ca and not order.csr else requests.named(order.subject, order.sans)
    settle_apart([order.key_file, order.crt_file], [order.key, order.ca, order.ca_key], force=order.force)
    if order.csr:
        creation.request(order, names)
    else:
        creation.certificate(order, names)


def _check_key_flags(order: Order) -> None:
    options.key_algorithm(order.kty, order.curve, order.size)
    protection.check(no_password=order.no_password, insecure=order.insecure, source=order.password_file)
    if order.key is None:
        if order.key_file is None:
            raise Usage("missing argument 'KEY'", hint="where the new key goes; --key FILE uses one that exists")
        return
    for name, value in (
        ("flag '--kty'", order.kty),
        ("argument 'KEY'", order.key_file),
        ("flag '--no-password'", order.no_password or None),
    ):
        if value is not None:
            raise Usage(f"{name} is incompatible with '--key', which names a key that exists")


def _check_request_flags(order: Order) -> None:
    if order.profile not in (None, LEAF.name):
        raise Usage(
            f"flag '--csr' is incompatible with '--profile {order.profile}'",
            hint="whoever signs the request chooses the profile",
        )
    _refuse(order, "--csr", "ca", "ca_key", "ca_password_file", "bundle", "not_before", "not_after", "path_len")


def _check_certificate_flags(order: Order) -> None:
    profile = order.kind
    named = f"--profile {profile.name}"
    if profile.has_issuer:
        _require_issuer(order)
    else:
        _refuse(order, named, "ca", "ca_key", "ca_password_file")
    if profile is not LEAF:
        _refuse(order, named, "bundle")
    if profile.is_ca:
        _refuse(order, named, "sans")
        if not order.subject:
            raise Usage("SUBJECT is empty, and a CA must have a name (RFC 5280 §4.1.2.6)")
    elif not order.subject and profile is SELF_SIGNED:
        raise Usage("SUBJECT is empty, and what signs itself must have a name (RFC 5280 §4.1.2.4)")
    path_length(profile, order.path_len)
    if profile is SELF_SIGNED and not order.subtle:
        raise Usage(
            "a self-signed certificate has nobody who vouches for it; it requires the '--subtle' flag",
            hint="--profile leaf with --ca and --ca-key has an issuer",
        )


def _require_issuer(order: Order) -> None:
    for flag, value in (("--ca", order.ca), ("--ca-key", order.ca_key)):
        if value is None:
            raise Usage(
                f"the profile {order.kind.name} requires the '{flag}' flag",
                hint="--ca and --ca-key name the issuer; --csr makes a request, and mica ca sign takes it to a CA",
            )


def _refuse(order: Order, chosen: str, *fields: str) -> None:
    """None of ``fields`` was given, beside ``chosen``; raises Usage."""
    for field in fields:
        if getattr(order, field) not in (None, False, ()):
            flag = "--" + field.removesuffix("s").replace("_", "-")
            raise Usage(f"flag '{flag}' is incompatible with '{chosen}'")
