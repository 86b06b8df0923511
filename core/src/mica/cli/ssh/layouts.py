"""SSH certificates as texts: the layout of ``ssh-keygen -L`` with the signature and what the clock says; and JSON."""

import base64
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Literal

from mica.cli.console import printable
from mica.cli.times import rfc3339, span
from mica.sshcert import Options, SSHCertificate, TBSSSHCertificate

Standing = Literal["valid", "not yet valid", "expired"]

_ROW = 16


def text(certificate: SSHCertificate, title: str, now: datetime, zone: tzinfo | None) -> str:
    """``certificate`` under its ``title``, with times in ``zone``; None is where this machine is. Terminal-safe."""
    return "\n".join(map(printable, _rows(certificate, title, now, zone)))


def members(certificate: SSHCertificate, now: datetime, zone: tzinfo | None) -> dict[str, object]:
    """``certificate`` as JSON has it, by the names that step uses; the serial number is text."""
    tbs, signature = certificate.tbs, certificate.signature
    return {
        "Type": tbs.cert_type.name.lower(),
        "KeyName": tbs.type,
        "KeyID": tbs.key_id,
        "KeyAlgo": tbs.public_key.kind,
        "KeyFingerprint": tbs.public_key.fingerprint,
        "SigningKeyAlgo": tbs.signature_key.kind,
        "SigningKeyFingerprint": tbs.signature_key.fingerprint,
        "Signature": {"Type": signature.algorithm, "Value": base64.b64encode(_value(certificate)).decode()},
        "Serial": str(tbs.serial),
        "ValidAfter": rfc3339(tbs.valid_after.astimezone(zone)),
        "ValidBefore": None if tbs.valid_before is None else rfc3339(tbs.valid_before.astimezone(zone)),
        "Principals": list(tbs.valid_principals),
        "CriticalOptions": dict(tbs.critical_options),
        "Extensions": dict(tbs.extensions),
        "Status": standing(tbs, now),
    }


def _rows(certificate: SSHCertificate, title: str, now: datetime, zone: tzinfo | None) -> Iterator[str]:
    tbs, signer = certificate.tbs, certificate.tbs.signature_key
    yield f"{title}:"
    yield f"        Type: {tbs.type} {tbs.cert_type.name.lower()} certificate"
    yield f"        Public key: {tbs.public_key.kind}-CERT {tbs.public_key.fingerprint}"
    yield f"        Signing CA: {signer.kind} {signer.fingerprint} (using {certificate.signature.algorithm})"
    yield f'        Key ID: "{tbs.key_id}"'
    yield f"        Serial: {tbs.serial}"
    yield f"        Valid: {_validity(tbs, zone)}"
    yield from _listed("Principals", tbs.valid_principals)
    yield from _listed("Critical Options", _with_values(tbs.critical_options))
    yield from _listed("Extensions", _with_values(tbs.extensions))
    yield "        Signature:"
    octets = _value(certificate)
    for start in range(0, len(octets), _ROW):
        end = start + _ROW
        yield f"                {octets[start:end].hex(':')}{':' if end < len(octets) else ''}"
    yield f"        Status: {_status(tbs, now)}; times are {_zone_name(now, zone)}"


def _listed(label: str, items: tuple[str, ...]) -> Iterator[str]:
    """As ssh-keygen lists them, blank included: scripts that read one read the other."""
    if not items:
        yield f"        {label}: (none)"
        return
    yield f"        {label}: "
    yield from (f"                {item}" for item in items)


def _with_values(options: Options) -> tuple[str, ...]:
    return tuple(f"{name} {value}" for name, value in options)


def _validity(tbs: TBSSSHCertificate, zone: tzinfo | None) -> str:
    """As ssh-keygen says it: without a start or an end where there is none."""
    start = _moment(tbs.valid_after, zone) if tbs.valid_after.timestamp() else None
    end = _moment(tbs.valid_before, zone) if tbs.valid_before is not None else None
    if start and end:
        return f"from {start} to {end}"
    return f"after {start}" if start else f"before {end}" if end else "forever"


def _moment(moment: datetime, zone: tzinfo | None) -> str:
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def _value(certificate: SSHCertificate) -> bytes:
    """What follows the algorithm in the signature's blob, without its length (RFC 4253 §6.6)."""
    return certificate.signature.value + certificate.signature.trailer


def standing(tbs: TBSSSHCertificate, now: datetime) -> Standing:
    """What the clock says. sshd takes a certificate from valid_after on, and until just before valid_before."""
    if tbs.valid_before is not None and now >= tbs.valid_before:
        return "expired"
    return "not yet valid" if now < tbs.valid_after else "valid"


def _status(tbs: TBSSSHCertificate, now: datetime) -> str:
    known = standing(tbs, now)
    if known == "not yet valid":
        return f"NOT YET VALID, begins in {span(tbs.valid_after - now)}"
    if tbs.valid_before is None:
        return "valid, without end"
    if known == "expired":
        return f"EXPIRED {span(now - tbs.valid_before)} ago"
    return f"valid, {span(tbs.valid_before - now)} remaining"


def _zone_name(now: datetime, zone: tzinfo | None) -> str:
    here = now.astimezone(zone)
    return "UTC" if zone else f"local, {here.tzname()} ({here:%z})"
