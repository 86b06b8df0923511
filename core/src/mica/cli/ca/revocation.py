"""The end of a certificate: why, on whose word, and whether it had come before."""

import re
from pathlib import Path

from mica.cli.ca import identities, ordering
from mica.cli.ca.connection import Connection, connect, connect_by_token
from mica.cli.ca.issuance import parse_token
from mica.cli.ca.offline import Offline
from mica.cli.errors import Usage
from mica.client import AlreadyRevoked, Identity
from mica.grants import Operation
from mica.tokens import UnverifiedToken

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


def reason_code(text: str) -> int:
    """The reason's number, which ``text`` is or names; raises Usage."""
    name = re.sub(r"[ _-]", "", text).lower()
    if name in REASONS:
        return REASONS[name]
    if name.isascii() and name.isdigit() and int(name) in {*REASONS.values(), 7}:
        return int(name)
    raise Usage(f"invalid value {text!r} for flag '--reason-code'", hint=f"0 to 10, or one of {', '.join(REASONS)}")


def identity(cert: Path, key: Path, password_source: str | None) -> tuple[int, Identity]:
    """The certificate's serial number, and what proves that its key is here; raises FileProblem."""
    holder = identities.read(cert, key, password_source, flag="--key-password-file")
    holder.check_client_auth()
    return holder.certificate.serial_number, holder.identity


def ordered(
    number: int,
    token: str | None,
    provisioner: str | None,
    password: bytes | None,
    ca_url: str | None,
    root: Path | None,
    offline: Offline | None,
) -> tuple[Connection, UnverifiedToken]:
    """The CA, and a token for it that orders the revocation: the one that was given, or one that is made now."""
    ready = parse_token(token)
    if ready is not None:
        return connect_by_token(ready, ca_url, root) if offline is None else connect(ca_url, root, offline), ready
    connection = connect(ca_url, root, offline)
    wanted = ordering.order(
        Operation.X509_REVOKE, str(number), connection.url, root_fingerprint=connection.root_fingerprint
    )
    credentials = ordering.Credentials(provisioner=provisioner, password=password)
    return connection, UnverifiedToken.parse(ordering.make_token(wanted, connection.client, credentials))


def is_over(
    connection: Connection,
    number: int,
    *,
    token: str = "",
    identity: Identity | None = None,
    reason_code: int,
    reason: str,
) -> bool:
    """The certificate is revoked; whether it was so before, which is what was wanted, and no failure."""
    try:
        connection.client.revoke(number, token=token, identity=identity, reason_code=reason_code, reason=reason)
    except AlreadyRevoked:
        return True
    return False
