"""The suite of the JWK provisioner with one kind of key, and the same turned on another provisioner."""

from tests.contracts.broken.jwk import TurnedJWK

from mica_jwk.contracts import TestP256


class Broken(TurnedJWK, TestP256):
    """The suite, whose subclasses are the broken copies."""
