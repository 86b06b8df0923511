"""``GET /ssh/krl``: what is revoked, as sshd's ``RevokedKeys`` takes it (OpenSSH PROTOCOL.krl)."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mica import CertificateKind, CertType, NotFound, Route, Services, SSHPublicKey
from mica.krl import KRL, RevokedCertificates
from mica_sshsigner.keeping import Kept

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SERIAL = 2**64 - 1
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A key revocation list, encoded."""

    octets: bytes
    etag: str
    """The same for lists that revoke the same, whenever and by whichever worker they were made (RFC 9110 §8.8.1)."""


def routes(services: Services, kept: Kept[RevocationList]) -> Iterable[Route]:
    """The one list of everything that this CA's keys have signed and that is revoked."""
    return (Route("GET", "/ssh/krl", partial(_krl, services, kept)),)


def kept_list(services: Services) -> Kept[RevocationList]:
    """The list, as it stood a moment ago."""
    return Kept(partial(make_list, services))


async def make_list(services: Services) -> RevocationList:
    """What is revoked now, by serial number, for each key of the CA; its version grows with the time.

    Raises Unsupported when the store cannot list what is revoked.
    """
    keys = [key for cert_type in CertType for key in services.ssh_keys(cert_type)]
    revoked = [(key, await _serials(services, key)) for key in keys]
    # Out of the loop: a hundred thousand numbers take long to sort into ranges and bitmaps.
    return await asyncio.to_thread(_encode, revoked, services.now(), services.url)


async def _serials(services: Services, key: SSHPublicKey) -> list[int]:
    """The revoked serial numbers of ``key``. What no certificate of ours can have would spoil the list, and is left."""
    found: list[int] = []
    after, more = -1, True
    while more:
        page = await services.revocations(CertificateKind.SSH, key.digest, after=after, limit=_PAGE)
        found += [each.id.serial_number for each in page]
        more = len(page) == _PAGE
        after = found[-1] if found else after
    return [serial for serial in found if 0 < serial <= _MAX_SERIAL]


def _encode(revoked: list[tuple[SSHPublicKey, list[int]]], now: datetime, url: str) -> RevocationList:
    certificates = tuple(RevokedCertificates.of(key, serials=serials) for key, serials in revoked if serials)
    digest = hashlib.sha256(b"".join(section.wire for section in certificates)).hexdigest()
    krl = KRL(
        version=(now - _EPOCH) // timedelta(microseconds=1),
        generated_date=now.replace(microsecond=0),
        comment=url,
        certificates=certificates,
    )
    return RevocationList(octets=krl.encode(), etag=f'W/"{digest[:32]}"')


async def _krl(services: Services, kept: Kept[RevocationList], request: Request) -> Response:
    if not any(map(services.ssh_keys, CertType)):
        raise NotFound("ssh is not configured")
    krl = await kept.get()
    # A cache may keep it, but must ask each time: who holds an old list lets in who has been locked out since.
    headers = {"etag": krl.etag, "cache-control": "no-cache"}
    if krl.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(None, 304, headers)
    return Response(krl.octets, 200, headers, media_type="application/octet-stream")
