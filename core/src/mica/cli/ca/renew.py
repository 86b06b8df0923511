"""``mica ca renew`` and ``mica ca rekey``: a certificate that continues another, with its key or with a new one."""

from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mica.cli import options
from mica.cli.ca import csrs, identities
from mica.cli.ca.connection import Connection, connect, reported
from mica.cli.ca.delivery import MODE, accept, summary, tell
from mica.cli.ca.desk import given
from mica.cli.ca.diagnosis import diagnosed_renewal
from mica.cli.console import report, say, wants_json
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import settle, write_all, write_atomic
from mica.cli.keys import key_pem, read_key
from mica.cli.options import FILE
from mica.client import Issued, renewtoken
from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate

_CURVES = {"secp256r1": "EC-P256", "secp384r1": "EC-P384", "secp521r1": "EC-P521"}


@click.command()
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--mtls/--no-mtls", default=True, help="Prove the key by mutual TLS, or by a token [--mtls].")
@click.option("--out", "--output-file", "out", type=FILE, help="Write the new certificate there [CRT_FILE].")
@options.password_file("Password of KEY_FILE")
@options.connection
@options.force
@options.json_output
@reported()
def renew(
    crt_file: Path,
    key_file: Path,
    mtls: bool,
    out: Path | None,
    password_file: str | None,
    ca_url: str | None,
    root: Path | None,
    force: bool,
) -> None:
    """Renew the certificate in CRT_FILE: same key, same names, same duration."""
    target = out or crt_file
    holder = identities.read(crt_file, key_file, password_file)
    _check_renewable(holder)
    settle([target], force=force)
    connection = connect(ca_url, root)
    with diagnosed_renewal():
        issued = _renew(connection, holder, mtls=mtls)
    leaf = accept(issued, holder.certificate.public_key())
    write_atomic(target, issued.pem, mode=MODE)
    say(f"Your certificate has been saved in {target}.")
    if wants_json():
        report(summary(leaf) | {"ca_url": connection.url, "files": {"certificate": str(target)}})


@click.command()
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--out-cert", type=FILE, help="Write the new certificate there [CRT_FILE].")
@click.option("--out-key", type=FILE, help="Write the new key there [KEY_FILE].")
@click.option("--private-key", type=FILE, help="Use this key instead of making one; it is not written anywhere.")
@options.key
@options.password_file("Password of KEY_FILE, and of --private-key")
@click.option("--key-password-file", metavar="FILE", help="Password to encrypt the new key with: a file, -, fd:N.")
@options.connection
@options.force
@options.json_output
@reported()
def rekey(
    crt_file: Path,
    key_file: Path,
    out_cert: Path | None,
    out_key: Path | None,
    private_key: Path | None,
    kty: str | None,
    curve: str | None,
    size: int | None,
    password_file: str | None,
    key_password_file: str | None,
    ca_url: str | None,
    root: Path | None,
    force: bool,
) -> None:
    """Renew the certificate in CRT_FILE with a new key of the same kind; both files are replaced."""
    if private_key is not None and (out_key or kty or key_password_file):
        raise Usage("flag '--private-key' is incompatible with '--out-key', '--kty' and '--key-password-file'")
    new_certificate, new_key_file = out_cert or crt_file, out_key or key_file
    holder = identities.read(crt_file, key_file, password_file)
    _check_renewable(holder)
    if holder.expired:
        raise FileProblem(f"{crt_file}: cannot rekey an expired certificate", hint="get one with mica ca certificate")
    brought = None if private_key is None else read_key(private_key, password_file)
    algorithm = options.key_algorithm(kty, curve, size) if kty or curve or size else _same_kind(holder.key)
    settle([new_certificate] if brought else [new_key_file, new_certificate], force=force)
    key_password = given(key_password_file)
    connection = connect(ca_url, root)
    key = brought or generate(algorithm)
    request = csrs.make(key, "", ())
    with diagnosed_renewal():
        issued = connection.client.rekey(holder.identity, request.pem)
    leaf = accept(issued, request.public_key)
    outputs, files = [(new_certificate, issued.pem, MODE)], {"Certificate": new_certificate}
    if brought is None:
        outputs.insert(0, (new_key_file, key_pem(key, key_password), MODE))
        files["Private Key"] = new_key_file
    write_all(outputs)
    tell(leaf, connection.url, files)


def _check_renewable(holder: identities.Holder) -> None:
    """The CA could say yes; raises FileProblem when it can be seen from here that it will not."""
    holder.check_client_auth()
    start = holder.certificate.not_valid_before_utc
    if start > system_clock():
        raise FileProblem(
            f"{holder.path}: is not valid before {start:%Y-%m-%d %H:%M:%S} UTC", hint="compare the clocks"
        )


def _renew(connection: Connection, holder: identities.Holder, *, mtls: bool) -> Issued:
    # An expired certificate fails in the TLS handshake; by token, the CA may accept it.
    if mtls and not holder.expired:
        return connection.client.renew(holder.identity)
    token = renewtoken.make(connection.url, holder.chain, holder.key, not_before=system_clock())
    return connection.client.renew_by_token(token)


def _same_kind(key: PrivateKey) -> str:
    """What ``keyfiles.generate`` calls a key like this one."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return f"RSA-{next((bits for bits in options.RSA_SIZES if bits >= key.key_size), options.RSA_SIZES[-1])}"
    return "Ed25519"
