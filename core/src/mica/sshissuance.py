"""The line, for a new SSH certificate: decode → authorize → compose → check → sign → record."""

import dataclasses
import secrets
from dataclasses import dataclass
from datetime import datetime

from mica import principals, sshoptions, sshsignatures, sshvalidity
from mica.authority import Authority
from mica.authorization import authorize
from mica.claims import Claims
from mica.containment import contained
from mica.deadlines import within
from mica.denials import Telling
from mica.errors import MalformedRequest, Refused, Unauthorized, Unavailable, Unsupported, told
from mica.grants import AddUser, Exactly, Grant, Operation, SignSSH, SignSSHAsRequested
from mica.issuance import SIGNING_DEADLINE, octets, tell_issued
from mica.logs import request_id
from mica.records import CertificateId, Commit, Issuance, ProvisionerRef
from mica.registry import Entry
from mica.requests import SSHSignRequest
from mica.sshceiling import SSHApproval, SSHDraft, check
from mica.sshcert import CertType, TBSSSHCertificate
from mica.sshissuers import SSHIssuer, id_of
from mica.sshsignatures import Signature, algorithm_of
from mica.sshwire import MalformedSSH, string

_NONCE_OCTETS = 32
#: It stands in sshd's log, for every login.
_MAX_KEY_ID = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSSH:
    """A certificate that is on record, and may leave."""

    certificate: bytes
    """Its wire blob."""
    issuance: Issuance
    add_user: bytes | None = None
    """The certificate that makes the user's account, where one was ordered and granted."""


async def sign_ssh_token(authority: Authority, request: SSHSignRequest, token: str) -> IssuedSSH:
    """What the token's bearer asked for is on record; raises Unauthorized, Refused, MalformedRequest, Unsupported."""
    ssh = ssh_issuer(authority)
    with Telling(authority, Operation.SSH_SIGN) as denial:
        grant, entry = await authorize(authority, token, Operation.SSH_SIGN)
        denial.grant = grant
        require_enabled(entry)
        return await issue(authority, ssh, request, grant, entry.claims)


def ssh_issuer(authority: Authority) -> SSHIssuer:
    """The issuer of SSH certificates; raises Unsupported when the authority has none."""
    if authority.ssh is None:
        raise Unsupported("")
    return authority.ssh


def require_enabled(entry: Entry) -> None:
    """The claims let SSH certificates be issued for what the provisioner vouches for; raises Unauthorized."""
    if not entry.claims.enable_ssh_ca:
        raise Unauthorized(f"enable_ssh_ca is not set in the claims of the provisioner {entry.name}")


async def issue(
    authority: Authority, ssh: SSHIssuer, request: SSHSignRequest, grant: Grant, claims: Claims
) -> IssuedSSH:
    """The certificates that ``grant`` permits and ``request`` asks for are on record together, the token spent."""
    permit, *more = grant.permits
    if isinstance(permit, SignSSHAsRequested):
        permit, *more = as_requested(request, permit)
    if not isinstance(permit, SignSSH):
        raise Refused("the grant permits no SSH certificate")
    now = authority.now()
    async with authority.in_flight.hold(grant) as spends:
        orders = [(request, permit)]
        if request.add_user_public_key is not None and more:
            orders.append(_add_user_order(request, permit, more[0], ssh))
        issued = []
        for asked, permitted in orders:
            tbs = compose(asked, permitted, claims, ssh, now)
            draft = SSHDraft(request=asked, tbs=tbs, grant=grant, permit=permitted, claims=claims, ssh=ssh, now=now)
            blob = await sign(await check(authority, draft))
            issued.append(issuance_of(tbs, blob, grant.provisioner, now))
        await record(authority, Commit(issuances=tuple(issued), spends=spends), grant)
    main, *rest = issued
    return IssuedSSH(certificate=main.certificate, issuance=main, add_user=rest[0].certificate if rest else None)


def as_requested(request: SSHSignRequest, permit: SignSSHAsRequested) -> tuple[SignSSH] | tuple[SignSSH, AddUser]:
    """What the request asks for, as permits that say exactly that; raises MalformedRequest, Refused."""
    if request.cert_type is None:
        raise MalformedRequest("ssh certificate certType cannot be empty")
    if not request.key_id:
        raise MalformedRequest("ssh certificate keyID cannot be empty")
    if not request.principals:
        raise MalformedRequest("ssh certificate principals cannot be empty")
    if len(request.key_id) > _MAX_KEY_ID:
        raise MalformedRequest(f"ssh certificate keyID must have at most {_MAX_KEY_ID} characters")
    if request.cert_type not in permit.cert_types:
        raise Refused(f"ssh certificate certType {request.cert_type.name.lower()} is not permitted")
    asked = SignSSH(cert_type=request.cert_type, key_id=request.key_id, principals=Exactly(names=request.principals))
    account = principals.account_of(request.principals)
    return (asked, AddUser(account=account)) if account and request.cert_type is CertType.USER else (asked,)


def _add_user_order(
    request: SSHSignRequest, permit: SignSSH, add_user: object, ssh: SSHIssuer
) -> tuple[SSHSignRequest, SignSSH]:
    """The order of the certificate that makes the user's account, and what it may be; raises Refused."""
    assert isinstance(add_user, AddUser) and request.add_user_public_key is not None, "authorize has seen to it"
    account = add_user.account
    if not principals.is_account(account):
        raise Refused(f"ssh certificate principal {account[:80]!r} cannot be made an account: it is no plain name")
    permitted = dataclasses.replace(
        permit,
        key_id=f"{account}-{ssh.add_user_principal}",
        principals=Exactly(names=(ssh.add_user_principal,)),
        critical_options=(("force-command", ssh.add_user_command.replace("<principal>", account)),),
        extensions=(),
    )
    asked = dataclasses.replace(
        request, public_key=request.add_user_public_key, principals=(), add_user_public_key=None
    )
    return asked, permitted


def compose(
    request: SSHSignRequest, permit: SignSSH, claims: Claims, ssh: SSHIssuer, now: datetime
) -> TBSSSHCertificate:
    """The certificate that the grant describes, for the request's key. Composing judges nothing."""
    cert_type, rule = permit.cert_type, permit.principals
    granted = rule.names
    if not isinstance(rule, Exactly) and request.principals:
        asked = {principal.lower() for principal in request.principals}
        granted = tuple(principal for principal in granted if principal.lower() in asked)
    durations = claims.ssh_durations(cert_type)
    valid = sshvalidity.compose(request, permit, durations, ssh.backdate, now)
    extensions = sshoptions.default_extensions(cert_type) if permit.extensions is None else permit.extensions
    return TBSSSHCertificate(
        nonce=new_nonce(),
        public_key=request.public_key,
        serial=new_serial(),
        cert_type=cert_type,
        key_id=permit.key_id,
        valid_principals=principals.canonical(granted, cert_type),
        valid_after=valid.not_before,
        valid_before=valid.not_after,
        critical_options=permit.critical_options,
        extensions=extensions,
        signature_key=ssh.key(cert_type),
    )


def new_serial() -> int:
    """64 random bits; not all zero, for 0 stands for a certificate without a serial, which no KRL can revoke."""
    return secrets.randbits(64) or new_serial()


def new_nonce() -> bytes:
    """What makes the signed octets unforeseeable (PROTOCOL.certkeys)."""
    return secrets.token_bytes(_NONCE_OCTETS)


async def sign(approval: SSHApproval) -> bytes:
    """The certificate's blob, not yet on record; raises Unavailable."""
    cert_type, key = approval.tbs.cert_type, approval.tbs.signature_key
    try:
        with contained:
            signature = octets(await within(SIGNING_DEADLINE, approval.ssh.signer.sign(approval.wire, cert_type)))
        if Signature.decode(signature).algorithm != algorithm_of(key):
            raise MalformedSSH("signature", f"must be by {algorithm_of(key)}")
        # With which key a signer signs, only a signature shows.
        sshsignatures.verify(key, signature, approval.wire)
    except Exception as error:
        raise Unavailable(f"signers.ssh: the signer gave no valid signature: {told(error, repr)}") from error
    return approval.wire + string(signature)  # what was judged, octet by octet; check has read it again already


def issuance_of(
    tbs: TBSSSHCertificate,
    blob: bytes,
    provisioner: ProvisionerRef,
    now: datetime,
    replaces: CertificateId | None = None,
) -> Issuance:
    """What is put on record about the certificate."""
    assert tbs.valid_before is not None, "check refuses a certificate without end"
    return Issuance(
        id=id_of(tbs.signature_key, tbs.serial),
        certificate=blob,
        provisioner=provisioner,
        subject=tbs.key_id,
        names=tbs.valid_principals,
        not_before=tbs.valid_after,
        not_after=tbs.valid_before,
        issued_at=now,
        request_id=request_id.get(),
        replaces=replaces,
    )


async def record(authority: Authority, commit: Commit, grant: Grant) -> None:
    """The certificates are durably on record with everything else in ``commit``; listeners will hear of them."""
    await authority.store.commit(commit)
    for each in commit.issuances:
        tell_issued(authority, each, grant)
