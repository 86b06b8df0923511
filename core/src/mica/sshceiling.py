"""check, for SSH: nothing is signed that was not granted, whatever composed it.

What is judged is the encoded certificate, read back, against the grant. ``check`` is the only maker of an
``SSHApproval``, and only an ``SSHApproval`` can be signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mica import principals, sshoptions, sshvalidity
from mica.authority import Authority
from mica.claims import Claims
from mica.errors import Refused
from mica.grants import Exactly, Grant, SignSSH
from mica.requests import SSHSignRequest
from mica.sshcert import SSHCertificate, TBSSSHCertificate
from mica.sshissuers import SSHIssuer
from mica.sshkeys import SSHPublicKey
from mica.validity import Validity

_SEAL = object()
_MOST_SHOWN = 1000
_ENDLESS = "ssh certificate validBefore must be set: no certificate is for ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHApproval:
    """A certificate that may be signed: these octets. Only ``check`` and ``check_renewal`` can make one."""

    tbs: TBSSSHCertificate
    wire: bytes
    ssh: SSHIssuer
    grant: Grant
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only mica.sshceiling makes an SSHApproval")


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHDraft:
    """A composed certificate and everything it is judged by."""

    request: SSHSignRequest
    tbs: TBSSSHCertificate
    grant: Grant
    permit: SignSSH
    claims: Claims
    ssh: SSHIssuer
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHRenewalDraft:
    """A composed continuation of ``old`` and everything it is judged by."""

    old: SSHCertificate
    public_key: SSHPublicKey | None
    """The new key, on rekey."""
    tbs: TBSSSHCertificate
    grant: Grant
    claims: Claims
    """Those of the provisioner that renews."""
    ssh: SSHIssuer
    now: datetime


async def check(authority: Authority, draft: SSHDraft) -> SSHApproval:
    """The draft may be signed; raises Refused with every objection of the core and of each policy."""
    encoded = draft.tbs.wire
    tbs = TBSSSHCertificate.decode(encoded)
    reasons = _request_objections(draft) or _lint(tbs, draft.ssh) or _excess(tbs, draft)
    reasons += await authority.hooks.ssh_objections(draft.request, tbs, draft.grant)
    return _approved(encoded, draft.tbs, draft.grant, draft.ssh, reasons)


async def check_renewal(authority: Authority, draft: SSHRenewalDraft) -> SSHApproval:
    """The continuation may be signed; raises Refused with every objection of the core and of each policy."""
    encoded = draft.tbs.wire
    tbs = TBSSSHCertificate.decode(encoded)
    reasons = _lint(tbs, draft.ssh) or _renewal_objections(tbs, draft)
    reasons += await authority.hooks.ssh_objections(None, tbs, draft.grant)
    return _approved(encoded, draft.tbs, draft.grant, draft.ssh, reasons)


def _approved(encoded: bytes, tbs: TBSSSHCertificate, grant: Grant, ssh: SSHIssuer, reasons: list[str]) -> SSHApproval:
    # Policies have seen what was read back: whatever they do to it, what is signed and recorded is what was composed.
    if reasons:
        raise Refused(*dict.fromkeys(reasons))
    return SSHApproval(tbs=tbs, wire=encoded, ssh=ssh, grant=grant, seal=_SEAL)


def _request_objections(draft: SSHDraft) -> list[str]:
    """Where the request asks for something else than the grant and the claims permit."""
    request, permit, tbs = draft.request, draft.permit, draft.tbs
    reasons = []
    if request.cert_type not in (None, permit.cert_type):
        reasons.append(
            f"ssh certificate type does not match - got {request.cert_type.name.lower()}, "
            f"want {permit.cert_type.name.lower()}"
        )
    allowed = {principal.lower() for principal in permit.principals.names}
    if not {principal.lower() for principal in request.principals} <= allowed:
        reasons.append(
            f"ssh certificate principals does not match - got {_listed(request.principals)}, "
            f"want {_listed(permit.principals.names)}"
        )
    for name, asked, granted in (
        ("validAfter", request.valid_after, permit.valid_after),
        ("validBefore", request.valid_before, permit.valid_before),
    ):
        if asked is not None and granted is not None and asked != granted:
            reasons.append(f"ssh certificate {name} does not match")
    if tbs.valid_before is None:
        return [*reasons, _ENDLESS]
    valid = Validity(not_before=tbs.valid_after, not_after=tbs.valid_before)
    durations = draft.claims.ssh_durations(permit.cert_type)
    return reasons + sshvalidity.check(valid, permit, durations, draft.ssh.backdate, draft.now)


def _lint(tbs: TBSSSHCertificate, ssh: SSHIssuer) -> list[str]:
    """What no certificate may be, whoever grants it (PROTOCOL.certkeys)."""
    reasons = principals.faults(tbs.valid_principals)
    # step-ca's words: it does not say of which kind the key is that is too short.
    reasons += [f"ssh certificate {fault.removeprefix('RSA ')}" for fault in tbs.public_key.faults()]
    reasons += sshoptions.faults(tbs.critical_options, tbs.extensions, tbs.cert_type)
    if not tbs.key_id or not tbs.key_id.isprintable():
        reasons.append("ssh certificate keyID must be printable text: it stands in sshd's log")
    if tbs.valid_before is None:
        reasons.append(_ENDLESS)
    if tbs.serial == 0:
        reasons.append("ssh certificate serial must not be 0, which stands for none")
    if tbs.public_key in [key for _, key in ssh.all_keys()]:
        reasons.append("ssh certificate key is a key of the authority itself")
    if tbs.signature_key != ssh.key(tbs.cert_type):
        reasons.append("the certificate would name another CA key")
    if tbs.reserved:
        reasons.append("the certificate would have octets where none are defined")
    return reasons


def _excess(tbs: TBSSSHCertificate, draft: SSHDraft) -> list[str]:
    """What the encoded certificate has beyond the permit. Anything here is a mistake of the core itself."""
    permit, reasons = draft.permit, []
    granted = principals.canonical(permit.principals.names, permit.cert_type)
    if isinstance(permit.principals, Exactly):
        as_granted = tbs.valid_principals == granted
    else:
        as_granted = set(tbs.valid_principals) <= set(granted)
    if not as_granted:
        reasons.append("the certificate would carry principals that were not granted")
    if tbs.cert_type is not permit.cert_type or tbs.key_id != permit.key_id:
        reasons.append("the certificate would have a type or a key id that was not granted")
    if tbs.public_key != draft.request.public_key:
        reasons.append("the certificate would carry another key than the request")
    if tbs.critical_options != permit.critical_options:
        reasons.append("the certificate would not have exactly the critical options that were granted")
    extensions = sshoptions.default_extensions(permit.cert_type) if permit.extensions is None else permit.extensions
    if tbs.extensions != extensions:
        reasons.append("the certificate would have extensions that were not granted")
    return reasons


def _renewal_objections(tbs: TBSSSHCertificate, draft: SSHRenewalDraft) -> list[str]:
    """Where the new certificate differs from the old one in more than renewal may change."""
    old, reasons = draft.old.tbs, []
    if _constant(tbs) != _constant(old):
        reasons.append("the renewed certificate would differ in more than serial, validity and CA key")
    if tbs.public_key != (draft.public_key or old.public_key):
        reasons.append("the renewed certificate would have another key")
    valid_before, old_end = tbs.valid_before, old.valid_before
    if valid_before is None or old_end is None:
        return [*reasons, _ENDLESS]
    valid = Validity(not_before=tbs.valid_after, not_after=valid_before)
    if not timedelta() < valid.length <= old_end - old.valid_after:
        reasons.append("the renewed certificate would last longer than the old one, or not at all")
    if draft.public_key is not None:
        durations = draft.claims.ssh_durations(tbs.cert_type)
        reasons += sshvalidity.check_length(valid, durations, draft.ssh.backdate, draft.now)
    return reasons


def _constant(tbs: TBSSSHCertificate) -> tuple[object, ...]:
    """What a renewal leaves as it was."""
    return tbs.cert_type, tbs.key_id, tbs.valid_principals, tbs.critical_options, tbs.extensions


def _listed(values: Iterable[str]) -> str:
    """As step-ca prints a list: ``[a b]``. A long one is cut: a request may name ten thousand."""
    text = " ".join(values)
    return f"[{text if len(text) <= _MOST_SHOWN else f'{text[:_MOST_SHOWN]}…'}]"
