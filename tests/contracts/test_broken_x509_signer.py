"""X509SignerContract catches every broken copy of the X.509 signer."""

from tests.contracts.trials import BrokenCopies


class TestBrokenX509Signers(BrokenCopies):
    """A signer that signs anything else, or with anything else, is caught."""

    role = "x509_signer"
