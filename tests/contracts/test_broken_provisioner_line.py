"""ProvisionerLineContract catches every broken copy of the JWK provisioner that only a whole authority shows."""

from tests.contracts.trials import BrokenCopies


class TestBrokenProvisionersOnTheLine(BrokenCopies):
    """A provisioner that forgets, mixes up or tells something between request and record is caught."""

    role = "provisioner_line"
