"""Every error has one status, and clients are told what step's server would tell them."""

import inspect
import json

import pytest

import mica.errors
from mica.errors import (
    AlreadyRevoked,
    CertificateRevoked,
    MalformedRequest,
    MicaError,
    NotFound,
    Refused,
    TokenReused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from mica.web.answers import failure
from mica.web.errors import STATUSES, message_of, status_of


def subclasses(kind: type[MicaError]) -> set[type[MicaError]]:
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


def test_every_error_class_has_a_status() -> None:
    for kind in subclasses(MicaError):
        nearest = next(ancestor for ancestor in kind.__mro__ if ancestor in STATUSES)
        assert nearest is not MicaError or kind is MicaError, f"{kind} needs a line in STATUSES"


def test_the_table_lists_only_classes_of_the_hierarchy() -> None:
    known = {kind for _, kind in inspect.getmembers(mica.errors, inspect.isclass) if issubclass(kind, MicaError)}
    assert set(STATUSES) <= known


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MalformedRequest("missing csr"), 400, "The request could not be completed: missing csr."),
        (AlreadyRevoked("it is"), 400, "The request could not be completed: it is."),
        (
            Refused("a is not allowed", "b neither"),
            403,
            "The request was forbidden by the certificate authority: a is not allowed; b neither.",
        ),
        (NotFound("no such root"), 404, "no such root"),
        (
            NotFound(""),
            404,
            "The requested resource could not be found. Please see the certificate authority logs for more info.",
        ),
        (TooLarge("too large"), 413, "too large"),
        (
            Unsupported(""),
            501,
            "The requested method is not implemented by the certificate authority. "
            "Please see the certificate authority logs for more info.",
        ),
    ],
)
def test_messages_are_built_as_step_builds_them(error: MicaError, status: int, message: str) -> None:
    assert (status_of(error), message_of(error)) == (status, message)


@pytest.mark.parametrize("kind", [Unauthorized, TokenReused, CertificateRevoked])
def test_who_is_not_authorized_learns_no_reason(kind: type[Unauthorized]) -> None:
    answer = failure(kind("the kid is unknown"))
    assert answer.status_code == 401
    assert json.loads(bytes(answer.body)) == {
        "status": 401,
        "message": "The request lacked necessary authorization to be completed. "
        "Please see the certificate authority logs for more info.",
    }


def test_who_is_not_authorized_learns_what_is_public() -> None:
    assert message_of(Unauthorized("secret", public="certificate expired")) == "certificate expired"


@pytest.mark.parametrize(
    "error", [Unavailable("/var/lib/ca.db is locked"), RuntimeError("/var/lib/ca.db"), MicaError("/x")]
)
def test_a_failure_of_ours_tells_no_detail(error: Exception) -> None:
    assert status_of(error) >= 500
    assert "/" not in message_of(error)


def test_an_answer_is_compact_json_with_one_newline() -> None:
    answer = failure(MalformedRequest("missing ott"))
    assert bytes(answer.body) == b'{"status":400,"message":"The request could not be completed: missing ott."}\n'
    assert answer.headers["content-type"] == "application/json"


def test_who_may_try_again_is_told_when() -> None:
    assert int(failure(Unavailable("the store is busy")).headers["retry-after"]) > 0
    assert "retry-after" not in failure(Unauthorized("no")).headers
