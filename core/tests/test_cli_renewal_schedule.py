"""When a certificate is due and how long to wait, for every lifetime, clock and throw of the dice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mica.cli.renewal.schedule import USUAL, BackOff, Every, Lifetime, Threshold, due, is_due

BEGIN = datetime(2031, 3, 14, tzinfo=UTC)
SECOND, DAY, MOMENT = timedelta(seconds=1), timedelta(days=1), timedelta(milliseconds=1)

draws = st.floats(0, 1, exclude_max=True)
lengths = st.timedeltas(timedelta(seconds=10), timedelta(days=400))
lifetimes = st.builds(lambda length: Lifetime(start=BEGIN, end=BEGIN + length), lengths)
thresholds = st.one_of(
    st.builds(lambda left: Threshold(left=left), st.timedeltas(SECOND, timedelta(days=500))),
    st.builds(lambda share: Threshold(elapsed=share), st.floats(0.01, 0.99)),
    st.just(USUAL),
)
rules = st.one_of(
    thresholds, st.builds(lambda period: Every(period=period), st.timedeltas(SECOND, timedelta(days=500)))
)
moments = st.timedeltas(-DAY, timedelta(days=500)).map(lambda since: BEGIN + since)


@given(lifetimes, draws)
def test_a_new_certificate_is_due_at_two_thirds_or_up_to_a_twentieth_before(lifetime: Lifetime, draw: float) -> None:
    moment = due(lifetime, USUAL, now=lifetime.start, draw=draw)
    passed = (moment - lifetime.start) / lifetime.length
    assert 2 / 3 - 1 / 20 - 1e-5 <= passed <= 2 / 3 + 1e-5


def test_a_day_is_renewed_between_14_hours_48_minutes_and_16_hours() -> None:
    day = Lifetime(start=BEGIN, end=BEGIN + DAY)
    assert due(day, USUAL, now=BEGIN, draw=0) - BEGIN == timedelta(hours=16)
    assert due(day, USUAL, now=BEGIN, draw=1) - BEGIN == timedelta(hours=14, minutes=48)


@given(lifetimes, rules, moments, draws, st.booleans())
def test_nothing_is_due_in_the_past_or_before_it_is_valid(
    lifetime: Lifetime, rule: Threshold | Every, now: datetime, draw: float, fresh: bool
) -> None:
    assert due(lifetime, rule, now=now, draw=draw, fresh=fresh) >= max(now, lifetime.start)


@given(lifetimes, thresholds, draws, moments)
def test_what_has_passed_its_threshold_is_due_at_once(
    lifetime: Lifetime, threshold: Threshold, draw: float, now: datetime
) -> None:
    if now >= max(lifetime.end - threshold.remaining(lifetime), lifetime.start):
        assert due(lifetime, threshold, now=now, draw=draw) == now


@given(lifetimes, thresholds, draws, draws)
def test_jitter_never_makes_it_later(lifetime: Lifetime, threshold: Threshold, draw: float, elapsed: float) -> None:
    now = lifetime.start + lifetime.length * elapsed
    exact = due(lifetime, threshold, now=now, draw=0)
    jittered = due(lifetime, threshold, now=now, draw=draw)
    assert exact - lifetime.length / 20 - SECOND <= jittered <= exact


@given(lifetimes, rules, draws, st.floats(0, 0.999))
def test_what_was_just_obtained_is_kept_for_a_while_and_does_not_expire_meanwhile(
    lifetime: Lifetime, rule: Threshold | Every, draw: float, backdated: float
) -> None:
    now = lifetime.start + lifetime.length * backdated
    left = lifetime.end - now
    moment = due(lifetime, rule, now=now, draw=draw, fresh=True)
    least = max(left / 20 - MOMENT, SECOND)
    if isinstance(rule, Every) and left > rule.period:
        least = rule.period
    assert moment - now >= least
    assert moment - now <= max(left, SECOND)


@given(lifetimes, st.timedeltas(SECOND, timedelta(days=500)), draws)
def test_a_period_is_kept_to_the_letter_unless_the_certificate_ends_within_it(
    lifetime: Lifetime, period: timedelta, draw: float
) -> None:
    moment = due(lifetime, Every(period=period), now=lifetime.start, draw=draw)
    assert moment == lifetime.start + (period if lifetime.length > period else timedelta())


@given(lifetimes, thresholds, draws, moments)
def test_once_is_due_at_the_threshold_or_a_twentieth_of_it_earlier(
    lifetime: Lifetime, threshold: Threshold, draw: float, now: datetime
) -> None:
    left, remaining = lifetime.end - now, threshold.remaining(lifetime)
    answer = is_due(lifetime, threshold, now=now, draw=draw)
    assert answer if left <= remaining else not answer or left <= remaining * 1.05 + MOMENT


@given(st.integers(1, 10_000), st.timedeltas(timedelta(milliseconds=1), DAY), st.timedeltas(-DAY, DAY), draws)
def test_a_wait_has_a_ceiling_and_leaves_time_for_another_try(
    failures: int, ceiling: timedelta, left: timedelta, draw: float
) -> None:
    wait = BackOff(ceiling=ceiling).delay(failures, left=left, draw=draw)
    assert timedelta() < wait <= ceiling
    if left > timedelta(milliseconds=200):
        assert wait < left


@given(st.integers(1, 20), draws, draws)
def test_waits_grow_until_the_ceiling(failures: int, draw: float, other: float) -> None:
    back_off = BackOff(ceiling=timedelta(minutes=5))
    first = back_off.delay(failures, left=timedelta(), draw=draw)
    assert first <= back_off.delay(failures + 1, left=timedelta(), draw=other) or first >= timedelta(minutes=2.5)


def test_fifteen_days_without_the_ca_are_fewer_than_nine_thousand_tries() -> None:
    back_off, waited, tries = BackOff(), timedelta(), 0
    while waited < timedelta(days=15):
        tries += 1
        waited += back_off.delay(tries, left=timedelta(), draw=0)
    assert tries < 9000
