"""The numbers that keys consist of, by the names that people know them by."""

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica.keyfiles import PrivateKey
from mica_certtool.crypto.material import PRIVATE_KEYS, PublicKey
from mica_certtool.reading.keys import CURVES


def of(key: PrivateKey | PublicKey | bytes) -> dict[str, int | bytes]:
    """Every number of the key, in the order in which openssl lists them; octets where the size matters."""
    match key:
        case bytes():
            return {"key": key}
        case rsa.RSAPrivateKey():
            return _rsa(key)
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return {"modulus": numbers.n, "exponent": numbers.e}
        case ec.EllipticCurvePrivateKey():
            return {"private": _sized(key.private_numbers().private_value, key), **_point(key.public_key())}
        case ec.EllipticCurvePublicKey():
            return _point(key)
        case ed25519.Ed25519PrivateKey():
            return {"private": key.private_bytes_raw(), "public": key.public_key().public_bytes_raw()}
    return {"public": key.public_bytes_raw()}


def title(key: PrivateKey | PublicKey | bytes) -> str:
    """``EC Private-Key: (P-256, 256 bit)``."""
    if isinstance(key, bytes):
        return f"Symmetric-Key: ({8 * len(key)} bit)"
    half = "Private-Key" if isinstance(key, PRIVATE_KEYS) else "Public-Key"
    match key:
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return f"RSA {half}: ({key.key_size} bit)"
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return f"EC {half}: ({CURVES.get(key.curve.name, key.curve.name)}, {key.key_size} bit)"
    return f"Ed25519 {half}: (256 bit)"


def bits(key: PublicKey) -> int:
    """The size of the key."""
    return 256 if isinstance(key, ed25519.Ed25519PublicKey) else key.key_size


def _rsa(key: rsa.RSAPrivateKey) -> dict[str, int | bytes]:
    numbers = key.private_numbers()
    return {
        "modulus": numbers.public_numbers.n,
        "exponent": numbers.public_numbers.e,
        "private exponent": numbers.d,
        "prime 1": numbers.p,
        "prime 2": numbers.q,
        "exponent 1": numbers.dmp1,
        "exponent 2": numbers.dmq1,
        "coefficient": numbers.iqmp,
    }


def _point(key: ec.EllipticCurvePublicKey) -> dict[str, int | bytes]:
    numbers = key.public_numbers()
    return {"x": _sized(numbers.x, key), "y": _sized(numbers.y, key)}


def _sized(number: int, key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """``number`` as long as the field: leading zeros belong to it."""
    return number.to_bytes((key.key_size + 7) // 8, "big")
