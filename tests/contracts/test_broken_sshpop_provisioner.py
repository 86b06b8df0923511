"""TokenProvisionerContract catches every broken copy of the SSHPOP provisioner."""

from tests.contracts.trials import BrokenCopies


class TestBrokenSSHPOPProvisioners(BrokenCopies):
    """A provisioner that continues what is another's, or is over, is caught."""

    role = "sshpop_provisioner"
