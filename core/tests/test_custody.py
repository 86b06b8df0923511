"""What was lent comes back as it was: fields, what hangs on them, and what an object has computed and kept."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from mica.custody import Custody


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Slotted, with a single field."""

    value: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """Keeps what it has computed."""

    names: tuple[Name, ...]
    number: int

    @cached_property
    def text(self) -> str:
        return ", ".join(name.value for name in self.names)


def order() -> Order:
    return Order(names=(Name(value="a.example"), Name(value="b.example")), number=7)


def test_what_nobody_touched_is_unchanged() -> None:
    lent = order()
    custody = Custody(lent)
    assert not custody.restore() and lent == order()


def test_what_was_computed_meanwhile_is_no_change() -> None:
    lent = order()
    custody = Custody(lent)
    assert lent.text == "a.example, b.example"
    assert not custody.restore() and "text" in vars(lent)


@pytest.mark.parametrize(
    ("field", "value"), [("number", 8), ("names", ()), ("names", (Name(value="a.example"), Name(value="b.example")))]
)
def test_a_field_that_was_replaced_is_put_back_even_if_it_was_by_its_equal(field: str, value: Any) -> None:
    lent = order()
    custody = Custody(lent)
    object.__setattr__(lent, field, value)
    assert custody.restore() and lent == order()
    assert not custody.restore()


def test_what_hangs_on_a_tuple_of_a_field_is_put_back() -> None:
    lent = order()
    custody = Custody(None, lent)
    object.__setattr__(lent.names[1], "value", "evil.example")
    assert custody.restore() and lent == order()


def test_what_was_computed_and_then_forged_is_computed_anew() -> None:
    lent = order()
    assert lent.text
    custody = Custody(lent)
    vars(lent)["text"] = "evil.example"
    assert custody.restore() and lent.text == "a.example, b.example"


def test_what_was_taken_away_is_given_back() -> None:
    lent = order()
    assert lent.text
    custody = Custody(lent)
    del vars(lent)["text"]
    assert custody.restore() and lent == order()


def test_a_field_that_was_removed_is_given_back() -> None:
    lent = order()
    custody = Custody(lent)
    object.__delattr__(lent, "number")
    object.__delattr__(lent.names[0], "value")
    assert custody.restore() and lent == order()
