"""Which public keys are good enough, for leaves, credentials and issuers alike.

A key that anybody can break is as good as no key. What is refused here has been found in the wild: short moduli, small
exponents, ROCA (CVE-2017-15361), primes close together (CVE-2022-26320), shared small factors.
"""

import math
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
_MIN_EXPONENT = 65537
_MAX_EXPONENT_BITS = 256  # FIPS 186-5 §5.1 (1): 2^16 < e < 2^256. A longer one only makes every verification slow.
# A prime pair closer than this is found by hand; random pairs never are.
_FERMAT_ROUNDS = 100

_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})  # FIPS 186-5: P-256, P-384, P-521


def check_public_key(key: object) -> list[str]:
    """Every reason why ``key`` is not acceptable; empty when it is good.

    Good are EC keys on P-256, P-384 and P-521, Ed25519, and RSA keys of 2048 to 8192 bits without known weakness.
    That a point lies on its curve is checked by pyca when the key is read. Costs under a microsecond for EC, some 50
    for RSA-2048; asks for no cryptographic operation, so it belongs before a signature by the key is verified.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVES:
            return []
        return [f"EC key must be on P-256, P-384 or P-521, not {key.curve.name}"]
    if isinstance(key, ed25519.Ed25519PublicKey):
        return []
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return check_rsa(numbers.n, numbers.e)
    return [f"key must be EC, RSA or Ed25519, not {type(key).__name__.removesuffix('PublicKey')}"]


def check_rsa(modulus: int, exponent: int) -> list[str]:
    """Every reason why an RSA key of these numbers is not acceptable (NIST SP 800-89 §5.3.3, and known weaknesses)."""
    reasons = _exponent_faults(exponent)
    bits = modulus.bit_length()
    if bits < MIN_RSA_BITS:
        reasons.append(f"RSA key must be at least {MIN_RSA_BITS} bits ({MIN_RSA_BITS // 8} bytes)")
    if bits > MAX_RSA_BITS:
        # Whatever else is wrong with it is not worth the arithmetic.
        return [*reasons, f"RSA key must be at most {MAX_RSA_BITS} bits ({MAX_RSA_BITS // 8} bytes)"]
    return reasons + _modulus_faults(modulus)


def _exponent_faults(exponent: int) -> list[str]:
    faults = []
    if exponent < _MIN_EXPONENT:
        faults.append(f"RSA public exponent must be at least {_MIN_EXPONENT}")
    if exponent % 2 == 0:
        faults.append("RSA public exponent must be odd")
    if exponent.bit_length() > _MAX_EXPONENT_BITS:
        faults.append(f"RSA public exponent must have at most {_MAX_EXPONENT_BITS} bits")
    return faults


def _modulus_faults(modulus: int) -> list[str]:
    if modulus % 2 == 0:
        return ["RSA modulus must be odd"]
    faults = []
    if math.gcd(modulus, _small_primes_product()) != 1:
        faults.append("RSA modulus must not have a small factor")
    if _has_roca_fingerprint(modulus):
        faults.append("RSA key must not come from a generator with the ROCA weakness (CVE-2017-15361)")
    if _has_close_primes(modulus):
        faults.append("RSA modulus must not be a product of two primes close together")
    return faults


def _primes_below(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % d for d in range(2, math.isqrt(n) + 1))]


def _powers(generator: int, prime: int) -> frozenset[int]:
    """The subgroup that ``generator`` makes modulo ``prime``."""
    members, power = set(), 1
    while power not in members:
        members.add(power)
        power = power * generator % prime
    return frozenset(members)


@cache
def _small_primes_product() -> int:
    return math.prod(_primes_below(752)[1:])


# ROCA primes are k·M + (65537^a mod M), M a product of the first primes, so N mod p is a power of 65537 for every
# small p (Nemec et al., "The Return of Coppersmith's Attack", §2.2). 167 is the largest prime of M for RSA-1024.
# Primes where 65537 generates everything say nothing. A random modulus passes all the others once in 2^27.
@cache
def _roca_subgroups() -> tuple[tuple[int, frozenset[int]], ...]:
    return tuple(
        (prime, powers) for prime in _primes_below(168)[1:] if len(powers := _powers(65537, prime)) < prime - 1
    )


def _has_roca_fingerprint(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _roca_subgroups())


# Only one number in 26 is a square modulo this; an exact root is worth trying on those alone.
_SIEVE = 16 * 9 * 5 * 7
_SQUARES = frozenset(i * i % _SIEVE for i in range(_SIEVE))


def _has_close_primes(modulus: int) -> bool:
    """Whether Fermat's method factors ``modulus`` within ``_FERMAT_ROUNDS``."""
    root = math.isqrt(modulus)
    a = root if root * root == modulus else root + 1
    # The candidates a² - N are followed modulo the sieve, in small numbers.
    small_a, small_difference = a % _SIEVE, (a * a - modulus) % _SIEVE
    for round_ in range(_FERMAT_ROUNDS):
        if small_difference in _SQUARES:
            candidate = (a + round_) ** 2 - modulus
            if math.isqrt(candidate) ** 2 == candidate:
                return True
        small_difference = (small_difference + 2 * small_a + 1) % _SIEVE
        small_a += 1
    return False
