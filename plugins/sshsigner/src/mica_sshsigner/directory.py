"""What anybody may ask: the CA's keys, a machine's configuration, which hosts there are and how they are reached."""

import base64
from collections.abc import Iterable, Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mica import (
    JSON,
    CertificateKind,
    CertType,
    MalformedRequest,
    NotFound,
    Query,
    Route,
    Services,
    SSHPublicKey,
    Status,
    decode_body,
    principals,
)
from mica_sshsigner.extension import BastionSettings, SSHService
from mica_sshsigner.keeping import Kept
from mica_sshsigner.patterns import Pattern, render_all
from mica_sshsigner.templates import host_configuration, user_configuration

Keys = Mapping[CertType, tuple[SSHPublicKey, ...]]
_PAGE = 1000
#: Seconds. Some forty thousand hosts: whoever has as many finds a new one in the list a little later.
_COSTLY = 2.0


def routes(services: Services, service: SSHService, hosts: Kept[bytes]) -> Iterable[Route]:
    """Everything that needs no token."""
    settings = service.settings
    own = {cert_type: services.ssh_keys(cert_type) for cert_type in CertType}
    every = {cert_type: own[cert_type] + service.federated[cert_type] for cert_type in CertType}
    config = partial(_config, every if any(own.values()) else {}, service.patterns)
    list_hosts = partial(_hosts, hosts if settings.list_hosts else None)
    return (
        Route("GET", "/ssh/roots", partial(_keys, own)),
        Route("GET", "/ssh/federation", partial(_keys, every)),
        Route("POST", "/ssh/config", config),
        Route("POST", "/ssh/config/{}", config),
        Route("POST", "/ssh/check-host", partial(_check_host, services, _host_issuers(services))),
        Route("GET", "/ssh/hosts", list_hosts),
        Route("GET", "/ssh/get-hosts", list_hosts),
        Route("POST", "/ssh/bastion", partial(_bastion, settings.bastion, any(own.values()))),
    )


def kept_hosts(services: Services) -> Kept[bytes]:
    """The answer to ``/ssh/hosts``, as it stood a moment ago."""
    return Kept(partial(_host_list, services, _host_issuers(services)), costly=_COSTLY)


async def host_names(services: Services, issuers: tuple[bytes, ...]) -> tuple[str, ...]:
    """The names in certificates of these issuers that are neither expired nor revoked, sorted, each once."""
    if not issuers:
        return ()  # a query without issuers is for everybody's
    found: set[str] = set()
    now, cursor, more = services.now(), "", True
    while more:
        query = Query(
            now=now, kind=CertificateKind.SSH, issuers=issuers, status=Status.VALID, cursor=cursor, limit=_PAGE
        )
        page = await services.search(query)
        found.update(name for row in page.rows for name in row.issuance.names)
        cursor, more = page.next_cursor, bool(page.next_cursor)
    return tuple(sorted(found))


async def _host_list(services: Services, issuers: tuple[bytes, ...]) -> bytes:
    names = await host_names(services, issuers)
    # Encoded once: there may be many hosts, and anybody may ask again and again.
    return bytes(JSON({"hosts": [{"hid": "", "host_tags": None, "hostname": name} for name in names]}).body)


async def _keys(keys: Keys, request: Request) -> Response:
    names = {CertType.USER: "userKey", CertType.HOST: "hostKey"}
    members = {
        names[cert_type]: [base64.b64encode(key.blob).decode() for key in found]
        for cert_type, found in keys.items()
        if found
    }
    if not members:
        raise NotFound("no keys found")
    return JSON(members)


async def _config(keys: Keys, patterns: Mapping[CertType, tuple[Pattern, ...]], request: Request) -> Response:
    body = await decode_body(request)
    if not keys:
        raise _unconfigured()
    type_, data = body.text("type") or "user", body.dictionary("data")
    if type_ == "user":
        rendered = user_configuration(data, keys[CertType.HOST]) + render_all(patterns[CertType.USER], data)
    elif type_ == "host":
        rendered = host_configuration(data, keys[CertType.USER]) + render_all(patterns[CertType.HOST], data)
    else:
        raise MalformedRequest(f"invalid type '{type_[:80]}'")
    return JSON({f"{type_}Templates": [each.describe() for each in rendered]})


async def _check_host(services: Services, issuers: tuple[bytes, ...], request: Request) -> Response:
    """Whether a host of this name was ever certified: one whose certificate has ended must not be trusted without."""
    body = await decode_body(request)
    if (type_ := body.text("type")) != "host":
        raise MalformedRequest(f"unsupported type '{type_[:80]}'")
    principal = principals.lowered(body.text("principal"))
    if not principal:
        raise MalformedRequest("missing or empty principal")
    if not issuers:
        return JSON({"exists": False})
    query = Query(now=services.now(), kind=CertificateKind.SSH, issuers=issuers, name=principal, limit=1)
    return JSON({"exists": bool((await services.search(query)).rows)})


async def _hosts(kept: Kept[bytes] | None, request: Request) -> Response:
    if kept is None:
        raise NotFound("ssh hosts list api disabled")
    return Response(await kept.get(), media_type="application/json")


async def _bastion(bastion: BastionSettings | None, is_configured: bool, request: Request) -> Response:
    hostname = (await decode_body(request)).text("hostname")
    if not hostname:
        raise MalformedRequest("missing or empty hostname")
    if not is_configured:
        raise _unconfigured()
    members: dict[str, object] = {"hostname": hostname}
    if bastion is not None and bastion.hostname.lower() != hostname.lower():
        members["bastion"] = bastion.describe()
    return JSON(members)


def _host_issuers(services: Services) -> tuple[bytes, ...]:
    """What certificates of hosts are recorded under."""
    return tuple(key.digest for key in services.ssh_keys(CertType.HOST))


def _unconfigured() -> NotFound:
    return NotFound("ssh is not configured")
