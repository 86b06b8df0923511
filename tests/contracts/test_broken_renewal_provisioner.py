"""RenewalProvisionerContract catches every broken copy of the JWK provisioner."""

from tests.contracts.trials import BrokenCopies


class TestBrokenRenewalProvisioners(BrokenCopies):
    """A provisioner that renews what it must not is caught."""

    role = "renewal_provisioner"
