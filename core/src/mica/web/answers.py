"""Answers: JSON as step-ca writes it, PEM, and what the log line of the request shall mention."""

import base64
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from mica.records import Issuance
from mica.web.errors import message_of, status_of

#: When it may go better, in seconds (RFC 9110 §10.2.3).
RETRY_AFTER = "5"

_FACTS = "mica.facts"
#: What the server side of a client's own TLS may use; step's bootstrap client copies it.
_TLS_OPTIONS = {
    "cipherSuites": [
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ],
    "minVersion": 1.2,
    "maxVersion": 1.3,
    "renegotiation": False,
}


class JSON(Response):
    """A JSON value, compact, with one newline behind it."""

    media_type = "application/json"

    def __init__(self, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        super().__init__(json.dumps(value, separators=(",", ":")).encode() + b"\n", status)


class EncodedJSON(Response):
    """JSON that is encoded already."""

    media_type = "application/json"


def failure(error: BaseException) -> Response:
    """What a client is told about ``error``."""
    status = status_of(error)
    return error_answer(status, message_of(error))


def error_answer(status: HTTPStatus, message: str) -> Response:
    """``{"status":…,"message":…}``."""
    response = JSON({"status": status.value, "message": message}, status)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        response.headers["connection"] = "close"  # the rest of the body is not read
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["retry-after"] = RETRY_AFTER
    return response


def note(request: Request, **facts: object) -> None:
    """The access line of this request carries ``facts``."""
    request.scope.setdefault(_FACTS, {}).update(facts)


def noted(request: Request) -> Mapping[str, object]:
    """The facts that the request's access line carries."""
    facts: Mapping[str, object] = request.scope.get(_FACTS, {})
    return facts


def note_issuance(request: Request, issuance: Issuance) -> None:
    """The access line tells which certificate was issued."""
    note(
        request,
        serial=str(issuance.id.serial_number),  # beyond what JSON numbers hold everywhere
        subject=issuance.subject,
        provisioner=issuance.provisioner.name,
        names=issuance.names,
        not_after=issuance.not_after.isoformat(),
    )


def pem(der: bytes) -> str:
    """The certificate as PEM (RFC 7468 §5)."""
    return _pem(der, b"\n").decode()


def certificate_answer(certificate: bytes, chain: tuple[bytes, ...]) -> Response:
    """201 with the leaf, its issuer, the whole chain without the root, and TLS options."""
    leaf = _pem(certificate, rb"\n")
    between, behind = _around(chain)
    return EncodedJSON(b'{"crt":"%b%b%b%b' % (leaf, between, leaf, behind), HTTPStatus.CREATED)


@lru_cache(maxsize=16)
def _around(chain: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """What stands between the two places of the leaf in the JSON, and behind the second: constant for a chain."""
    issuers = [_pem(der, rb"\n") for der in chain]
    between = b'","ca":"%b","certChain":["' % (issuers[0] if issuers else b"")
    rest = b"".join(b'","%b' % issuer for issuer in issuers)
    options = json.dumps(_TLS_OPTIONS, separators=(",", ":")).encode()
    return between, rest + b'"],"tlsOptions":%b}\n' % options


def _pem(der: bytes, newline: bytes) -> bytes:
    """PEM with this line end; within a JSON string it is written ``\\n``."""
    text = base64.b64encode(der)
    lines: Iterable[bytes] = (text[i : i + 64] for i in range(0, len(text), 64))
    return newline.join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))
