"""Whether anything of a private key shows, in the forms that printing one takes."""

import base64
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def forms_of(key: PrivateKeyTypes) -> Iterator[str]:
    """The secret of ``key`` in decimal, in hex, and as the lines of a PEM file have it; in lower case."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    text = base64.b64encode(der).decode()
    yield from (text[place : place + 48].lower() for place in range(48, len(text) - 47, 16))
    yield der[-48:].hex()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        yield from _number(key.private_numbers().private_value)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        for number in (numbers.d, numbers.p, numbers.q):
            yield from _number(number)


def _number(value: int) -> tuple[str, str]:
    return str(value), f"{value:x}"


def shows(text: str, key: PrivateKeyTypes) -> bool:
    """Whether ``text`` has the secret of ``key`` in one of those forms."""
    flat = text.lower().replace("\n", "")
    return any(form in flat for form in forms_of(key))
