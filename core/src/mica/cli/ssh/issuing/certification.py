"""A certificate from the CA: ordered by a token, judged when it comes, and told about.

What it is for is decided before; files and agents come after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mica import principals
from mica.cli.ca import ordering
from mica.cli.ca.connection import Connection
from mica.cli.ca.diagnosis import diagnosed
from mica.cli.ca.x5cflags import X5C
from mica.cli.ssh.asking import explained
from mica.cli.ssh.issuing.orders import Order
from mica.cli.ssh.issuing.tokenorders import PATH
from mica.cli.times import rfc3339
from mica.client import NotTheCA
from mica.client.ssh import SSHOrder
from mica.grants import Operation
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.sshwire import MalformedSSH
from mica.tokens import UnverifiedToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """Fresh from the CA, and what was ordered."""

    certificate: SSHCertificate
    add_user: SSHCertificate | None = None
    """The one that makes the account."""


def make_token(
    connection: Connection, order: Order, provisioner: str | None, password: bytes | None, x5c: X5C | None = None
) -> UnverifiedToken:
    """A token for ``order`` made on the spot; raises Usage, FileProblem, PromptNeeded and what the client raises."""
    wanted = ordering.order(
        Operation.SSH_SIGN,
        order.key_id,
        connection.url,
        root_fingerprint=connection.root_fingerprint,
        extra=order.claims,
    )
    credentials = ordering.vouching(provisioner, password, x5c)
    return UnverifiedToken.parse(ordering.make_token(wanted, connection.client, credentials))


def certify(
    connection: Connection,
    order: Order,
    token: UnverifiedToken,
    public_key: SSHPublicKey,
    add_user: SSHPublicKey | None = None,
) -> Certified:
    """The certificate for ``public_key``, and for ``add_user`` the one that makes the account.

    Raises Refused, Unreachable; NotTheCA when what came is not what was ordered.
    """
    asked = SSHOrder(
        public_key=public_key.blob,
        cert_type=order.type_name,
        key_id=order.key_id,
        principals=order.principals,
        valid_after=order.valid_after,
        valid_before=order.valid_before,
        add_user_public_key=None if add_user is None else add_user.blob,
    )
    with explained(connection.url), diagnosed(token, connection, PATH):
        issued = connection.client.ssh.sign(asked, token.raw)
    certificate = accepted(issued.certificate, public_key, order.cert_type)
    if ordering.is_identity(token):
        _check_somebodys(certificate.tbs)
    else:
        _check_ordered(certificate.tbs, order)
    if add_user is None:
        return Certified(certificate=certificate)
    if issued.add_user is None:
        raise NotTheCA("the CA sent no certificate that makes the account", hint="leave '--add-user' out")
    return Certified(certificate=certificate, add_user=accepted(issued.add_user, add_user, CertType.USER))


def summary(tbs: TBSSSHCertificate) -> dict[str, object]:
    """What a certificate says, for scripts. The serial number is text: it exceeds what JSON readers keep exactly."""
    return {
        "serial": str(tbs.serial),
        "type": tbs.cert_type.name.lower(),
        "key_id": tbs.key_id,
        "principals": list(tbs.valid_principals),
        "valid_after": rfc3339(tbs.valid_after),
        "valid_before": None if tbs.valid_before is None else rfc3339(tbs.valid_before),
        "fingerprint": tbs.public_key.fingerprint,
    }


def listed(files: Mapping[str, Path]) -> dict[str, str]:
    """``files``, by what they hold, as JSON has them: ``private_key`` …"""
    return {label.lower().replace(" ", "_"): str(path) for label, path in files.items()}


def accepted(blob: bytes, public_key: SSHPublicKey, cert_type: CertType) -> SSHCertificate:
    """The certificate in ``blob``, which somebody signed for our key; raises NotTheCA.

    That it was the CA is what the connection proves: asking it for its keys would prove the same once more.
    """
    try:
        certificate = SSHCertificate.decode(blob)
        certificate.check_signature()
    except MalformedSSH as error:
        raise NotTheCA(f"the CA sent something that is no SSH certificate: {error}") from error
    if certificate.tbs.public_key != public_key:
        raise NotTheCA("the CA sent a certificate for another key than the one it was asked for")
    if certificate.tbs.cert_type is not cert_type:
        raise NotTheCA(f"the CA sent a {certificate.tbs.cert_type.name.lower()}'s certificate, which nobody ordered")
    return certificate


def _check_somebodys(tbs: TBSSSHCertificate) -> None:
    """It is for somebody: whom, the identity provider and the CA have agreed, and no order has."""
    if not tbs.valid_principals:  # sshd takes it for anybody (PROTOCOL.certkeys)
        raise NotTheCA("the CA sent a certificate without principals, which is for everybody")


def _check_ordered(tbs: TBSSSHCertificate, order: Order) -> None:
    if tbs.key_id != order.key_id:
        raise NotTheCA(f"the CA sent a certificate with the key id {tbs.key_id!r}, not {order.key_id!r}")
    theirs, ours = (principals.canonical(names, order.cert_type) for names in (tbs.valid_principals, order.principals))
    if tbs.critical_options != order.critical_options:
        raise NotTheCA(
            "the CA sent a certificate with other restrictions than were ordered",
            hint="it may not know criticalOptions in tokens: leave '--force-command' and '--source-address' out",
        )
    if not theirs or (ours and set(theirs) != set(ours)):
        raise NotTheCA(f"the CA sent a certificate for {', '.join(theirs) or 'everybody'}, not for {', '.join(ours)}")
