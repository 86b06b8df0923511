"""Certificates on record as texts: a table, everything about one, and JSON. All of it is safe for a terminal.

Those of SSH are read, for the record does not say whether they are for users or for hosts.
"""

import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from mica.cli.ca import ssh_records
from mica.cli.console import printable
from mica.cli.errors import CLIError
from mica.records import CertificateKind, Found, Issuance, ProvisionerRef, Revocation, Status

#: RFC 5280 §5.3.1.
_REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
_KINDS = {CertificateKind.X509: "X.509", CertificateKind.SSH: "SSH"}
_HEAD = ("SERIAL NUMBER", "STATUS", "NOT AFTER", "PROVISIONER", "KIND", "NAMES")


@dataclass(slots=True)
class Table:
    """Rows in aligned columns, page after page; a column never becomes narrower."""

    widths: list[int] = field(default_factory=lambda: [0] * len(_HEAD))
    begun: bool = False

    def page(self, rows: Iterable[Found], now: datetime) -> list[str]:
        """The lines of one page; above the first stands the head."""
        cells = [_cells(row, now) for row in rows]
        if not self.begun and cells:
            cells.insert(0, _HEAD)
            self.begun = True
        for row in cells:
            self.widths = [max(width, len(cell)) for width, cell in zip(self.widths, row, strict=True)]
        return [self._line(row) for row in cells]

    def _line(self, row: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(row[:-1], self.widths, strict=False))
        return "  ".join([*padded, row[-1]]).rstrip()


def status(row: Found, now: datetime) -> Status:
    """What has become of the certificate at ``now``."""
    if row.revocation is not None:
        return Status.REVOKED
    # RFC 5280 §4.1.2.5: the validity period includes its last moment.
    return Status.EXPIRED if now > row.issuance.not_after else Status.VALID


def members(row: Found, now: datetime) -> dict[str, Any]:
    """The certificate as JSON has it; serial numbers are texts, for they do not fit a JSON number."""
    issuance = row.issuance
    return {
        "serial_number": str(issuance.id.serial_number),
        "kind": str(issuance.id.kind),
        "cert_type": ssh_records.cert_type(issuance) if _is_ssh(issuance) else None,
        "status": str(status(row, now)),
        "subject": issuance.subject,
        "names": list(issuance.names),
        "provisioner": _provisioner_members(issuance.provisioner),
        "not_before": rfc3339(issuance.not_before),
        "not_after": rfc3339(issuance.not_after),
        "issued_at": rfc3339(issuance.issued_at),
        "request_id": issuance.request_id,
        "replaces": str(issuance.replaces.serial_number) if issuance.replaces else None,
        "sha256_fingerprint": sha256(issuance.certificate).hexdigest(),
        "revocation": revocation_members(row.revocation) if row.revocation else None,
    }


def all_members(row: Found, now: datetime) -> dict[str, Any]:
    """``members``, and the certificate itself: in PEM, or as OpenSSH's line with what stands in it."""
    issuance = row.issuance
    if not _is_ssh(issuance):
        return {**members(row, now), "certificate": pem(issuance)}
    return {
        **members(row, now),
        "certificate": ssh_records.line(issuance),
        "ssh": ssh_records.members(issuance, now, revoked=row.revocation is not None),
    }


def revocation_members(revocation: Revocation) -> dict[str, Any]:
    """A revocation as JSON has it."""
    return {
        "kind": str(revocation.id.kind),
        "revoked_at": rfc3339(revocation.revoked_at),
        "reason_code": revocation.reason_code,
        "reason": revocation.reason,
        "provisioner": _provisioner_members(revocation.provisioner),
        "request_id": revocation.request_id,
    }


def everything(row: Found, now: datetime) -> str:
    """All that is on record about one certificate, in rows; below them, what an SSH certificate says."""
    rows = "\n".join(map(printable, _rows(row, now)))
    if not _is_ssh(row.issuance):
        return rows
    return f"{rows}\n\n{ssh_records.text(row.issuance, now, revoked=row.revocation is not None)}"


def only_revoked(revocation: Revocation) -> str:
    """All that is on record about a certificate of which only the end is known."""
    number = revocation.id.serial_number
    rows = [
        f"Serial number: {number} ({number:#x})",
        f"Kind:          {_KINDS[revocation.id.kind]}",
        "Status:        REVOKED, and not on record itself",
    ]
    return "\n".join(map(printable, [*rows, *_revocation_rows(revocation)]))


def pem(issuance: Issuance) -> str:
    """The certificate in PEM; raises CLIError when it is of a kind that has none."""
    if issuance.id.kind is not CertificateKind.X509:
        raise CLIError(
            f"{issuance.id.serial_number} is an SSH certificate: it has no PEM",
            hint="--json has it as the line that OpenSSH reads",
        )
    return ssl.DER_cert_to_PEM_cert(issuance.certificate)


def rfc3339(moment: datetime) -> str:
    """``moment``, in UTC, as ``2031-03-14T09:25:53Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _cells(row: Found, now: datetime) -> tuple[str, ...]:
    issuance = row.issuance
    return (
        str(issuance.id.serial_number),
        _marked(status(row, now)),
        rfc3339(issuance.not_after),
        printable(issuance.provisioner.name),
        _kind(issuance, issuance.id.kind, "-"),
        printable(_names(issuance)),
    )


def _names(issuance: Issuance) -> str:
    names, subject = issuance.names, issuance.subject
    if _is_ssh(issuance):
        return f"{subject}: {', '.join(names)}"
    return ", ".join((subject, *names) if subject and subject not in names else names)


def _is_ssh(issuance: Issuance) -> bool:
    return issuance.id.kind is CertificateKind.SSH


def _kind(issuance: Issuance, kind: str, between: str) -> str:
    """The ``kind``, of SSH with its type: ``SSH user``, ``ssh-host``."""
    type_ = ssh_records.cert_type(issuance) if _is_ssh(issuance) else None
    return kind if type_ is None else kind + between + type_


def _marked(status: Status) -> str:
    return str(status) if status is Status.VALID else status.upper()


def _rows(row: Found, now: datetime) -> Iterator[str]:
    issuance, number = row.issuance, row.issuance.id.serial_number
    subject, names = ("Key id:", "Principals:") if _is_ssh(issuance) else ("Subject:", "Names:")
    yield f"Serial number: {number} ({number:#x})"
    yield f"Kind:          {_kind(issuance, _KINDS[issuance.id.kind], ' ')}"
    yield f"Status:        {_marked(status(row, now))}"
    yield f"{subject:<15}{issuance.subject}".rstrip()
    for index, name in enumerate(issuance.names):
        yield f"{'' if index else names:<15}{name}"
    yield f"Provisioner:   {_provisioner(issuance.provisioner)}"
    yield f"Valid from:    {rfc3339(issuance.not_before)}"
    yield f"        to:    {rfc3339(issuance.not_after)}"
    yield f"Issued at:     {rfc3339(issuance.issued_at)}"
    if issuance.request_id:
        yield f"Request id:    {issuance.request_id}"
    if issuance.replaces:
        yield f"Replaces:      {issuance.replaces.serial_number}"
    yield f"Fingerprint:   {sha256(issuance.certificate).hexdigest()}"
    if row.revocation:
        yield from _revocation_rows(row.revocation)


def _revocation_rows(revocation: Revocation) -> Iterator[str]:
    code = revocation.reason_code
    yield f"Revoked at:    {rfc3339(revocation.revoked_at)}"
    yield f"  Reason:      {_REASONS.get(code, 'unknown')} ({code})" + (
        f": {revocation.reason}" if revocation.reason else ""
    )
    yield f"  Provisioner: {_provisioner(revocation.provisioner)}"
    if revocation.request_id:
        yield f"  Request id:  {revocation.request_id}"


def _provisioner(provisioner: ProvisionerRef) -> str:
    text = f"{provisioner.name} ({provisioner.type})"
    return f"{text} [ID: {provisioner.credential_id}]" if provisioner.credential_id else text


def _provisioner_members(provisioner: ProvisionerRef) -> dict[str, str]:
    return {"name": provisioner.name, "type": provisioner.type, "credential_id": provisioner.credential_id}
