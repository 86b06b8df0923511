"""TokenProvisionerContract catches every broken copy of the JWK provisioner."""

from tests.contracts.trials import BrokenCopies


class TestBrokenTokenProvisioners(BrokenCopies):
    """A provisioner that believes too much, grants too much or tells too much is caught."""

    role = "token_provisioner"
