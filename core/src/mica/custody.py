"""What plugins are shown comes back as it was: a frozen dataclass is frozen only for whoever keeps to it.

``object.__setattr__`` writes into any of them, and whoever asks next would see, sign or record what a plugin has
written. So it is remembered what was lent, compared afterwards, and put right.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter, is_
from typing import Any, NamedTuple

#: Types in which nothing could be changed: what most fields hold, and whatever else was met that is no dataclass.
_LEAVES = {str, int, bytes, bool, datetime, type(None)}


class _Shape(NamedTuple):
    """How the values of a dataclass are had at once."""

    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]


class Custody:
    """Dataclasses that are lent, with everything in them, as they were at the beginning."""

    __slots__ = ("_lent",)

    def __init__(self, *lent: object) -> None:
        self._lent: list[tuple[Any, _Shape, tuple[Any, ...]]] = []
        left: list[Any] = [lent]
        for value in left:  # which grows meanwhile
            if isinstance(value, tuple):
                members = value
            elif (shape := _SHAPES.get(type(value)) or _learnt(type(value))) is not None:
                members = shape.values(value)
                self._lent.append((value, shape, members))
            else:
                continue
            left += [member for member in members if type(member) not in _LEAVES]

    def restore(self) -> bool:
        """Whether anything had been changed. All of it is as it was."""
        changed = [lent for lent in self._lent if not _as_it_was(*lent)]
        for value, shape, before in changed:
            _put_back(value, shape.names, before)
        return bool(changed)


_SHAPES: dict[type[Any], _Shape] = {}


def _learnt(kind: type[Any]) -> _Shape | None:
    """The shape of a type that is met for the first time; None where there is nothing to watch."""
    names = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
    if names:
        _SHAPES[kind] = _Shape(names, _reader(names, keeps=kind.__dictoffset__ != 0))
    else:
        _LEAVES.add(kind)
    return _SHAPES.get(kind)


def _reader(names: tuple[str, ...], *, keeps: bool) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the values of the fields and, of a class that keeps what it has computed, that as well."""
    getter: Any = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    if not keeps:
        return getter  # type: ignore[no-any-return]
    # The fields came first into ``__dict__``: ``__init__`` has put them there.
    return lambda value: (*getter(value), *islice(value.__dict__.values(), len(names), None))


def _as_it_was(value: Any, shape: _Shape, before: tuple[Any, ...]) -> bool:
    """Whether nothing was replaced or taken away; something may have been computed since."""
    try:
        now = shape.values(value)
    except AttributeError:  # even a slot can be emptied
        return False
    return len(now) >= len(before) and all(map(is_, now, before))


def _put_back(value: Any, names: tuple[str, ...], before: tuple[Any, ...]) -> None:
    if (kept := getattr(value, "__dict__", None)) is not None:
        kept.clear()  # what was computed is computed anew
    for name, member in zip(names, before, strict=False):
        object.__setattr__(value, name, member)
