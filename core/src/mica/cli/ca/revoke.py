"""``mica ca revoke``: the end of a certificate, by a token or by its own key."""

import re
from pathlib import Path

import click

from mica.cli import options
from mica.cli.ca.connection import Connection, connect, connect_by_token, reported
from mica.cli.ca.desk import given
from mica.cli.console import chosen, report, say, wants_json
from mica.cli.errors import Usage
from mica.cli.options import FILE
from mica.cli.serials import parse_serial
from mica.client import Refused

#: RFC 5280 §5.3.1.
REASONS = {
    "unspecified": 0,
    "keycompromise": 1,
    "cacompromise": 2,
    "affiliationchanged": 3,
    "superseded": 4,
    "cessationofoperation": 5,
    "certificatehold": 6,
    "removefromcrl": 8,
    "privilegewithdrawn": 9,
    "aacompromise": 10,
}
# The protocol has no other sign: any refusal that the CA words itself has the status 400.
_ALREADY = re.compile(r"certificate with serial number '[^']*' is already revoked")


@click.command()
@click.argument("serial", required=False)
@click.option("--cert", type=FILE, help="Certificate to revoke, by mutual TLS with its own key.")
@click.option("--key", type=FILE, help="Its key.")
@click.option("--reason", default="", metavar="TEXT", help="Why, in words.")
@click.option("--reason-code", "--reasonCode", "reason_code", default="0", metavar="CODE", help="0–10, or a name.")
@options.token
@options.provisioner
@options.password_file("Password of the provisioner's key, or of --key")
@options.connection
@options.json_output
@reported()
def revoke(
    serial: str | None,
    cert: Path | None,
    key: Path | None,
    reason: str,
    reason_code: str,
    token: str | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
    ca_url: str | None,
    root: Path | None,
) -> None:
    """Revoke the certificate with this SERIAL number (decimal, or hexadecimal with 0x), or the one in --cert."""
    code = _reason_code(reason_code)
    if (cert is None) != (key is None):
        raise Usage("flags '--cert' and '--key' require each other")
    if cert is not None and key is not None:
        if serial is not None or token is not None:
            raise Usage("flag '--cert' is incompatible with SERIAL and '--token': the certificate says which it is")
        number, connection, again = _by_key(cert, key, password_file, ca_url, root, code, reason)
    else:
        number = usable_serial(serial or "")
        password = given(provisioner_password_file or password_file)
        connection, again = _by_token(number, token, provisioner, password, ca_url, root, code, reason)
    say(f"Certificate with Serial Number {number} " + ("was revoked already." if again else "has been revoked."))
    say("Revocation is passive: the CA renews it no more, and whoever else trusts it is not told.")
    if wants_json():
        report({"serial_number": str(number), "ca_url": connection.url, "status": "revoked", "already": again})


def usable_serial(text: str) -> int:
    """The serial number in ``text``; raises Usage."""
    try:
        return parse_serial(text)
    except ValueError as error:
        raise Usage(
            str(error) if text else "missing argument 'SERIAL'",
            hint="give the serial number, or name the certificate with --cert and its key with --key",
        ) from error


def _by_key(
    cert: Path, key: Path, password_file: str | None, ca_url: str | None, root: Path | None, code: int, reason: str
) -> tuple[int, Connection, bool]:
    from mica.cli.ca import identities  # imports much

    holder = identities.read(cert, key, password_file)
    holder.check_client_auth()
    number = holder.certificate.serial_number
    connection = connect(ca_url, root)
    chosen("CA", connection.url)
    try:
        connection.client.revoke(number, identity=holder.identity, reason_code=code, reason=reason)
    except Refused as error:
        return number, connection, _is_again(error)
    return number, connection, False


def _by_token(
    number: int,
    token: str | None,
    provisioner: str | None,
    password: bytes | None,
    ca_url: str | None,
    root: Path | None,
    code: int,
    reason: str,
) -> tuple[Connection, bool]:
    from mica.cli.ca import ordering  # imports much
    from mica.cli.ca.diagnosis import diagnosed
    from mica.cli.ca.issue import parse_token
    from mica.grants import Operation

    ready = parse_token(token)
    if ready is None:
        connection = connect(ca_url, root)
        wanted = ordering.order(
            Operation.X509_REVOKE, str(number), connection.url, root_fingerprint=connection.root_fingerprint
        )
        credentials = ordering.Credentials(provisioner=provisioner, password=password)
        ready = parse_token(ordering.make_token(wanted, connection, credentials))
        assert ready is not None
    else:
        connection = connect_by_token(ready, ca_url, root)
    chosen("CA", connection.url)
    try:
        with diagnosed(ready, connection, "/revoke"):
            connection.client.revoke(number, token=ready.raw, reason_code=code, reason=reason)
    except Refused as error:
        return connection, _is_again(error)
    return connection, False


def _is_again(error: Refused) -> bool:
    """Whether the refusal means that the certificate was revoked before, which is what was wanted; else raises it."""
    if _ALREADY.search(str(error)):
        return True
    raise error


def _reason_code(text: str) -> int:
    name = re.sub(r"[ _-]", "", text).lower()
    if name in REASONS:
        return REASONS[name]
    if name.isascii() and name.isdigit() and int(name) in {*REASONS.values(), 7}:
        return int(name)
    raise Usage(f"invalid value {text!r} for flag '--reason-code'", hint=f"0 to 10, or one of {', '.join(REASONS)}")
