"""What became of each thing that the old CA's files say."""

from dataclasses import dataclass, field
from enum import StrEnum

from mica.cli.kit import printable, say, warn


class Outcome(StrEnum):
    """The three things that can become of it."""

    TAKEN_OVER = "taken over"
    NO_COUNTERPART = "no counterpart yet"
    TO_DO = "to do"
    """Nothing stands for it in ca.toml, and somebody must do something about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one of them."""

    item: str
    """Where the old CA has it: ``authority.backdate``."""
    outcome: Outcome
    detail: str
    to_do: str = ""

    @property
    def described(self) -> dict[str, str]:
        """As ``--json`` reports it."""
        said = {"item": self.item, "outcome": self.outcome.value, "detail": self.detail}
        return said | ({"to_do": self.to_do} if self.to_do else {})


@dataclass(slots=True)
class Findings:
    """All of it, in the order in which it was found; and what makes the import impossible."""

    found: list[Finding] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Where the new CA would allow what the old one refused."""

    def taken(self, item: str, detail: str, to_do: str = "") -> None:
        """``item`` stands in ca.toml, or in a file that it names."""
        self.found.append(Finding(item=item, outcome=Outcome.TAKEN_OVER, detail=detail, to_do=to_do))

    def missing(self, item: str, detail: str, to_do: str = "") -> None:
        """mica has nothing that ``item`` could become."""
        self.found.append(Finding(item=item, outcome=Outcome.NO_COUNTERPART, detail=detail, to_do=to_do))

    def left(self, item: str, detail: str, to_do: str) -> None:
        """``item`` is left to somebody."""
        self.found.append(Finding(item=item, outcome=Outcome.TO_DO, detail=detail, to_do=to_do))

    def tell(self) -> None:
        """Everything found is on stderr, by its outcome; then the warnings."""
        for outcome in Outcome:
            here = [finding for finding in self.found if finding.outcome is outcome]
            if here:
                say(f"{outcome.value.capitalize()}:")
            for finding in here:
                say(f"  {printable(finding.item)}: {printable(finding.detail)}")
                if finding.to_do:
                    say(f"    → {printable(finding.to_do)}")
        for warning in self.warnings:
            warn(warning)
