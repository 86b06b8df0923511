"""Weak keys are recognised by their numbers, good ones pass."""

import math
import random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from mica.keyrules import check_public_key, check_rsa
from mica.testing.weakkeys import next_prime, prime, roca_prime

_RNG = random.Random(7)


@pytest.fixture(scope="module")
def good() -> rsa.RSAPublicNumbers:
    return rsa.generate_private_key(65537, 2048).public_key().public_numbers()


@pytest.mark.parametrize("bits", [2048, 3072])
def test_rsa_keys_that_openssl_makes_pass(bits: int) -> None:
    assert check_public_key(rsa.generate_private_key(65537, bits).public_key()) == []


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_ec_keys_on_the_nist_curves_pass(curve: ec.EllipticCurve) -> None:
    assert check_public_key(ec.generate_private_key(curve).public_key()) == []


def test_ed25519_keys_pass() -> None:
    assert check_public_key(ed25519.Ed25519PrivateKey.generate().public_key()) == []


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()], ids=lambda c: c.name)
def test_keys_on_other_curves_are_refused_by_name(curve: ec.EllipticCurve) -> None:
    (reason,) = check_public_key(ec.generate_private_key(curve).public_key())
    assert curve.name in reason


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (dsa.generate_private_key(2048).public_key(), "DSA"),
        (ed448.Ed448PrivateKey.generate().public_key(), "Ed448"),
        (x25519.X25519PrivateKey.generate().public_key(), "X25519"),
        (None, "NoneType"),
    ],
)
def test_keys_of_other_kinds_are_refused_by_name(key: object, kind: str) -> None:
    assert check_public_key(key) == [f"key must be EC, RSA or Ed25519, not {kind}"]


def test_a_short_modulus_is_refused() -> None:
    key = rsa.generate_private_key(65537, 1024).public_key()
    assert check_public_key(key) == ["RSA key must be at least 2048 bits (256 bytes)"]
    assert check_rsa(prime(1023) * prime(1024), 65537) == ["RSA key must be at least 2048 bits (256 bytes)"]


def test_a_modulus_too_long_to_be_served_is_refused_without_arithmetic() -> None:
    assert check_rsa((1 << 100_000) | 1, 65537) == ["RSA key must be at most 8192 bits (1024 bytes)"]


@pytest.mark.parametrize("exponent", [1, 3, 17, 257, 65535])
def test_a_small_exponent_is_refused(good: rsa.RSAPublicNumbers, exponent: int) -> None:
    assert check_rsa(good.n, exponent) == ["RSA public exponent must be at least 65537"]


def test_an_even_exponent_is_refused(good: rsa.RSAPublicNumbers) -> None:
    assert check_rsa(good.n, 65538) == ["RSA public exponent must be odd"]


def test_an_exponent_that_makes_every_verification_slow_is_refused(good: rsa.RSAPublicNumbers) -> None:
    assert check_rsa(good.n, (1 << 256) - 1) == []
    assert check_rsa(good.n, (1 << 256) + 1) == ["RSA public exponent must have at most 256 bits"]


def test_an_even_modulus_is_refused(good: rsa.RSAPublicNumbers) -> None:
    assert check_rsa(good.n + 1, 65537) == ["RSA modulus must be odd"]


@pytest.mark.parametrize("factor", [3, 101, 751])
def test_a_modulus_with_a_small_factor_is_refused(good: rsa.RSAPublicNumbers, factor: int) -> None:
    assert check_rsa(good.n * factor, 65537) == ["RSA modulus must not have a small factor"]


@pytest.mark.parametrize("distance", [0, 2, 10**6, 1 << 400])
def test_primes_close_together_are_refused(distance: int) -> None:
    p = prime(1024)
    q = next_prime(p + distance) if distance else p
    assert check_rsa(p * q, 65537) == ["RSA modulus must not be a product of two primes close together"]


def test_primes_just_within_a_hundred_steps_of_fermat_are_found() -> None:
    root = 1 << 1024
    half = math.isqrt(2 * 90 * root)  # (a² - N) = half², where a lies about 90 above √N
    p, q = next_prime(root - half), next_prime(root + half)
    assert "close together" in str(check_rsa(p * q, 65537))


def test_the_roca_weakness_is_recognised() -> None:
    modulus = roca_prime(1024) * roca_prime(1024)
    assert modulus.bit_length() == 2048
    assert any("ROCA" in reason for reason in check_rsa(modulus, 65537))
    # One honest prime spoils the fingerprint.
    assert check_rsa(roca_prime(1024) * prime(1024), 65537) == []


def test_random_moduli_do_not_bear_the_roca_fingerprint() -> None:
    for _ in range(3000):
        assert not any("ROCA" in reason for reason in check_rsa(_RNG.getrandbits(2048) | 1 | 1 << 2047, 65537))


def test_all_reasons_are_given() -> None:
    assert len(check_rsa(3 * prime(300), 2)) == 4


@pytest.mark.parametrize(
    "point",
    [
        b"\x04" + b"\x01" * 64,  # not on the curve
        b"\x04" + b"\x00" * 64,
        b"\x00",  # infinity
        b"\x02" + b"\xff" * 32,  # x above the field's prime
        b"\x04" + b"\x01" * 63,
    ],
)
def test_pyca_refuses_points_that_are_not_on_the_curve(point: bytes) -> None:
    """``check_public_key`` relies on it: such a key never becomes an object."""
    prefix = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    bits = bytes([0x03, len(point) + 1, 0]) + point
    with pytest.raises(ValueError):
        serialization.load_der_public_key(bytes([0x30, len(prefix) + len(bits)]) + prefix + bits)
