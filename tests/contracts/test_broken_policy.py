"""PolicyContract catches every broken copy of the policy."""

from tests.contracts.trials import BrokenCopies


class TestBrokenPolicies(BrokenCopies):
    """A policy that lets pass, forgets or spoils is caught."""

    role = "policy"
