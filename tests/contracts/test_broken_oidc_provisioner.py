"""TokenProvisionerContract catches every broken copy of the OIDC provisioner."""

from tests.contracts.trials import BrokenCopies


class TestBrokenOIDCProvisioners(BrokenCopies):
    """A provisioner that believes the wrong login is caught."""

    role = "oidc_provisioner"
