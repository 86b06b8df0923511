"""KeyCreatorContract catches every broken copy of the file key backend."""

from tests.contracts.trials import BrokenCopies


class TestBrokenKeyBackends(BrokenCopies):
    """A key backend that gives out, loses or shows keys is caught."""

    role = "key_backend"
