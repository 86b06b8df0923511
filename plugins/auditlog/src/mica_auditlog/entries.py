"""What a line says about an event: who, what, and how that is known. No certificate, no token, no key."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mica import CertificateId, Denied, Event, Issuance, Issued, ProvisionerRef, Revoked
from mica_auditlog.lines import timestamp

_MAX_TEXT, _MAX_TEXTS = 1000, 50


class Entry(NamedTuple):
    """What will be a line once its place is known."""

    time: str
    event: str
    members: Mapping[str, Any]

    def summary(self) -> str:
        """The event in a few words, for a log line that stands where this one does not."""
        certificate = self.members.get("certificate", {})
        words = (
            self.event,
            self.members.get("operation"),
            certificate.get("kind"),
            certificate.get("serial_number"),
            f"at {self.time}",
            f"request {self.members.get('request_id') or '-'}",
        )
        return " ".join(str(word) for word in words if word)


def entry(event: Event) -> Entry:
    """The event as its line will tell it."""
    if isinstance(event, Issued):
        return _issued(event)
    if isinstance(event, Revoked):
        return _revoked(event)
    return _denied(event)


def _issued(event: Issued) -> Entry:
    issuance = event.issuance
    members = {
        "request_id": event.request_id,
        **_who(issuance.provisioner, event.subject, event.evidence),
        "certificate": _certificate(issuance),
        "replaces": _id(issuance.replaces) if issuance.replaces else None,
    }
    return Entry(timestamp(event.at), "renewed" if issuance.replaces else "issued", members)


def _revoked(event: Revoked) -> Entry:
    revocation = event.revocation
    members = {
        "request_id": event.request_id,
        **_who(revocation.provisioner, event.subject, event.evidence),
        "certificate": _id(revocation.id),
        "reason_code": revocation.reason_code,
        "reason": _short(revocation.reason),
    }
    return Entry(timestamp(event.at), "revoked", members)


def _denied(event: Denied) -> Entry:
    members = {
        "request_id": event.request_id,
        "operation": str(event.operation),
        **_who(event.provisioner, event.subject, event.evidence),
        "reasons": [_short(reason) for reason in event.reasons[:_MAX_TEXTS]],
    }
    return Entry(timestamp(event.at), "denied", members)


def _who(provisioner: ProvisionerRef | None, subject: str, evidence: Mapping[str, str]) -> dict[str, Any]:
    reference = (
        {"name": provisioner.name, "type": provisioner.type, "credential_id": _short(provisioner.credential_id)}
        if provisioner
        else None
    )
    proofs = {_short(name): _short(value) for name, value in list(evidence.items())[:_MAX_TEXTS]}
    return {"provisioner": reference, "subject": _short(subject), "evidence": proofs}


def _certificate(issuance: Issuance) -> dict[str, Any]:
    return {
        **_id(issuance.id),
        "subject": issuance.subject,
        "names": list(issuance.names),
        "not_before": timestamp(issuance.not_before),
        "not_after": timestamp(issuance.not_after),
        "sha256_fingerprint": hashlib.sha256(issuance.certificate).hexdigest(),
    }


def _id(id: CertificateId) -> dict[str, str]:
    """Issuer and serial number; the number is a text, for it does not fit a JSON number."""
    return {"kind": str(id.kind), "serial_number": str(id.serial_number), "issuer": id.issuer.hex()}


def _short(text: str) -> str:
    """What strangers say, cut: a line must not be as long as they like."""
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)} characters)"
