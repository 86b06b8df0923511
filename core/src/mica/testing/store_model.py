"""A store as plain as can be: what every store must answer, one commit after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mica.errors import AlreadyRevoked, CertificateRevoked, Conflict, MicaError, TokenReused
from mica.records import CertificateId, Commit, Found, Issuance, Revocation, SpentToken

#: An answer to a commit: done, or the type of the error.
Answer = type[MicaError] | None


@dataclass(slots=True)
class Model:
    """What is on record, and what is forgotten."""

    issuances: dict[CertificateId, Issuance] = field(default_factory=dict)
    revocations: dict[CertificateId, Revocation] = field(default_factory=dict)
    spent: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When the tokens end, by provisioner and id."""
    forgotten: datetime | None = None
    """When the last of the tokens ended that were pruned."""

    def copy(self) -> "Model":
        """Another with the same records."""
        return Model(dict(self.issuances), dict(self.revocations), dict(self.spent), self.forgotten)

    def is_spent(self, token: SpentToken) -> bool:
        """What ``Store.is_spent`` answers."""
        past = self.forgotten is not None and token.until <= self.forgotten
        return past or (token.provisioner, token.id) in self.spent

    def refusals(self, commit: Commit) -> set[Answer]:
        """The answers of which a store may choose one; that it is done only where nothing speaks against it."""
        found: set[Answer] = set()
        if any(map(self.is_spent, commit.spends)) or _repeated(
            [(token.provisioner, token.id) for token in commit.spends]
        ):
            found.add(TokenReused)
        if any(id in self.revocations for id in commit.unless_revoked):
            found.add(CertificateRevoked)
        ended = [revocation.id for revocation in commit.revocations]
        if any(id in self.revocations for id in ended) or _repeated(ended):
            found.add(AlreadyRevoked)
        made = [issuance.id for issuance in commit.issuances]
        if any(id in self.issuances for id in made) or _repeated(made):
            found.add(Conflict)
        return found or {None}

    def do(self, commit: Commit) -> None:
        """``commit`` is on record."""
        self.issuances |= {issuance.id: issuance for issuance in commit.issuances}
        self.revocations |= {revocation.id: revocation for revocation in commit.revocations}
        self.spent |= {(token.provisioner, token.id): token.until for token in commit.spends}

    def prune(self, now: datetime) -> int:
        """What ``Store.prune`` does and answers."""
        ended = {key: until for key, until in self.spent.items() if until < now}
        for key in ended:
            del self.spent[key]
        self.forgotten = max([*ended.values(), *([self.forgotten] if self.forgotten else [])], default=None)
        return len(ended)

    def listed(self) -> list[Found]:
        """Everything that a search finds, newest first."""
        newest = reversed(self.issuances.values())
        return [Found(issuance=issuance, revocation=self.revocations.get(issuance.id)) for issuance in newest]

    def orders(self, commits: Sequence[tuple[Commit, Answer]]) -> Iterator["Model"]:
        """What is on record afterwards, for each order in which the commits could have been answered so."""
        if not commits:
            yield self
        for place, (commit, answer) in enumerate(commits):
            if answer in self.refusals(commit):
                after = self.copy()
                if answer is None:
                    after.do(commit)
                yield from after.orders([*commits[:place], *commits[place + 1 :]])


def _repeated(keys: Sequence[object]) -> bool:
    return len(set(keys)) < len(keys)
