"""What is written together: the head and the body of an answer, and the log lines of one turn of the event loop."""

import asyncio
import logging
from typing import TextIO, cast

import pytest

from mica.logs import TextFormatter, TurnHandler
from mica.web.protocol import _WholeAnswer


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Stream:
    """A text stream that keeps each write."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None: ...


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def log(stream: Stream) -> logging.Logger:
    logger = logging.Logger("test")
    handler = TurnHandler(cast("TextIO", stream))
    handler.setFormatter(TextFormatter())
    logger.addHandler(handler)
    return logger


def test_the_head_of_an_answer_goes_with_its_body() -> None:
    wire = Wire()
    answer = _WholeAnswer(wire)
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    answer.write(b"one")
    answer.write(b"two")
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\none", b"two"]


def test_a_head_without_a_body_is_sent_when_the_connection_ends() -> None:
    wire = Wire()
    answer = _WholeAnswer(wire)
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    answer.close()
    assert wire.written == [b"HTTP/1.1 200 OK\r\n\r\n"]
    assert answer.is_closing()


async def test_the_lines_of_one_turn_are_one_write(stream: Stream, log: logging.Logger) -> None:
    log.info("one")
    log.info("two")
    assert stream.written == []
    await asyncio.sleep(0)
    (text,) = stream.written
    assert [line.split()[-1] for line in text.splitlines()] == ["one", "two"]


async def test_a_warning_is_written_at_once_with_what_came_before(stream: Stream, log: logging.Logger) -> None:
    log.info("one")
    log.warning("two")
    assert len(stream.written) == 1
    assert stream.written[0].count("\n") == 2
    await asyncio.sleep(0)
    assert len(stream.written) == 1


def test_without_an_event_loop_each_line_is_written(stream: Stream, log: logging.Logger) -> None:
    log.info("one")
    log.info("two")
    assert len(stream.written) == 2
