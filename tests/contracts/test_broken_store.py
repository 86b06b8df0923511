"""StoreContract and RevocationListContract catch every broken copy of the SQLite store."""

from tests.contracts.trials import BrokenCopies


class TestBrokenStores(BrokenCopies):
    """A store that forgets, mixes up or does by halves is caught."""

    role = "store"
