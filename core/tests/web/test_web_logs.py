"""One event, one line, and nothing in it that a terminal or a parser would obey."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica import logs

HOSTILE = 'a\nb\r\x1b[31m\x00\x7f\x85\x9b\u2028\u202e"\\ =é'
_plain = set(map(chr, range(0x20, 0x7F)))


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True


def written(form: logs.LogFormat, message: str, **fields: object) -> str:
    stream = io.StringIO()
    logs.configure(form, stream=stream)
    logging.getLogger("mica.test").warning(message, extra=logs.fields(**fields))
    return stream.getvalue()


def test_a_text_line_has_time_level_message_and_fields() -> None:
    line = written("text", "request", status=200, names=("a.example", "b.example"), subject="Jane Doe", nothing=None)
    assert line[:20].count("-") == 2 and line[23] == "Z"
    assert line[25:] == 'warning request status=200 names=a.example,b.example subject="Jane Doe"\n'


def test_a_json_line_has_the_same_members() -> None:
    line = json.loads(written("json", "request", status=200, names=("a", "b")))
    assert line.keys() == {"time", "level", "message", "status", "names"}
    assert (line["level"], line["status"], line["names"]) == ("warning", 200, ["a", "b"])


def test_the_request_id_is_in_every_line_of_a_request() -> None:
    token = logs.request_id.set("id-1")
    try:
        assert "request-id=id-1" in written("text", "x")
        assert json.loads(written("json", "x"))["request-id"] == "id-1"
    finally:
        logs.request_id.reset(token)


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.text() | st.just(HOSTILE))
def test_whatever_is_logged_stays_one_plain_line(form: logs.LogFormat, text: str) -> None:
    line = written(form, text, value=text, names=(text, text))
    assert line.endswith("\n")
    assert set(line[:-1]) <= _plain


def test_a_failure_is_one_line_with_its_cause_and_place() -> None:
    stream = io.StringIO()
    logs.configure("text", stream=stream)
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer\nline") from error
    except ValueError:
        logging.getLogger("mica.test").exception("failed")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert r'error="ValueError: outer\nline"' in line and "KeyError" in line and "test_web_logs.py" in line


def test_the_loggers_of_uvicorn_go_the_same_way() -> None:
    stream = io.StringIO()
    logs.configure("json", stream=stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("odd")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["odd"]
