"""The line, for the end of a certificate: decode → authorize → record."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mica.authority import Authority
from mica.authorization import authorize
from mica.denials import Telling
from mica.errors import AlreadyRevoked, CertificateRevoked, Refused
from mica.events import Revoked
from mica.grants import Grant, Operation, Revoke, RevokeAny
from mica.logs import request_id
from mica.records import CertificateId, CertificateKind, Commit, ProvisionerRef, Revocation, SpentToken
from mica.renewal import on_record
from mica.requests import RevokeRequest, SSHRevokeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who ends a certificate: who vouched for them, as whom, and how that was proved."""

    provisioner: ProvisionerRef
    subject: str
    evidence: Mapping[str, str]

    @classmethod
    def of(cls, grant: Grant) -> "Asker":
        """Whoever holds the grant."""
        return cls(provisioner=grant.provisioner, subject=grant.subject, evidence=grant.evidence)


async def revoke_by_token(authority: Authority, request: RevokeRequest, token: str) -> None:
    """The certificate is on record as revoked, the token spent; raises Unauthorized, Refused, AlreadyRevoked."""
    with Telling(authority, Operation.X509_REVOKE) as denial:
        grant, _ = await authorize(authority, token, Operation.X509_REVOKE)
        denial.grant = grant
        (permit,) = grant.permits
        if not isinstance(permit, Revoke | RevokeAny) or permit.kind is not CertificateKind.X509:
            raise Refused("the grant does not permit the revocation of an X.509 certificate")
        if isinstance(permit, Revoke) and request.serial_number not in permit.serial_numbers:
            raise Refused(
                f'request serial number "{request.serial_number}" and token subject "{grant.subject}" do not match'
            )
        async with authority.in_flight.hold(grant) as spends:
            ids = await _identify(authority, request.serial_number)
            await record(authority, ids, request, Asker.of(grant), spends)


async def revoke_by_certificate(authority: Authority, request: RevokeRequest, certificate: x509.Certificate) -> None:
    """As ``revoke_by_token``, for the certificate whose key its presenter holds."""
    with Telling(authority, Operation.X509_REVOKE):
        if certificate.serial_number != request.serial_number:
            raise Refused(
                f'request serial number "{request.serial_number}" and certificate serial number '
                f'"{certificate.serial_number}" do not match'
            )
        try:
            issuance = await on_record(authority, certificate)
        except CertificateRevoked as error:
            raise already_revoked(request.serial_number) from error
        held = {"certificate": certificate.fingerprint(hashes.SHA256()).hex()}
        asker = Asker(provisioner=issuance.provisioner, subject=issuance.subject, evidence=held)
        await record(authority, (issuance.id,), request, asker, ())


async def _identify(authority: Authority, serial_number: int) -> tuple[CertificateId, ...]:
    """The certificate on record with that serial number; if there is none, every one that could be presented.

    That is the default issuer's, and one of each issuer that renews what is not on record; of these, what is revoked
    already is left out. Raises AlreadyRevoked when nothing is left.
    """
    possible = {authority.issuer.id_of(serial_number): None}
    for issuer in authority.issuers.values():
        id = issuer.id_of(serial_number)
        if await authority.store.find(id) is not None:
            return (id,)
        if issuer.renew_unrecorded:
            possible[id] = None
    ids = tuple([id for id in possible if await authority.store.revocation(id) is None])
    if not ids:
        raise already_revoked(serial_number)
    return ids


async def record(
    authority: Authority,
    ids: tuple[CertificateId, ...],
    request: RevokeRequest | SSHRevokeRequest,
    asker: Asker,
    spends: tuple[SpentToken, ...],
) -> None:
    """The certificates are on record as revoked, all of them, the token spent; raises AlreadyRevoked."""
    revocations = tuple(
        Revocation(
            id=id,
            revoked_at=authority.now(),
            reason_code=request.reason_code,
            reason=request.reason,
            provisioner=asker.provisioner,
            request_id=request_id.get(),
        )
        for id in ids
    )
    try:
        await authority.store.commit(Commit(revocations=revocations, spends=spends))
    except AlreadyRevoked as error:
        raise already_revoked(request.serial_number) from error
    for each in revocations:
        event = Revoked(
            revocation=each,
            at=each.revoked_at,
            request_id=each.request_id,
            subject=asker.subject,
            evidence=asker.evidence,
        )
        authority.listeners.tell(event)


def already_revoked(serial_number: int | None) -> AlreadyRevoked:
    """In the words that clients know it by."""
    return AlreadyRevoked(f"certificate with serial number '{serial_number}' is already revoked")
