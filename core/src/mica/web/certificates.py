"""``/sign``, ``/renew``, ``/rekey``, ``/revoke``: from the wire to a request, through the verb, back to the wire."""

import re
from collections.abc import Iterable
from functools import partial

from cryptography import x509
from starlette.requests import Request
from starlette.responses import Response

from mica.authority import Authority
from mica.csr import decode_csr
from mica.durations import parse_time_or_duration
from mica.errors import MalformedRequest, Unsupported
from mica.issuance import IssuedX509, sign_token
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest, TimeOrDuration
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.web.answers import JSON, certificate_answer, note, note_issuance
from mica.web.bodies import Body, decode_body
from mica.web.routing import Route

_SERIAL_NUMBER = re.compile(r"0x[0-9a-f]+|0o[0-7]+|0b[01]+|0|[1-9][0-9]*", re.ASCII | re.IGNORECASE)
_MAX_SERIAL_LENGTH = 2 + 20 * 8  # RFC 5280 §4.1.2.2: 20 octets, written in binary behind 0b


def routes(authority: Authority) -> Iterable[Route]:
    """Everything that makes or ends a certificate."""
    return (
        Route("POST", "/sign", partial(_sign, authority)),
        Route("POST", "/renew", partial(_renew, authority)),
        Route("POST", "/re-sign", partial(_renew, authority)),
        Route("POST", "/rekey", partial(_rekey, authority)),
        Route("POST", "/revoke", partial(_revoke, authority)),
    )


async def _sign(authority: Authority, request: Request) -> Response:
    body = await decode_body(request)
    csr, token = body.required("csr"), body.required("ott")
    wish = SignRequest(
        csr=decode_csr(csr),
        not_before=_time(body, "notBefore"),
        not_after=_time(body, "notAfter"),
    )
    return _issued(request, await sign_token(authority, wish, token))


async def _renew(authority: Authority, request: Request) -> Response:
    certificate = _client_certificate(request)
    if certificate is not None:
        return _issued(request, await renew(authority, RenewRequest(certificate=certificate)))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return _issued(request, await renew_by_token(authority, token.strip()))
    raise MalformedRequest("missing client certificate")


async def _rekey(authority: Authority, request: Request) -> Response:
    certificate = _client_certificate(request)
    if certificate is None:
        raise MalformedRequest("missing client certificate")
    csr = decode_csr((await decode_body(request)).required("csr"))
    return _issued(request, await renew(authority, RenewRequest(certificate=certificate, csr=csr)))


async def _revoke(authority: Authority, request: Request) -> Response:
    body = await decode_body(request)
    wish = _revocation(body)
    note(request, serial=str(wish.serial_number), reason_code=wish.reason_code)
    token = body.text("ott")
    if token:
        await revoke_by_token(authority, wish, token)
    else:
        certificate = _client_certificate(request)
        if certificate is None:
            raise MalformedRequest("missing ott or client certificate")
        await revoke_by_certificate(authority, wish, certificate)
    return JSON({"status": "ok"})


def _revocation(body: Body) -> RevokeRequest:
    """What is to be revoked, its parts judged in step-ca's order."""
    serial_number = _serial_number(body.required("serial"))
    reason_code = body.integer("reasonCode")
    if not 0 <= reason_code <= 10:  # RFC 5280 §5.3.1
        raise MalformedRequest("reasonCode out of bounds")
    if not body.flag("passive"):
        raise Unsupported("")
    return RevokeRequest(serial_number=serial_number, reason_code=reason_code, reason=body.text("reason"))


def _serial_number(text: str) -> int:
    """The number in base 10, or in the base that its prefix names; ``010`` could be either 8 or 10, and is refused."""
    if len(text) <= _MAX_SERIAL_LENGTH and _SERIAL_NUMBER.fullmatch(text):
        return int(text, 0)
    raise MalformedRequest(
        f"'{text[:_MAX_SERIAL_LENGTH]}' is not a valid serial number - use a base 10 representation "
        "or a base 16 representation with '0x' prefix"
    )


def _time(body: Body, name: str) -> TimeOrDuration | None:
    text = body.text(name)
    return parse_time_or_duration(text) if text else None


def _client_certificate(request: Request) -> x509.Certificate | None:
    """The certificate whose key the client proved to hold in this connection's handshake.

    Headers in which a reverse proxy would forward one are anybody's to send, and are not looked at.
    """
    chain = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    if not chain:
        return None
    try:
        return x509.load_der_x509_certificate(chain[0])
    except ValueError as error:
        raise MalformedRequest(f"the client certificate cannot be read: {error}") from error


def _issued(request: Request, issued: IssuedX509) -> Response:
    note_issuance(request, issued.issuance)
    return certificate_answer(issued.certificate, issued.chain)
