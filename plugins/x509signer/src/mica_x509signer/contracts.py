"""The X.509 signer keeps the contract of every such signer, with each kind of key that it serves."""

from mica import SignerContext
from mica.testing.signers import X509SignerContract
from mica_x509signer.signer import X509KeySigner, X509SignerConfig


class TestX509KeySigner(X509SignerContract):
    """It signs with the key that it is given."""

    def build(self, context: SignerContext) -> X509KeySigner:
        return X509KeySigner(X509SignerConfig(), context)
