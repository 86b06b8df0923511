"""The line, for an SSH certificate that continues another: renew, and rekey. Hosts only: users log in anew.

What is renewed is on record, byte for byte the certificate that was presented, and its key has signed the token. Two
provisioners have a say: the one that takes such tokens, and the one that once vouched for the host. Where the issuer's
``renew_unrecorded`` is set, its signature stands in for a record that is missing, and for nothing else.
"""

from datetime import UTC, datetime

from mica import sshvalidity
from mica.authority import Authority
from mica.authorization import authorize
from mica.claims import Claims
from mica.denials import Telling
from mica.errors import CertificateRevoked, MalformedRequest, Refused, Unauthorized
from mica.grants import Grant, Operation, RenewSSH
from mica.records import Commit, Issuance, ProvisionerRef
from mica.requests import SSHRenewRequest
from mica.sshceiling import SSHRenewalDraft, check_renewal
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshissuance import (
    IssuedSSH,
    issuance_of,
    new_nonce,
    new_serial,
    record,
    require_enabled,
    sign,
    ssh_issuer,
)
from mica.sshissuers import SSHIssuer, id_of
from mica.sshkeys import SSHPublicKey
from mica.sshwire import MalformedSSH

#: Where a certificate begins that was made without a beginning (PROTOCOL.certkeys: ``valid after``).
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


async def renew_ssh(authority: Authority, request: SSHRenewRequest, token: str) -> IssuedSSH:
    """The certificate's continuation is on record; raises Unauthorized, CertificateRevoked, Refused, Unsupported."""
    ssh = ssh_issuer(authority)
    operation = Operation.SSH_RENEW if request.public_key is None else Operation.SSH_REKEY
    with Telling(authority, operation) as denial:
        grant, entry = await authorize(authority, token, operation)
        denial.grant = grant
        (permit,) = grant.permits
        if not isinstance(permit, RenewSSH):
            raise Refused("the grant permits no renewal of an SSH certificate")
        old = decode_held(permit.certificate)
        if old.tbs.cert_type is not CertType.HOST:
            raise MalformedRequest("sshpop certificate must be a host ssh certificate")
        require_enabled(entry)
        issuance = await on_record(authority, ssh, old, grant.provisioner)
        _require_voucher(authority, issuance)
        _require_renewable(old.tbs, entry.claims, authority.now(), rekey=request.public_key is not None)
        return await _continue(authority, ssh, old, issuance, request.public_key, grant, entry.claims)


def decode_held(blob: bytes) -> SSHCertificate:
    """The certificate that a token's bearer presented; raises Unauthorized."""
    try:
        return SSHCertificate.decode(blob, "the token's certificate")
    except MalformedSSH as error:
        raise Unauthorized(str(error)) from error


async def on_record(
    authority: Authority, ssh: SSHIssuer, certificate: SSHCertificate, asked: ProvisionerRef
) -> Issuance:
    """The record of exactly this certificate, which is not revoked; raises Unauthorized, CertificateRevoked.

    With ``renew_unrecorded``, that is what would have been recorded; the provisioner that was ``asked`` stands for the
    one that vouched, whom an SSH certificate does not name.
    """
    tbs = certificate.tbs
    if tbs.signature_key not in ssh.keys[tbs.cert_type]:
        raise Unauthorized("the certificate was not signed by a key of this authority")
    issuance = await authority.store.find(id_of(tbs.signature_key, tbs.serial))
    if issuance is None and ssh.renew_unrecorded:
        issuance = _unrecorded(certificate, asked)
    if issuance is None or issuance.certificate != certificate.blob:
        raise Unauthorized("the certificate is not on record here")
    if await authority.store.revocation(issuance.id) is not None:
        raise CertificateRevoked(f"the certificate {tbs.serial} is revoked")
    return issuance


def _unrecorded(certificate: SSHCertificate, asked: ProvisionerRef) -> Issuance:
    """What the record of an earlier CA's certificate would be; raises Unauthorized when this CA could not have one."""
    tbs = certificate.tbs
    try:
        certificate.check_signature()
    except MalformedSSH as error:
        raise Unauthorized(str(error)) from error
    if tbs.cert_type is not CertType.HOST or tbs.serial == 0 or tbs.valid_before is None:
        raise Unauthorized(
            "the certificate is not on record here, and is none that could be: no host's, or without end"
        )
    return Issuance(
        id=id_of(tbs.signature_key, tbs.serial),
        certificate=certificate.blob,
        provisioner=asked,
        subject=tbs.key_id,
        names=tbs.valid_principals,
        not_before=tbs.valid_after,
        not_after=tbs.valid_before,
        issued_at=tbs.valid_after,
    )


def _require_voucher(authority: Authority, issuance: Issuance) -> None:
    """Whoever once vouched for the host is still there, and may do so still; raises Unauthorized."""
    voucher = authority.registry.named(issuance.provisioner.name)
    if voucher is None or voucher.type != issuance.provisioner.type:
        raise Unauthorized(f"the certificate's provisioner {issuance.provisioner.name!r} does not exist any more")
    require_enabled(voucher)
    if voucher.claims.disable_renewal:
        raise Unauthorized(f"renewal is disabled for the certificate's provisioner {voucher.name}")


def _require_renewable(tbs: TBSSSHCertificate, claims: Claims, now: datetime, *, rekey: bool) -> None:
    """The claims and the certificate itself let it be continued now; raises Unauthorized, MalformedRequest."""
    if claims.disable_renewal:
        raise Unauthorized("renewal is disabled for the provisioner that renews")
    if tbs.valid_before is None or tbs.valid_after == _ALWAYS:
        raise MalformedRequest("cannot renew a certificate without a validity period")
    if now < tbs.valid_after:
        raise Unauthorized("the certificate is not valid yet")
    # PROTOCOL.certkeys: it is valid while valid_after <= t < valid_before.
    if now >= tbs.valid_before and (rekey or not claims.allow_renewal_after_expiry):
        expired = f"certificate expired on {tbs.valid_before:%Y-%m-%d %H:%M:%S} +0000 UTC"
        # Whoever holds the key of a certificate that is on record may know why it is of no use any more.
        raise Unauthorized(expired, public=f"The request lacked necessary authorization to be completed: {expired}")


async def _continue(
    authority: Authority,
    ssh: SSHIssuer,
    old: SSHCertificate,
    issuance: Issuance,
    public_key: SSHPublicKey | None,
    grant: Grant,
    claims: Claims,
) -> IssuedSSH:
    now = authority.now()
    async with authority.in_flight.hold(grant) as spends:
        tbs = _compose(old.tbs, public_key, ssh, now)
        draft = SSHRenewalDraft(old=old, public_key=public_key, tbs=tbs, grant=grant, claims=claims, ssh=ssh, now=now)
        blob = await sign(await check_renewal(authority, draft))
        # As in X.509, the record names who vouched for the host, not who took the token.
        issued = issuance_of(tbs, blob, issuance.provisioner, now, replaces=issuance.id)
        await record(authority, Commit(issuances=(issued,), spends=spends, unless_revoked=(issuance.id,)), grant)
    return IssuedSSH(certificate=blob, issuance=issued)


def _compose(
    old: TBSSSHCertificate, public_key: SSHPublicKey | None, ssh: SSHIssuer, now: datetime
) -> TBSSSHCertificate:
    """The old certificate with another serial, nonce, validity and CA key; and key, on rekey."""
    assert old.valid_before is not None, "what has no end is not renewed"
    valid = sshvalidity.continued(old.valid_after, old.valid_before, ssh.backdate, now)
    return TBSSSHCertificate(
        nonce=new_nonce(),
        public_key=public_key or old.public_key,
        serial=new_serial(),
        cert_type=old.cert_type,
        key_id=old.key_id,
        valid_principals=old.valid_principals,
        valid_after=valid.not_before,
        valid_before=valid.not_after,
        critical_options=old.critical_options,
        extensions=old.extensions,
        signature_key=ssh.key(old.cert_type),
    )
