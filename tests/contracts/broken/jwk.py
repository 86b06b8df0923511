"""The JWK provisioner as broken copies are made of it."""

from tests.contracts.broken.breaking import Pliable, Turned

from mica_jwk.contracts import ENCRYPTED, NAME, P256, public_jwk
from mica_jwk.provisioner import JWKConfig, JWKProvisioner


class TurnedJWK(Turned):
    """A suite of the plugin, turned on another provisioner."""

    config = JWKConfig(name=NAME, key=public_jwk(P256), encrypted_key=ENCRYPTED)


class PliableJWK(Pliable, JWKProvisioner):
    """The provisioner with its steps laid open."""
