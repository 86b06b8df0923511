"""The end of SSH certificates: which, on whose word, and whether it had come before."""

from dataclasses import dataclass, field
from pathlib import Path

from mica.cli.ca import ordering
from mica.cli.ca.connection import Connection, connect, connect_by_token
from mica.cli.ca.diagnosis import diagnosed
from mica.cli.ca.issuance import parse_token
from mica.cli.ca.offline import Offline
from mica.cli.ca.revocation import reason_code as reason_code
from mica.cli.errors import Usage
from mica.cli.renewal.pairfiles import KeyOpener
from mica.cli.serials import usable_ssh_serial
from mica.cli.ssh.asking import NOT_FOUND, NOT_IMPLEMENTED, explained
from mica.cli.ssh.upkeep.continuation import Provisioner, make_token
from mica.cli.ssh.upkeep.hostpairs import Pair
from mica.client import AlreadyRevoked
from mica.grants import Operation
from mica.tokens import UnverifiedToken

_PATH = ordering.PATHS[Operation.SSH_REVOKE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One certificate by its serial, or all with a key id."""

    serial: int | None = None
    key_id: str | None = None

    @property
    def subject(self) -> str:
        """What a token for it has as subject."""
        return self.key_id if self.key_id is not None else str(self.serial)

    @property
    def claims(self) -> dict[str, object]:
        """What else a token for it says."""
        return {} if self.key_id is None else {"step": {"ssh": {"keyID": self.key_id}}}

    @property
    def members(self) -> dict[str, object]:
        """For scripts."""
        return {"serial": str(self.serial)} if self.key_id is None else {"key_id": self.key_id}

    def sentence(self, *, again: bool) -> str:
        """What has become of it."""
        if self.key_id is not None:
            return f"Every SSH certificate with the key id {self.key_id} has been revoked."
        done = "was revoked already" if again else "has been revoked"
        return f"SSH Certificate with Serial Number {self.serial} {done}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How to come to the CA, as the flags say it."""

    ca_url: str | None
    root: Path | None
    offline: Offline | None

    def connect(self, token: UnverifiedToken | None = None) -> Connection:
        """The CA; raises Usage, FileProblem."""
        if token is None or self.offline is not None:
            return connect(self.ca_url, self.root, self.offline)
        return connect_by_token(token, self.ca_url, self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is revoked, at which CA, by which token."""

    target: Target
    connection: Connection
    token: str = field(repr=False)


def target(serial: str | None, key_id: str | None, certificate: Path | None) -> Target:
    """What the flags mean; raises Usage unless it is exactly one thing."""
    if [serial, key_id, certificate].count(None) != 2:
        raise Usage("exactly one of SERIAL, '--key-id' and '--sshpop-cert' says what is revoked")
    if key_id is not None and (not key_id or not key_id.isprintable()):
        raise Usage(f"invalid value {key_id!r} for flag '--key-id': must be printable text")
    return Target(key_id=key_id) if serial is None else Target(serial=usable_ssh_serial(serial))


def held(reach: Reach, certificate: Path, key: Path, password_source: str | None, provisioner: str | None) -> Order:
    """The order of whoever holds the certificate's key; raises FileProblem, PromptNeeded."""
    pair = Pair(certificate=certificate, key=key, keys=KeyOpener(source=password_source, flag="--key-password-file"))
    opened = pair.hold()
    connection = reach.connect()
    token = make_token(connection, opened, Operation.SSH_REVOKE, Provisioner(name=provisioner))
    return Order(target=Target(serial=opened.certificate.tbs.serial), connection=connection, token=token)


def ordered(reach: Reach, target: Target, token: str | None, provisioner: str | None, password: bytes | None) -> Order:
    """The order by the token that was given, or by one that is made now; raises Usage, PromptNeeded."""
    ready = parse_token(token)
    connection = reach.connect(ready)
    if ready is None:
        wanted = ordering.order(
            Operation.SSH_REVOKE,
            target.subject,
            connection.url,
            root_fingerprint=connection.root_fingerprint,
            extra=target.claims,
        )
        credentials = ordering.Credentials(provisioner=provisioner, password=password)
        made = ordering.make_token(wanted, connection.client, credentials)
    else:
        made = ready.raw
    connection.introduce()
    return Order(target=target, connection=connection, token=made)


def is_over(order: Order, reason_code: int, reason: str) -> bool:
    """What is meant is revoked; whether it was so before, which is what was wanted, and no failure."""
    url = order.connection.url
    # What is not found by its key id is the certificate, not the CA's SSH half.
    without_ssh = {NOT_IMPLEMENTED} if order.target.key_id is not None else {NOT_FOUND, NOT_IMPLEMENTED}
    with explained(url, without_ssh), diagnosed(UnverifiedToken.parse(order.token), order.connection, _PATH):
        try:
            order.connection.client.ssh.revoke(
                order.token,
                serial=order.target.serial,
                key_id=order.target.key_id,
                reason_code=reason_code,
                reason=reason,
            )
        except AlreadyRevoked:
            return True
    return False
