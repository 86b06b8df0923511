"""The line, for the end of SSH certificates: decode → authorize → record."""

from collections.abc import Iterable
from dataclasses import replace

from mica.authority import Authority
from mica.authorization import authorize
from mica.denials import Telling
from mica.errors import AlreadyRevoked, CertificateRevoked, Conflict, MalformedRequest, NotFound, Refused
from mica.grants import Grant, Operation, Revoke, RevokeAny, RevokeHeld, RevokeKeyId
from mica.records import CertificateId, CertificateKind, Issuance, Query, SpentToken, Status
from mica.requests import SSHRevokeRequest
from mica.revocation import Asker, already_revoked, record
from mica.sshcert import CertType
from mica.sshissuance import ssh_issuer
from mica.sshissuers import SSHIssuer, id_of
from mica.sshrenewal import decode_held, on_record

#: How often the certificates of a key id are looked up anew: until none is found that is still good.
_ATTEMPTS = 10


async def revoke_ssh(authority: Authority, request: SSHRevokeRequest, token: str) -> None:
    """What the request names is on record as revoked, the token spent.

    Raises Unauthorized, Refused, MalformedRequest, AlreadyRevoked, NotFound (no certificate has the key id), Conflict,
    Unsupported.
    """
    ssh = ssh_issuer(authority)
    with Telling(authority, Operation.SSH_REVOKE) as denial:
        grant, _ = await authorize(authority, token, Operation.SSH_REVOKE)
        denial.grant = grant
        _require_permitted(request, grant)
        async with authority.in_flight.hold(grant) as spends:
            if request.key_id is not None:
                await _end_key_id(authority, ssh, request, request.key_id, Asker.of(grant), spends)
            else:
                ids = await _identify(authority, ssh, request, grant)
                await record(authority, ids, request, Asker.of(grant), spends)


def _require_permitted(request: SSHRevokeRequest, grant: Grant) -> None:
    """The grant permits the end of what the request names, which is one thing; raises Refused, MalformedRequest."""
    (permit,) = grant.permits
    if (request.serial_number is None) == (request.key_id is None):
        # With both, the permit for the one would stand for the other as well.
        raise MalformedRequest("a serial number or a key id must be given, and not both")
    if isinstance(permit, RevokeKeyId):
        permitted = request.key_id == permit.key_id
    elif isinstance(permit, RevokeHeld):
        permitted = request.serial_number == decode_held(permit.certificate).tbs.serial
    elif isinstance(permit, RevokeAny) and permit.kind is CertificateKind.SSH:
        permitted = True
    elif isinstance(permit, Revoke) and permit.kind is CertificateKind.SSH:
        permitted = request.serial_number in permit.serial_numbers
    else:
        raise Refused("the grant does not permit the revocation of an SSH certificate")
    if not permitted:
        asked = ("serial number", request.serial_number) if request.key_id is None else ("key id", request.key_id)
        raise Refused(f'request {asked[0]} "{asked[1]}" and token subject "{grant.subject}" do not match')


async def _identify(
    authority: Authority, ssh: SSHIssuer, request: SSHRevokeRequest, grant: Grant
) -> tuple[CertificateId, ...]:
    """The certificates that the request means, none of them revoked; raises AlreadyRevoked, Unauthorized."""
    (permit,) = grant.permits
    if isinstance(permit, RevokeHeld):
        certificate = decode_held(permit.certificate)
        try:
            return ((await on_record(authority, ssh, certificate, grant.provisioner)).id,)
        except CertificateRevoked as error:
            raise already_revoked(certificate.tbs.serial) from error
    assert request.serial_number is not None, "the one or the other is set"
    return await _of_serial(authority, ssh, request.serial_number)


async def _of_serial(authority: Authority, ssh: SSHIssuer, serial: int) -> tuple[CertificateId, ...]:
    """The certificate on record with that serial; if there is none, the one of each CA key that may exist."""
    possible = [id_of(key, serial) for _, key in ssh.all_keys()]
    recorded = [id for id in possible if await authority.store.find(id) is not None]
    live = tuple([id for id in recorded or possible if await authority.store.revocation(id) is None])
    if not live:
        raise already_revoked(serial)
    return live


async def _end_key_id(
    authority: Authority,
    ssh: SSHIssuer,
    request: SSHRevokeRequest,
    key_id: str,
    asker: Asker,
    spends: tuple[SpentToken, ...],
) -> None:
    """No certificate of the key id is good any more; raises NotFound when none was, Conflict when there are ever more.

    What is found may be renewed before its end is on record, and never after: so it is looked for until there is none.
    """
    is_recorded = False
    for _ in range(_ATTEMPTS):
        ids = await _of_key_id(authority, ssh, key_id)
        if not ids and is_recorded:
            return
        if not ids:
            raise NotFound(f"no certificate with the key id {key_id[:200]!r} is on record and still good")
        try:
            await record(authority, ids, request, asker, () if is_recorded else spends)
            is_recorded = True
        except AlreadyRevoked:
            continue  # one of them has been revoked meanwhile, by another request
    raise Conflict(f"certificates with the key id {key_id[:200]!r} are issued faster than they are revoked; try again")


async def _of_key_id(authority: Authority, ssh: SSHIssuer, key_id: str) -> tuple[CertificateId, ...]:
    """Every certificate of the key id that is not revoked: users' that have not expired, hosts' that have as well."""
    query = Query(now=authority.now(), kind=CertificateKind.SSH, subject=key_id)
    found = await _all(authority, replace(query, status=Status.VALID))
    hosts = tuple(key.digest for key in ssh.keys[CertType.HOST])
    if hosts:  # a query without issuers is for everybody's
        # What has expired may be renewed where the claims allow it, today or once they do.
        found += await _all(authority, replace(query, status=Status.EXPIRED, issuers=hosts))
    before = await _unrecorded_before(authority, found) if ssh.renew_unrecorded else ()
    return *(each.id for each in found), *before


async def _all(authority: Authority, query: Query) -> tuple[Issuance, ...]:
    """Every certificate that the query means, whatever number of pages that is."""
    found: list[Issuance] = []
    more = True
    while more:
        page = await authority.store.search(query)
        found += [row.issuance for row in page.rows]
        query, more = replace(query, cursor=page.next_cursor), bool(page.next_cursor)
    return tuple(found)


async def _unrecorded_before(authority: Authority, issuances: Iterable[Issuance]) -> tuple[CertificateId, ...]:
    """What these continue and is not on record, an earlier CA's, unless it is revoked: it could be renewed again."""
    replaced = dict.fromkeys(each.replaces for each in issuances if each.replaces is not None)
    return tuple(
        [
            id
            for id in replaced
            if await authority.store.find(id) is None and await authority.store.revocation(id) is None
        ]
    )
