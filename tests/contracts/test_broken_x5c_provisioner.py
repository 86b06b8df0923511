"""TokenProvisionerContract catches every broken copy of the X5C provisioner."""

from tests.contracts.trials import BrokenCopies


class TestBrokenX5CProvisioners(BrokenCopies):
    """A provisioner that believes the wrong chain or signer is caught."""

    role = "x5c_provisioner"
