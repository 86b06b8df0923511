"""The one table from error classes to HTTP statuses, and what a client is told.

The sentences are step-ca's (``docs/compatibility.md``): its clients show them as they are. Who could not be
authorized learns no reason; it goes to the log, under the request id.
"""

from http import HTTPStatus

from mica.errors import (
    ConfigError,
    Conflict,
    MalformedRequest,
    MicaError,
    NotFound,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
    told,
)

STATUSES: dict[type[MicaError], HTTPStatus] = {
    MalformedRequest: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Refused: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Unsupported: HTTPStatus.NOT_IMPLEMENTED,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigError: HTTPStatus.INTERNAL_SERVER_ERROR,  # only at start-up, so never met by a client
    MicaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_TAIL = " Please see the certificate authority logs for more info."
_GENERIC = {
    HTTPStatus.BAD_REQUEST: "The request could not be completed; malformed or missing data.",
    HTTPStatus.UNAUTHORIZED: "The request lacked necessary authorization to be completed.",
    HTTPStatus.FORBIDDEN: "The request was forbidden by the certificate authority.",
    HTTPStatus.NOT_FOUND: "The requested resource could not be found.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The certificate authority encountered an Internal Server Error.",
    HTTPStatus.NOT_IMPLEMENTED: "The requested method is not implemented by the certificate authority.",
}
_PREFIXES = {
    HTTPStatus.BAD_REQUEST: "The request could not be completed: ",
    HTTPStatus.FORBIDDEN: "The request was forbidden by the certificate authority: ",
}
#: What does not answer (a path, a host, a driver's words) is the operator's business, not the client's.
_UNAVAILABLE = "The certificate authority cannot complete the request now. Please try again later."


def status_of(error: BaseException) -> HTTPStatus:
    """The status that answers ``error``: its nearest class in the table, 500 for anything else."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def message_of(error: BaseException) -> str:
    """What the client is told about ``error``."""
    status = status_of(error)
    if isinstance(error, Unauthorized):
        return error.public if isinstance(error.public, str) and error.public else generic(status)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return _UNAVAILABLE
    text = told(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR or not text:
        return generic(status)
    prefix = _PREFIXES.get(status)
    return f"{prefix}{text}." if prefix else text


def generic(status: HTTPStatus) -> str:
    """The sentence for ``status`` when there is nothing more to say."""
    unexpected = f"The certificate authority received an unexpected HTTP status code - '{status.value}'."
    return _GENERIC.get(status, unexpected) + _TAIL
