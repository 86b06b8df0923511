"""TokenSourceContract catches every broken copy of the JWK token source."""

from tests.contracts.trials import BrokenCopies


class TestBrokenTokenSources(BrokenCopies):
    """A source that orders something else, or gives a secret away, is caught."""

    role = "token_source"
