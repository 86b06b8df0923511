"""What plugins are shown comes back as it was: a frozen dataclass is frozen only for whoever keeps to it.

``object.__setattr__`` writes into any of them, and whoever asks next would see, sign or record what a plugin has
written. So it is remembered what was lent, compared afterwards, and put right.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, is_
from typing import Any

#: What most fields hold; nothing is in them that could be changed.
_LEAVES = frozenset((str, int, bytes, bool, datetime, type(None)))


class Custody:
    """Dataclasses that are lent, with everything in them, as they were at the beginning."""

    __slots__ = ("_lent",)

    def __init__(self, *lent: object) -> None:
        self._lent = [(each, _values(each)) for one in lent for each in _dataclasses(one)]

    def restore(self) -> bool:
        """Whether anything had been changed. All of it is as it was."""
        changed = [(each, before) for each, before in self._lent if not _same(_values(each), before)]
        for each, before in changed:
            _put_back(each, before)
        return bool(changed)


def _dataclasses(value: object) -> Iterator[Any]:
    """``value`` and every dataclass that it holds, in tuples or not."""
    members: tuple[Any, ...] = ()
    if isinstance(value, tuple):
        members = value
    elif _names(value):
        yield value
        members = _values(value)
    for member in members:
        if type(member) not in _LEAVES:
            yield from _dataclasses(member)


def _values(value: Any) -> tuple[Any, ...]:
    """What its fields hold and, where it keeps what it has computed, that as well."""
    names = _names(value)
    found: tuple[Any, ...] = _getter(names)(value) if len(names) > 1 else (getattr(value, names[0]),)
    kept = getattr(value, "__dict__", None)
    return found if kept is None else (*found, *(member for name, member in kept.items() if name not in names))


def _same(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Whether nothing was replaced; something may have been computed since."""
    return len(now) >= len(before) and all(map(is_, now, before))


def _put_back(value: Any, before: tuple[Any, ...]) -> None:
    names = _names(value)
    if (kept := getattr(value, "__dict__", None)) is not None:
        kept.clear()  # what was computed is computed anew
    for name, member in zip(names, before, strict=False):
        object.__setattr__(value, name, member)


def _names(value: object) -> tuple[str, ...]:
    """The fields of a dataclass; none for anything else."""
    return _field_names(type(value))  # type: ignore[arg-type]  # mypy takes a type's hash for its instances'


@lru_cache(maxsize=256)
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


@lru_cache(maxsize=256)
def _getter(names: tuple[str, ...]) -> Any:
    return attrgetter(*names)
