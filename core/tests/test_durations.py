"""Durations are read and written as Go does it, times as RFC 3339 has them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mica.durations import format_go, parse_duration, parse_time, parse_time_or_duration
from mica.errors import MalformedRequest


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta()),
        ("0s", timedelta()),
        ("24h", timedelta(hours=24)),
        ("1h30m", timedelta(minutes=90)),
        ("1h30m0s", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("5.s", timedelta(seconds=5)),
        ("-1h", timedelta(hours=-1)),
        ("+5m", timedelta(minutes=5)),
        ("100us", timedelta(microseconds=100)),
        ("100µs", timedelta(microseconds=100)),
        ("100μs", timedelta(microseconds=100)),
        ("1500ns", timedelta(microseconds=2)),
        ("1m1h", timedelta(minutes=61)),
        ("0.1h", timedelta(minutes=6)),
        # What Go lacks, and people want.
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("1d12h", timedelta(hours=36)),
    ],
)
def test_what_go_reads_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "-", "+", ".", "s", ".s", "1h ", " 1h", "1 h", "1H", "--1h", "+-1h", "1h-30m", "1e3s", "0x1h", "1h\n",
        "1,5h", "1y", "1M", "-0", "00", "١h", "１h", "1.2.3s", "9" * 30 + "w", "9" * 65 + "s", "∞",
    ],
)  # fmt: skip
def test_what_go_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(hours=24), "24h0m0s"),
        (timedelta(hours=48, minutes=1), "48h1m0s"),
        (timedelta(minutes=5), "5m0s"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(milliseconds=500), "500ms"),
        (timedelta(milliseconds=1, microseconds=500), "1.5ms"),
        (timedelta(microseconds=7), "7µs"),
        (timedelta(hours=-1, minutes=-30), "-1h30m0s"),
        (timedelta(days=3650), "87600h0m0s"),
        (timedelta(hours=1, milliseconds=10), "1h0m0.01s"),
    ],
)
def test_durations_are_written_as_go_writes_them(duration: timedelta, text: str) -> None:
    assert format_go(duration) == text


@given(st.timedeltas())
def test_what_is_written_is_read_again(duration: timedelta) -> None:
    assert parse_duration(format_go(duration)) == duration


@given(st.text(max_size=80))
@example("9" * 63 + "w")
@example("0000-01-01T00:00:00Z")
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
@example("2031-02-30T00:00:00Z")
@example("2031-03-14T24:00:00Z")
@example("2031-03-14T09:26:60Z")
@example("2031-03-14T09:26:53+99:99")
@example("2031-03-14T09:26:53." + "1" * 40 + "Z")
def test_arbitrary_text_is_a_time_a_duration_or_refused(text: str) -> None:
    try:
        moment = parse_time_or_duration(text)
    except MalformedRequest:
        return
    assert isinstance(moment, timedelta) or moment.utcoffset() == timedelta()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2031-03-14T09:26:53Z", datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)),
        ("2031-03-14t09:26:53z", datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)),
        ("2031-03-14T11:26:53+02:00", datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)),
        ("2031-03-14T09:26:53.5Z", datetime(2031, 3, 14, 9, 26, 53, 500000, tzinfo=UTC)),
        ("2031-03-14T09:26:53.123456789Z", datetime(2031, 3, 14, 9, 26, 53, 123456, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_rfc_3339_has_them(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment
    assert parse_time_or_duration(text) == moment


@pytest.mark.parametrize(
    "text",
    ["2031-03-14", "2031-03-14T09:26:53", "2031-03-14 09:26:53Z", "20310314T092653Z", "2031-W11-5", "now", "1h Z"],
)
def test_other_forms_of_time_are_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        parse_time(text)


def test_a_duration_stays_one_where_either_is_allowed() -> None:
    assert parse_time_or_duration("1h") == timedelta(hours=1)
    assert parse_time_or_duration("0") == timedelta()
