"""``/ssh/sign``, ``/ssh/renew``, ``/ssh/rekey``, ``/ssh/revoke``: from the wire to a request, and back to the wire."""

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mica import (
    JSON,
    Body,
    CertType,
    IssuedSSH,
    MalformedRequest,
    Route,
    Services,
    SSHPublicKey,
    SSHRenewRequest,
    SSHRevokeRequest,
    SSHSignRequest,
    Unsupported,
    decode_body,
    note,
    note_issuance,
    parse_time_or_duration,
)
from mica_sshsigner.keeping import Kept

_CERT_TYPES = {"": None, "user": CertType.USER, "host": CertType.HOST}
_SERIAL = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_MAX_SERIAL = 2**64 - 1
_DSA = b"\0\0\0\7ssh-dss"  # how a key of that type begins (RFC 4253 §6.6)
_MAX_KEY_ID = 4096  # it stands in a token, and those are limited anyway; here it goes to the log


def routes(services: Services, hosts: Kept[Any], krl: Kept[Any]) -> Iterable[Route]:
    """Everything that makes or ends an SSH certificate, after which ``hosts`` and ``krl`` are no longer what was."""
    return (
        Route("POST", "/ssh/sign", partial(_sign, services, hosts)),
        Route("POST", "/sign-ssh", partial(_sign, services, hosts)),
        Route("POST", "/ssh/renew", partial(_renew, services)),
        Route("POST", "/ssh/rekey", partial(_rekey, services)),
        Route("POST", "/ssh/revoke", partial(_revoke, services, hosts, krl)),
    )


async def _sign(services: Services, hosts: Kept[Any], request: Request) -> Response:
    body = await decode_body(request)
    cert_type = _cert_type(body)
    public_key = _public_key(body, "publicKey", missing="missing or empty publicKey")
    token = _token(body)
    wish = SSHSignRequest(
        public_key=public_key,
        cert_type=cert_type,
        principals=_principals(body),
        key_id=body.text("keyID"),
        valid_after=_time(body, "validAfter"),
        valid_before=_time(body, "validBefore"),
        add_user_public_key=_optional_public_key(body, "addUserPublicKey"),
    )
    issued = await services.sign_ssh(wish, token)
    if cert_type is not CertType.USER:  # where the request does not say, the token may have said a host's
        hosts.forget()
    return _issued(request, issued)


async def _renew(services: Services, request: Request) -> Response:
    token = _token(await decode_body(request))
    return _issued(request, await services.renew_ssh(SSHRenewRequest(), token))


async def _rekey(services: Services, request: Request) -> Response:
    body = await decode_body(request)
    token = _token(body)
    wish = SSHRenewRequest(public_key=_public_key(body, "publicKey", missing="missing or empty public key"))
    return _issued(request, await services.renew_ssh(wish, token))


async def _revoke(services: Services, hosts: Kept[Any], krl: Kept[Any], request: Request) -> Response:
    body = await decode_body(request)
    wish = _revocation(body)
    serial = None if wish.serial_number is None else str(wish.serial_number)
    note(request, serial=serial, key_id=wish.key_id, reason_code=wish.reason_code)
    await services.revoke_ssh(wish, body.required("ott"))
    hosts.forget()
    krl.forget()
    return JSON({"status": "ok"})


def _revocation(body: Body) -> SSHRevokeRequest:
    """What is to be revoked, its parts judged in step-ca's order; ``keyID`` is mica's own."""
    serial, key_id = body.text("serial"), body.text("keyID")
    if serial and key_id:
        raise MalformedRequest("serial and keyID cannot be given together")
    if len(key_id) > _MAX_KEY_ID or not key_id.isprintable():
        raise MalformedRequest(f"keyID must be printable, and have at most {_MAX_KEY_ID} characters")
    number = None if key_id else _serial_number(body.required("serial"))
    reason_code = body.integer("reasonCode")
    if not 0 <= reason_code <= 10:  # RFC 5280 §5.3.1
        raise MalformedRequest("reasonCode out of bounds")
    if not body.flag("passive"):
        raise Unsupported("")
    return SSHRevokeRequest(
        serial_number=number, key_id=key_id or None, reason_code=reason_code, reason=body.text("reason")
    )


def _serial_number(text: str) -> int:
    if _SERIAL.fullmatch(text) and int(text) <= _MAX_SERIAL:
        return int(text)
    raise MalformedRequest(f"'{text[:80]}' is not a valid serial number - use a base 10 representation")


def _cert_type(body: Body) -> CertType | None:
    text = body.text("certType")
    if text not in _CERT_TYPES:
        raise MalformedRequest(f"invalid certType '{text[:80]}'")
    return _CERT_TYPES[text]


def _token(body: Body) -> str:
    token = body.text("ott")
    if not token:
        raise MalformedRequest("missing or empty ott")
    return token


def _principals(body: Body) -> tuple[str, ...]:
    principals = body.strings("principals")
    if not all(principals):
        raise MalformedRequest("principals cannot contain empty values")
    return principals


def _public_key(body: Body, name: str, *, missing: str) -> SSHPublicKey:
    key = _optional_public_key(body, name)
    if key is None:
        raise MalformedRequest(missing)
    return key


def _optional_public_key(body: Body, name: str) -> SSHPublicKey | None:
    """The key whose blob stands under ``name`` in base64 (RFC 4648 §4), None when absent or empty."""
    text = body.text(name)
    if not text:
        return None
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: other characters than ASCII's
        raise MalformedRequest(f"error decoding json: {name} must be base64") from error
    if blob.startswith(_DSA):
        raise MalformedRequest("ssh certificate key algorithm (DSA) is not supported")
    return SSHPublicKey.decode(blob, f"error parsing {name}")


def _time(body: Body, name: str) -> datetime | timedelta | None:
    text = body.text(name)
    return parse_time_or_duration(text) if text else None


def _issued(request: Request, issued: IssuedSSH) -> Response:
    note_issuance(request, issued.issuance)
    members = {"crt": _encoded(issued.certificate)}
    if issued.add_user is not None:
        members["addUserCrt"] = _encoded(issued.add_user)
    return JSON(members, HTTPStatus.CREATED)


def _encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()
