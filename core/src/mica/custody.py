"""What plugins are shown comes back as it was: a frozen dataclass is frozen only for whoever keeps to it.

``object.__setattr__`` writes into any of them, and whoever asks next would see, sign or record what a plugin has
written. So it is remembered what was lent, compared afterwards, and put right.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from operator import attrgetter, is_
from typing import Any, NamedTuple

#: What most fields hold; nothing is in them that could be changed.
_LEAVES = frozenset((str, int, bytes, bool, datetime, type(None)))


class _Shape(NamedTuple):
    """How the values of a dataclass are had at once."""

    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    keeps: bool
    """Whether it keeps what it has computed."""


class Custody:
    """Dataclasses that are lent, with everything in them, as they were at the beginning."""

    __slots__ = ("_lent",)

    def __init__(self, *lent: object) -> None:
        self._lent: list[tuple[Any, _Shape, tuple[Any, ...]]] = []
        left = list(lent)
        while left:
            value = left.pop()
            members = value if isinstance(value, tuple) else self._take(value)
            left += [member for member in members if type(member) not in _LEAVES]

    def _take(self, value: object) -> tuple[Any, ...]:
        """What a dataclass holds, which is remembered; nothing of anything else."""
        shape = _SHAPES.get(type(value), _UNKNOWN)
        if shape is _UNKNOWN:
            shape = _SHAPES[type(value)] = _shape(type(value))
        if shape is None:
            return ()
        values = _values(value, shape)
        self._lent.append((value, shape, values))
        return values

    def restore(self) -> bool:
        """Whether anything had been changed. All of it is as it was."""
        changed = [(each, shape, was) for each, shape, was in self._lent if not _same(_values(each, shape), was)]
        for each, shape, before in changed:
            _put_back(each, shape.names, before)
        return bool(changed)


_UNKNOWN = _Shape((), lambda value: (), False)
#: By type; None for what is no dataclass.
_SHAPES: dict[type[Any], _Shape | None] = {}


def _shape(kind: type[Any]) -> _Shape | None:
    names = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
    if not names:
        return None
    getter: Any = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    return _Shape(names, getter, kind.__dictoffset__ != 0)


def _values(value: Any, shape: _Shape) -> tuple[Any, ...]:
    """What its fields hold and, where it keeps what it has computed, that as well."""
    found = shape.values(value)
    if not shape.keeps:
        return found
    return (*found, *(member for name, member in value.__dict__.items() if name not in shape.names))


def _same(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Whether nothing was replaced; something may have been computed since."""
    return len(now) >= len(before) and all(map(is_, now, before))


def _put_back(value: Any, names: tuple[str, ...], before: tuple[Any, ...]) -> None:
    if (kept := getattr(value, "__dict__", None)) is not None:
        kept.clear()  # what was computed is computed anew
    for name, member in zip(names, before, strict=False):
        object.__setattr__(value, name, member)
