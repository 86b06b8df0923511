"""What every store must do: a contract that a plugin's tests subclass.

class TestSQLiteStore(StoreContract):
    @asynccontextmanager
    async def open_store(self, directory):
        store = SQLiteStore(SQLiteConfig(), make_context(Clock(), directory))
        await store.start()
        yield store
        await store.aclose()

``mica.Store`` says what each method promises. What one ``open_store`` has left below ``directory``, the next finds.
``open_store`` is called in further processes too, on a bare instance of the class: it uses nothing but its arguments.
A store that can tell all that is revoked subclasses ``store_revocations.RevocationListContract`` besides.
"""

from mica.testing.store_commits import CommitContract
from mica.testing.store_crashes import CrashContract
from mica.testing.store_faults import FaultContract
from mica.testing.store_kinds import KindContract
from mica.testing.store_machine import ModelContract
from mica.testing.store_memory import MemoryContract
from mica.testing.store_races import RaceContract
from mica.testing.store_search import SearchContract


class StoreContract(
    CommitContract,
    KindContract,
    MemoryContract,
    RaceContract,
    SearchContract,
    ModelContract,
    CrashContract,
    FaultContract,
):
    """A store forgets nothing that matters, does all of a commit or nothing, and lets nobody overtake a revocation."""
