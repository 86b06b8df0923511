"""A provisioner's suite with each kind of key that signs tokens: what holds for one algorithm must hold for all.

class Suite(Signer, TokenProvisionerContract):  # whose ``build`` and ``maker`` take ``self.key`` and ``self.alg``
class TestES256(Suite): ...
class TestOtherAlgorithms(EachAlgorithm, Suite): ...
"""

from functools import cache
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica.testing.makers import SigningKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


@cache
def signing_key(alg: str) -> SigningKey:
    """A key that signs by ``alg`` (RFC 7518 §3.1, RFC 8037 §3.1), the same one each time; RSA has one for all."""
    if alg in _CURVES:
        return ec.generate_private_key(_CURVES[alg]())
    return ed25519.Ed25519PrivateKey.generate() if alg == "EdDSA" else _rsa_key()


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Signer:
    """Whoever signs the tokens of a suite, by one algorithm."""

    alg: str = "ES256"

    @property
    def key(self) -> SigningKey:
        """The private key."""
        return signing_key(self.alg)


class EachAlgorithm(Signer):
    """Each test of the suite is run once for every one of ``algorithms``, which ``self.alg`` is then."""

    #: All that tokens are signed by, but the usual one, for which a suite has a class of its own.
    algorithms: ClassVar[tuple[str, ...]] = ("ES384", "ES512", "EdDSA", "RS256", "PS384")

    @pytest.fixture(autouse=True)
    def _signs_by(self, request: pytest.FixtureRequest) -> None:
        self.alg = request.param

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Asked by pytest, once for each test."""
        metafunc.parametrize("_signs_by", self.algorithms, indirect=True)
