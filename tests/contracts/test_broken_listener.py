"""ListenerContract catches every broken copy of the audit log."""

from tests.contracts.trials import BrokenCopies


class TestBrokenListeners(BrokenCopies):
    """A listener that loses, spoils or holds up is caught."""

    role = "listener"
