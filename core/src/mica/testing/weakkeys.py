"""Keys that are as good as none: of weak numbers, and points that are on no curve."""

import math
import random
from collections.abc import Callable, Mapping
from functools import cache

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica import der

_RANDOM = random.Random(7)
_SMALL_PRIMES = [n for n in range(2, 2000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
_SMALL_PRODUCT = math.prod(_SMALL_PRIMES)
_RSA, _EC = der.oid("1.2.840.113549.1.1.1"), der.oid("1.2.840.10045.2.1")
_P256 = "1.2.840.10045.3.1.7"


def is_prime(n: int) -> bool:
    """Miller–Rabin with 5 bases, enough for large numbers that nobody has chosen; pyca checks keys again."""
    if math.gcd(n, _SMALL_PRODUCT) != 1:
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(5):
        x = pow(_RANDOM.randrange(2, n - 1), odd, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def next_prime(n: int) -> int:
    """The first prime that is not below ``n``, which is large."""
    n |= 1
    while not is_prime(n):
        n += 2
    return n


def prime(bits: int) -> int:
    """A prime of so many bits, the first two set."""
    return next_prime(_RANDOM.getrandbits(bits) | (3 << (bits - 2)))


def roca_prime(bits: int) -> int:
    """A prime as the weak generator made them: k·M + (65537^a mod M), M the product of the first 71 primes."""
    m = math.prod(_SMALL_PRIMES[:71])
    free = bits - m.bit_length()
    residue = pow(65537, _RANDOM.getrandbits(200), m)  # one serves for all k: it is no less weak, and sooner found
    while True:
        candidate = (_RANDOM.getrandbits(free) | (3 << (free - 2))) * m + residue
        if candidate.bit_length() == bits and is_prime(candidate):
            return candidate


def _of_primes(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _coprime(make: Callable[[], int]) -> int:
    """A prime that 65537 suits."""
    return next(p for p in iter(make, 0) if (p - 1) % 65537)


def _close_primes() -> rsa.RSAPrivateKey:
    p = _coprime(lambda: prime(1024))
    return _of_primes(next_prime(p + 1000), p)


#: Private keys that no CA may have, by what is wrong with them; each is made when it is asked for.
WEAK_PRIVATE_KEYS: Mapping[str, Callable[[], PrivateKeyTypes]] = {
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),
    "RSA with e = 3": lambda: rsa.generate_private_key(3, 2048),
    "close primes": _close_primes,
    "ROCA": lambda: _of_primes(_coprime(lambda: roca_prime(1024)), _coprime(lambda: roca_prime(1024))),
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "DSA": lambda: dsa.generate_private_key(2048),
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@cache
def weak_private_key(name: str) -> PrivateKeyTypes:
    """The key of ``WEAK_PRIVATE_KEYS`` under ``name``, the same each time."""
    return WEAK_PRIVATE_KEYS[name]()


@cache
def weak_key_infos() -> Mapping[str, bytes]:
    """SubjectPublicKeyInfos (RFC 5280 §4.1.2.7) to which nobody has a private key, by what is wrong with them."""
    n = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    near = prime(1024)
    return {**_rsa_infos(n), "a square": rsa_info(near * near), **_ec_infos(octets), **_other_infos(octets)}


def _rsa_infos(n: int) -> dict[str, bytes]:
    return {
        "RSA-2047": rsa_info(n >> 1 | 1),
        "RSA with e = 1": rsa_info(n, 1),
        "RSA with e = 0": rsa_info(n, 0),
        "RSA with an even e": rsa_info(n, 65538),
        "RSA with a negative e": rsa_info(n, -65537),
        "RSA with a huge e": rsa_info(n, n - 2),
        "RSA with an even modulus": rsa_info(n - 1),
        "RSA with a negative modulus": rsa_info(-n),
        "RSA with modulus 0": rsa_info(0),
        "RSA with a small factor": rsa_info(3 * (n // 3 | 1)),
        "RSA of 16384 bits": rsa_info(1 << 16383 | 1),
        "RSA of 100,000 bits": rsa_info(1 << 99999 | 1),
    }


def _ec_infos(point: bytes) -> dict[str, bytes]:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    return {
        "P-192": ec_info(b"\x04" + bytes(48), "1.2.840.10045.3.1.1"),
        "a point not on the curve": ec_info(point[:-1] + bytes([point[-1] ^ 1])),
        "a point too large": ec_info(b"\x04" + b"\xff" * 64),
        "a point at infinity": ec_info(b"\x00"),
        "a point at the origin": ec_info(b"\x04" + bytes(64)),
        "no point": ec_info(b""),
        "a point cut short": ec_info(point[:-1]),
        "a point of another curve": ec_info(other.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
    }


def _other_infos(point: bytes) -> dict[str, bytes]:
    def info(parameters: bytes, key: bytes) -> bytes:
        return der.sequence(der.sequence(parameters), der.bit_string(key))

    return {
        "explicit parameters": info(_EC + explicit_p256(), point),
        "explicit parameters of another base point": info(_EC + explicit_p256(base=point), point),
        "explicit parameters that are none": info(_EC + der.sequence(der.integer(1)), point),
        "no parameters": info(_EC, point),
        "X25519": info(der.oid("1.3.101.110"), b"\x09" * 32),
        "unknown": info(der.oid("1.2.3.4.5"), b"x"),
        "Ed25519 of 31 octets": info(der.oid("1.3.101.112"), b"x" * 31),
    }


def explicit_p256(base: bytes | None = None) -> bytes:
    """P-256 as explicit parameters (SEC 1 §C.2), which RFC 5480 §2.1.1 forbids; with another base: CVE-2020-0601."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    a = (p - 3).to_bytes(32, "big")
    b = bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
    usual = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return der.sequence(
        der.integer(1),
        der.sequence(der.oid("1.2.840.10045.1.1"), _integer(p)),
        der.sequence(der.tlv(der.OCTET_STRING, a), der.tlv(der.OCTET_STRING, b)),
        der.tlv(der.OCTET_STRING, base or usual),
        _integer(order),
        der.integer(1),
    )


def _integer(value: int) -> bytes:
    """An INTEGER, which may be negative."""
    return der.tlv(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def rsa_info(modulus: int, exponent: int = 65537) -> bytes:
    """The SubjectPublicKeyInfo of an RSA key of any numbers (RFC 3279 §2.3.1)."""
    key = der.sequence(_integer(modulus), _integer(exponent))
    return der.sequence(der.sequence(_RSA, b"\x05\x00"), der.bit_string(key))


def ec_info(point: bytes, curve: str = _P256) -> bytes:
    """The SubjectPublicKeyInfo of an EC key of any octets (RFC 5480 §2)."""
    return der.sequence(der.sequence(_EC, der.oid(curve)), der.bit_string(point))
