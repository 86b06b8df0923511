"""SSHSignerContract catches every broken copy of the SSH signer."""

from tests.contracts.trials import BrokenCopies


class TestBrokenSSHSigners(BrokenCopies):
    """A signer that mixes up keys, octets or types is caught."""

    role = "ssh_signer"
