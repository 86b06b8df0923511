"""What must not be guessed is not: every bit that is said to be random falls either way."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mica.cli.ca.init_questions import generated_password
from mica.issuance import new_serial_number
from mica.sshissuance import new_serial

#: Of so many draws, each bit is set between a quarter and three quarters of the time: else, one run in 10¹² fails.
DRAWS = 400
NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("draw", "bits"), [(lambda: new_serial_number(NOW), 80), (new_serial, 64)], ids=["X.509", "SSH"]
)
def test_every_random_bit_of_a_serial_number_falls_either_way(draw: Callable[[], int], bits: int) -> None:
    drawn = [draw() for _ in range(DRAWS)]
    assert len(set(drawn)) == DRAWS
    for bit in range(bits):
        assert DRAWS / 4 < sum(number >> bit & 1 for number in drawn) < DRAWS * 3 / 4, bit


@pytest.mark.parametrize("year", [1970, 2031, 2106, 9999])
def test_a_serial_number_is_positive_and_has_at_most_20_octets_in_any_year(year: int) -> None:
    for _ in range(20):
        assert 0 < new_serial_number(NOW.replace(year=year)) < 1 << 159  # RFC 5280 §4.1.2.2


def test_a_password_that_is_made_is_another_each_time_and_no_letter_of_it_is_foretold() -> None:
    made = [generated_password() for _ in range(DRAWS)]
    assert {len(password) for password in made} == {32}
    assert len(set(made)) == DRAWS
    for place in range(32):
        assert len({password[place] for password in made}) > 40  # of 62
