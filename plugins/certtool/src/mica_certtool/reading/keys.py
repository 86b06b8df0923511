"""Public keys as texts and as JSON."""

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica_certtool.reading import asn1
from mica_certtool.reading.asn1 import Document
from mica_certtool.reading.octets import b64, hex_rows, of_number

#: What people call the curves.
CURVES = {"secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyText:
    """What is said about a public key: ``short`` in one row, ``rows`` in the long layout, ``members`` in JSON."""

    algorithm: str
    short: str
    rows: tuple[str, ...]
    members: dict[str, object]


def describe(document: Document) -> KeyText:
    """What is to be said about the key in ``document``; of an unknown kind, its OID and octets. Raises ValueError."""
    try:
        key = document.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ecdsa(key)
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa(key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _ed25519(key.public_bytes_raw())
    return _unknown(asn1.parts(document).spki)


def _ecdsa(key: ec.EllipticCurvePublicKey) -> KeyText:
    numbers = key.public_numbers()
    curve = CURVES.get(key.curve.name, key.curve.name)
    x, y = (of_number(number) for number in (numbers.x, numbers.y))
    width = (key.curve.key_size + 7) // 8
    point = b"\x04" + numbers.x.to_bytes(width, "big") + numbers.y.to_bytes(width, "big")
    rows = (f"Public-Key: ({key.curve.key_size} bit)", "X:", *_indented(x), "Y:", *_indented(y), f"Curve: {curve}")
    members = {"curve": curve, "length": key.curve.key_size, "pub": b64(point), "x": b64(x), "y": b64(y)}
    return KeyText(algorithm="ECDSA", short=f"ECDSA {curve}", rows=rows, members={"ecdsa_public_key": members})


def _rsa(key: rsa.RSAPublicKey) -> KeyText:
    numbers = key.public_numbers()
    modulus = of_number(numbers.n)
    rows = (
        f"Public-Key: ({key.key_size} bit)",
        "Modulus:",
        *_indented(modulus),
        f"Exponent: {numbers.e} (0x{numbers.e:x})",
    )
    members = {"exponent": numbers.e, "modulus": b64(modulus), "length": key.key_size}
    return KeyText(algorithm="RSA", short=f"RSA {key.key_size}", rows=rows, members={"rsa_public_key": members})


def _ed25519(octets: bytes) -> KeyText:
    # 32 are the octets, not the bits; the layout has it so, and scripts read it.
    rows = (f"Public-Key: ({len(octets)} bit)", *_indented(octets))
    members = {"length": 8 * len(octets), "public_key": b64(octets)}
    return KeyText(algorithm="Ed25519", short="Ed25519 256", rows=rows, members={"ed25519_public_key": members})


def _unknown(spki: asn1.Element) -> KeyText:
    oid, octets = asn1.key_algorithm(spki), asn1.key_bits(spki)
    rows = (f"Public-Key: ({8 * len(octets)} bit)", *_indented(octets))
    return KeyText(algorithm=oid, short=oid, rows=rows, members={"public_key": b64(octets)})


def _indented(octets: bytes) -> list[str]:
    return [f"    {row}" for row in hex_rows(octets, 15)]
