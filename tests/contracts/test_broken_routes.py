"""RoutesContract catches every broken copy of the SSH routes."""

from tests.contracts.trials import BrokenCopies


class TestBrokenRoutes(BrokenCopies):
    """A route that fails, shows too much or believes too much is caught."""

    role = "routes"
