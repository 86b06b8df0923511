"""The members of a JSON object, as step-ca reads them: by name whatever its case, null and empty ones as if absent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_KINDS = {str: "a text", bool: "true or false", dict: "an object", list: "an array", int: "a number", float: "a number"}


@dataclass(slots=True)
class Members:
    """One object of the old configuration. What nobody asks for is left, so that nothing is lost in silence."""

    table: Mapping[str, Any]
    where: str
    """What stands before a member's name in messages: ``authority.``, or nothing."""
    faults: list[str] = field(default_factory=list)
    """What has another type than it must have. Shared with the objects inside."""
    _asked: set[str] = field(default_factory=set)

    def take(self, name: str) -> Any:
        """The member, None when it is absent. Go's decoder prefers the exact name, and then takes any case."""
        found = name if name in self.table else next((n for n in self.table if n.casefold() == name.casefold()), None)
        if found is None:
            return None
        self._asked.add(found)
        value = self.table[found]
        return None if value in ("", [], {}) else value

    def text(self, name: str) -> str:
        """The text, empty when it is absent or something else."""
        value = self._of(name, str)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Whether it is true."""
        return self._of(name, bool) is True

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of an array; one text counts as an array of it."""
        value = self.take(name)
        listed = [value] if isinstance(value, str) else value
        if listed is None:
            return ()
        if not isinstance(listed, list) or not all(isinstance(each, str) and each for each in listed):
            self._fault(name, "an array of texts", value)
            return ()
        return tuple(listed)

    def members(self, name: str) -> "Members":
        """The object, an empty one when it is absent."""
        value = self._of(name, dict)
        return Members(value if isinstance(value, dict) else {}, f"{self.where}{name}.", self.faults)

    def objects(self, name: str) -> tuple["Members", ...]:
        """The objects of an array."""
        value = self._of(name, list)
        if not isinstance(value, list):
            return ()
        if not all(isinstance(each, dict) for each in value):
            self._fault(name, "an array of objects", value)
            return ()
        return tuple(Members(each, f"{self.where}{name}[{n}].", self.faults) for n, each in enumerate(value))

    def rest(self) -> Iterator[str]:
        """The names of the members that say something, and that nobody asked for."""
        for name, value in self.table.items():
            if name not in self._asked and value is not None and value not in ("", [], {}, False):
                yield name

    def _of(self, name: str, kind: type) -> Any:
        value = self.take(name)
        if value is not None and type(value) is not kind:
            self._fault(name, _KINDS[kind], value)
        return value

    def _fault(self, name: str, expected: str, value: object) -> None:
        self.faults.append(f"{self.where}{name}: must be {expected}, not {_KINDS.get(type(value), 'null')}")
