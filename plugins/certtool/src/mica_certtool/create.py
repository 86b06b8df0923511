"""``mica certificate create``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import Usage, options

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

_SECRET = 0o600
_MAX_COMMON_NAME = 64  # RFC 5280 Appendix A: ub-common-name


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the flags ask for, once they are known to fit together."""

    subject: str
    csr: Path
    key: Path | None
    """Where a new key goes; None when one exists."""
    existing: Path | None
    kty: str | None
    curve: str | None
    size: int | None
    password_source: str | None
    encrypted: bool


@click.command()
@click.argument("subject")
@click.argument("csr_file", metavar="CSR", type=options.FILE)
@click.argument("key_file", metavar="[KEY]", type=options.FILE, required=False)
@click.option("--csr", is_flag=True, help="Make a certificate signing request.")
@click.option("--profile", metavar="NAME", help="Only leaf, with --csr, is offered.")
@click.option("--san", "sans", multiple=True, metavar="NAME", help="A name; repeatable [SUBJECT].")
@options.key
@click.option("--key", "existing", type=options.FILE, help="Use this key; then there is no KEY.")
@options.password_file("Password of the private key")
@click.option("--no-password", is_flag=True, help="Do not encrypt the key; needs --insecure.")
@options.insecure
@options.force
@options.json_output
def create(
    subject: str,
    csr_file: Path,
    key_file: Path | None,
    csr: bool,
    profile: str | None,
    sans: tuple[str, ...],
    kty: str | None,
    curve: str | None,
    size: int | None,
    existing: Path | None,
    password_file: str | None,
    no_password: bool,
    insecure: bool,
    force: bool,
) -> None:
    """Make a key and a certificate signing request."""
    _check_profile(csr=csr, profile=profile)
    if no_password:
        options.require_insecure("--no-password", insecure)
        if password_file:
            raise Usage("flag '--no-password' is incompatible with '--password-file'")
    order = Order(
        subject=subject,
        csr=csr_file,
        key=key_file,
        existing=existing,
        kty=kty,
        curve=curve,
        size=size,
        password_source=password_file,
        encrypted=not no_password,
    )
    _check_key_flags(order)
    names = _names(subject, sans)
    kit.settle([path for path in (key_file, csr_file) if path is not None], force=force)
    _carry_out(order, names)


def _check_profile(*, csr: bool, profile: str | None) -> None:
    if not csr or profile not in (None, "leaf"):
        wanted = f"a certificate of the profile {profile!r}" if profile not in (None, "leaf") else "a certificate"
        raise Usage(
            f"making {wanted} is not offered; only certificate signing requests are",
            hint="mica certificate create --csr SUBJECT CSR KEY, then mica ca sign CSR CRT",
        )


def _check_key_flags(order: Order) -> None:
    options.key_algorithm(order.kty, order.curve, order.size)
    if order.existing is None:
        if order.key is None:
            raise Usage("missing argument 'KEY'", hint="where the new key goes; --key FILE uses one that exists")
        return
    for flag, value in (("--kty", order.kty), ("KEY", order.key), ("--no-password", not order.encrypted or None)):
        if value is not None:
            raise Usage(f"'{flag}' is incompatible with '--key', which names a key that exists")


def _names(subject: str, sans: tuple[str, ...]) -> "list[x509.GeneralName]":
    """The names that the request will carry; raises Usage for one that cannot be a name."""
    from mica import MalformedRequest

    if len(subject) > _MAX_COMMON_NAME:
        raise Usage(f"SUBJECT is longer than {_MAX_COMMON_NAME} characters", hint="give long names with --san")
    if subject != kit.printable(subject):
        raise Usage(f"SUBJECT has a character that does not belong in a name: {subject!r}")
    try:
        return list(kit.ordered(kit.classify(name) for name in sans or (subject,)))
    except MalformedRequest as error:
        raise Usage(str(error), hint=None if sans else "give the names with --san") from error


def _carry_out(order: Order, names: "list[x509.GeneralName]") -> None:
    outputs = []
    if order.existing is not None:
        key = kit.read_key(order.existing, order.password_source)
    else:
        password = _new_password(order)
        key = kit.new_key(order.kty, order.curve, order.size)
        assert order.key is not None  # _check_key_flags
        outputs.append((order.key, kit.key_pem(key, password), _SECRET))
    outputs.append((order.csr, _request(order.subject, names, key), _SECRET))
    kit.write_all(outputs)
    if kit.wants_json():
        files = {"csr": str(order.csr), "key": str(order.key or order.existing)}
        kit.report({**files, "subject": order.subject, "names": [str(name.value) for name in names]})
    kit.say(f"Your certificate signing request has been saved in {order.csr}.")
    if order.key is not None:
        kit.say(f"Your private key has been saved in {order.key}.")


def _new_password(order: Order) -> bytes | None:
    if not order.encrypted:
        return None
    return kit.password(
        order.password_source,
        "Please enter the password to encrypt the private key",
        flag="--password-file, or --no-password --insecure",
        new=True,
    )


def _request(subject: str, names: "list[x509.GeneralName]", key: "kit.PrivateKey") -> bytes:
    """A PKCS #10 request (RFC 2986) in PEM, signed by ``key``."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    common_name = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(common_name))
    # RFC 5280 §4.2.1.6: critical when the subject is empty.
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
    return builder.sign(key, _digest(key)).public_bytes(Encoding.PEM)


def _digest(key: "kit.PrivateKey") -> "SHA256 | SHA384 | SHA512 | None":
    """The hash as strong as the curve (NIST SP 800-57 part 1 §5.6.2)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None  # Ed25519 hashes for itself (RFC 8410 §3): naming a digest is an error.
    bits = key.key_size if isinstance(key, ec.EllipticCurvePrivateKey) else 256
    return hashes.SHA256() if bits <= 256 else hashes.SHA384() if bits <= 384 else hashes.SHA512()
