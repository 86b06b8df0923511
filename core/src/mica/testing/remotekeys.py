"""Keys that are elsewhere: they subclass pyca's ABC and forward ``sign``, as those of key backends do."""

import threading
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec


class RemoteKey(ec.EllipticCurvePrivateKey):
    """A P-256 key that waits for another machine, and remembers what it signed, and on which threads."""

    def __init__(self, *, delay: float = 0.05) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.delay = delay
        self.signed: list[bytes] = []
        self.threads: set[int] = set()
        self.broken = False
        """Whether its signatures are those of another key."""
        self.away = False
        """Whether the other machine cannot be reached."""
        self._public_key = self.key.public_key()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """The signature, after ``delay`` seconds; raises ConnectionError while it is away."""
        self.threads.add(threading.get_ident())
        self.signed.append(bytes(data))
        time.sleep(self.delay)
        if self.away:
            raise ConnectionError("the machine of the key cannot be reached")
        key = ec.generate_private_key(ec.SECP256R1()) if self.broken else self.key
        return key.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Its public half."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self.key.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self.key.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Never."""
        raise PermissionError("this key signs only")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Never."""
        raise PermissionError("this key does not leave its machine")

    def private_bytes(self, *arguments: Any) -> bytes:
        """Never."""
        raise PermissionError("this key does not leave its machine")

    def __copy__(self) -> "RemoteKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "RemoteKey":
        return self
