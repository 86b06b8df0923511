"""Where the store under test keeps what it is told."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from mica.errors import MicaError
from mica.records import Commit
from mica.roles import Store


class Placed:
    """Tests of a store that can be opened again, and twice at a time, at one durable place."""

    def open_store(self, directory: Path) -> AbstractAsyncContextManager[Store]:
        """A started store, closed at the end, that keeps its records below ``directory``, which exists.

        What one call has left there, the next finds. Several may be open at once, as in several processes.
        """
        raise NotImplementedError


async def attempt(store: Store, commit: Commit) -> MicaError | None:
    """The commit is on record, or why it is not is returned."""
    try:
        await store.commit(commit)
    except MicaError as error:
        return error
    return None


async def is_whole(store: Store, commit: Commit) -> bool:
    """Whether everything of ``commit`` is on record; a failure when only some of it is."""
    parts = [await store.find(issuance.id) == issuance for issuance in commit.issuances]
    parts += [await store.revocation(revocation.id) == revocation for revocation in commit.revocations]
    parts += [await store.is_spent(token) for token in commit.spends]
    assert len(set(parts)) == 1, f"a part of a commit is on record without the others ({parts}); do all or nothing"
    return parts[0]
