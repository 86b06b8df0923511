"""SSH certificates on record as texts: which type they are of, their layout, and the line that ssh reads."""

import base64
from datetime import UTC, datetime

from mica.cli.console import printable
from mica.cli.ssh import layouts
from mica.records import Issuance
from mica.sshcert import SSHCertificate
from mica.sshkeys import KeyLine
from mica.sshwire import MalformedSSH


def read(issuance: Issuance) -> SSHCertificate | None:
    """The certificate on record; None when its octets are none that can be read."""
    try:
        return SSHCertificate.decode(issuance.certificate)
    except MalformedSSH:
        return None


def cert_type(issuance: Issuance) -> str | None:
    """``user`` or ``host``; None when the certificate cannot be read."""
    certificate = read(issuance)
    return None if certificate is None else certificate.tbs.cert_type.name.lower()


def text(issuance: Issuance, now: datetime, *, revoked: bool) -> str:
    """The certificate as ``mica ssh inspect`` shows it, times in UTC. Terminal-safe."""
    certificate = read(issuance)
    if certificate is None:
        return "Certificate:   cannot be read; see --json"
    rows = layouts.text(certificate, "Certificate", now, UTC)
    if revoked:  # the last row says what the clock says, and here more is known
        return rows.rpartition("\n")[0] + "\n        Status: REVOKED; times are UTC"
    return rows


def members(issuance: Issuance, now: datetime, *, revoked: bool) -> dict[str, object] | None:
    """The certificate as ``mica ssh inspect --json`` has it; None when it cannot be read."""
    certificate = read(issuance)
    if certificate is None:
        return None
    return layouts.members(certificate, now, UTC) | ({"Status": "revoked"} if revoked else {})


def line(issuance: Issuance) -> str:
    """The certificate as a ``-cert.pub`` file has it, its key id as the comment; base64 of what cannot be read."""
    certificate = read(issuance)
    if certificate is None:
        return base64.b64encode(issuance.certificate).decode()
    comment = printable(certificate.tbs.key_id)
    return KeyLine(key_type=certificate.tbs.type, blob=certificate.blob, comment=comment).format()
