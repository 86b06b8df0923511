"""The suite of X.509 signers asks a signer for the kinds of key that it says it serves."""

from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mica import ConfigError, SignerContext, X509Signer
from mica.testing import X509SignerContract


class Chained:
    """Of a signer, its chain; every certificate of it has an Ed25519 key, or the test is wrong."""

    algorithm = b""

    def __init__(self, context: SignerContext) -> None:
        self.chain = context.chain
        assert all(isinstance(certificate.public_key(), Ed25519PublicKey) for certificate in self.chain)
        if not self.chain or self.chain[0].public_key() != context.key.public_key():
            raise ConfigError(["key: must be the key of the first certificate"])
        try:
            for certificate, issuer in pairwise(self.chain):
                certificate.verify_directly_issued_by(issuer)
        except (ValueError, InvalidSignature) as error:
            raise ConfigError(["certificate: must be followed by its issuers"]) from error

    async def sign(self, tbs: bytes) -> bytes:
        raise AssertionError("nothing is signed here")


class Contract(X509SignerContract):
    def build(self, context: SignerContext) -> X509Signer:
        return Chained(context)


async def test_chains_out_of_order_have_the_keys_that_the_signer_serves() -> None:
    await Contract().test_a_chain_out_of_order_is_refused("Ed25519")
