"""Key files that openssl and ssh-keygen make are read, what is written they read, and every fault is one clear line."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from mica.errors import ConfigError
from mica.keyfiles import (
    ALGORITHMS,
    PasswordNeeded,
    describe,
    dump_private_key,
    dump_private_key_der,
    generate,
    holds_private_key,
    is_encrypted,
    load_private_key,
)

PASSWORD = b"canary horse battery"
PASS = f"pass:{PASSWORD.decode()}"


def run(*command: str | Path, stdin: bytes | None = None) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, input=stdin).stdout


def load(data: bytes, password: bytes | None = None) -> object:
    return load_private_key(data, password, where="file:key")


def fault(data: bytes, password: bytes | None = None) -> str:
    """The one line that refuses ``data``."""
    with pytest.raises(ConfigError) as caught:
        load(data, password)
    (line,) = caught.value.faults
    assert line.startswith("file:key: ")
    assert "\n" not in line
    assert "canary" not in line
    return line


@pytest.fixture(scope="module")
def ec_pem() -> bytes:
    return run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture(scope="module")
def rsa_pem() -> bytes:
    return run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def public(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def openssl_public(pem: bytes, *options: str) -> bytes:
    return run("openssl", "pkey", "-pubout", "-outform", "DER", *options, stdin=pem)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "des3"])
def test_rfc_1423_files_of_openssl_are_read(kind: str, cipher: str, ec_pem: bytes, rsa_pem: bytes) -> None:
    pem, legacy = (ec_pem, []) if kind == "ec" else (rsa_pem, ["-traditional"])
    encrypted = run("openssl", kind, f"-{cipher}", *legacy, "-passout", PASS, stdin=pem)
    assert b"Proc-Type: 4,ENCRYPTED" in encrypted
    assert public(load(encrypted, PASSWORD)) == openssl_public(pem)
    assert public(load(encrypted.replace(b"\n", b"\r\n"), PASSWORD)) == openssl_public(pem)


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"])
@pytest.mark.parametrize("digest", ["hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA512"])
def test_pbes2_files_of_openssl_are_read(cipher: str, digest: str, ec_pem: bytes) -> None:
    command = ("openssl", "pkcs8", "-topk8", "-v2", cipher, "-v2prf", digest, "-passout", PASS)
    assert public(load(run(*command, stdin=ec_pem), PASSWORD)) == openssl_public(ec_pem)


def test_pbes2_with_scrypt_is_read(ec_pem: bytes) -> None:
    encrypted = run("openssl", "pkcs8", "-topk8", "-scrypt", "-passout", PASS, stdin=ec_pem)
    assert public(load(encrypted, PASSWORD)) == openssl_public(ec_pem)


def test_sec1_and_pkcs1_are_read(ec_pem: bytes, rsa_pem: bytes) -> None:
    assert public(load(run("openssl", "ec", stdin=ec_pem))) == openssl_public(ec_pem)
    assert public(load(run("openssl", "rsa", "-traditional", stdin=rsa_pem))) == openssl_public(rsa_pem)


def test_ec_parameters_and_certificates_beside_the_key_do_not_matter(tmp_path: Path) -> None:
    pem = run("openssl", "ecparam", "-name", "secp384r1", "-genkey")
    assert pem.startswith(b"-----BEGIN EC PARAMETERS")
    (tmp_path / "key").write_bytes(pem)
    certificate = run("openssl", "req", "-x509", "-key", tmp_path / "key", "-subj", "/CN=x")
    assert describe(load(certificate + pem + certificate)) == "ECDSA P-384"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_openssh_files_are_read(kind: str, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key")
    pem = (tmp_path / "key").read_bytes()
    assert not is_encrypted(pem, where="file:key")
    expected = run("ssh-keygen", "-e", "-m", "PKCS8", "-f", tmp_path / "key") if kind != "ed25519" else None
    key = load(pem, PASSWORD)
    if expected is not None:
        assert public(key) == run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=expected)
    run("ssh-keygen", "-q", "-p", "-N", PASSWORD.decode(), "-f", tmp_path / "key")
    locked = (tmp_path / "key").read_bytes()
    assert is_encrypted(locked, where="file:key")
    assert "no password" in fault(locked)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_der_files_of_openssl_are_read(kind: str, ec_pem: bytes, rsa_pem: bytes) -> None:
    pem, legacy = (ec_pem, []) if kind == "ec" else (rsa_pem, ["-traditional"])
    plain = (
        run("openssl", kind, *legacy, "-outform", "DER", stdin=pem),
        run("openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", stdin=pem),
    )
    for der in plain:
        assert holds_private_key(der)
        assert not is_encrypted(der, where="x")
        assert public(load(der)) == openssl_public(pem)
    locked = run("openssl", "pkcs8", "-topk8", "-outform", "DER", "-passout", PASS, stdin=pem)
    assert is_encrypted(locked, where="x")
    assert public(load(locked, PASSWORD)) == openssl_public(pem)
    assert "no password" in fault(locked)
    assert "password is wrong" in fault(locked, b"canary")


def test_a_key_that_lacks_its_password_is_a_fault_of_its_own_kind(ec_pem: bytes) -> None:
    for form in (["-outform", "DER"], []):
        locked = run("openssl", "pkcs8", "-topk8", *form, "-passout", PASS, stdin=ec_pem)
        with pytest.raises(PasswordNeeded):
            load(locked)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_written_as_der_openssl_reads(algorithm: str) -> None:
    key = generate(algorithm)
    for password in (None, PASSWORD):
        der = dump_private_key_der(key, password)
        assert public(load(der, password)) == public(key)
        assert openssl_public(der, "-inform", "DER", "-passin", PASS) == public(key)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_openssh_files_with_windows_line_ends_are_read(kind: str, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", kind, "-N", PASSWORD.decode(), "-f", tmp_path / "key")
    pem = (tmp_path / "key").read_bytes()
    assert public(load(pem.replace(b"\n", b"\r\n"), PASSWORD)) == public(load(pem, PASSWORD))


def test_crlf_and_a_byte_order_mark_and_text_around_do_not_matter(ec_pem: bytes) -> None:
    for pem in (
        ec_pem.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + ec_pem,
        b"The CA's key, RFC 7468 allows this\n\n" + ec_pem + b"\n\n",
        ec_pem.rstrip(),
    ):
        assert public(load(pem)) == openssl_public(ec_pem)


def test_the_password_of_another_key_does_not_matter_to_one_without(ec_pem: bytes) -> None:
    assert public(load(ec_pem, PASSWORD)) == openssl_public(ec_pem)


def faulty_files(ec_pem: bytes, tmp_path: Path) -> Iterator[tuple[bytes, str]]:
    (tmp_path / "key").write_bytes(ec_pem)
    yield b"", "is empty"
    yield b"\xef\xbb\xbf\r\n", "is empty"
    yield openssl_public(ec_pem), "holds a public key"
    yield run("openssl", "req", "-x509", "-key", tmp_path / "key", "-subj", "/CN=x", "-outform", "DER"), "a certificate"
    yield run("openssl", "pkcs12", "-export", "-nocerts", "-inkey", tmp_path / "key", "-passout", "pass:x"), "PKCS #12"
    yield run("openssl", "pkey", "-outform", "DER", stdin=ec_pem)[:-1], "neither in PEM"
    yield run("openssl", "pkey", "-pubout", stdin=ec_pem), "holds a public key"
    yield b"ecdsa-sha2-nistp256 AAAAE2VjZHNh me@here", "holds an SSH public key"
    yield run("openssl", "req", "-x509", "-key", tmp_path / "key", "-subj", "/CN=x"), "holds a certificate,"
    yield run("openssl", "req", "-new", "-key", tmp_path / "key", "-subj", "/CN=x"), "holds a certificate signing"
    yield ec_pem + ec_pem, "2 private keys"
    yield ec_pem.decode().encode("utf-16"), "UTF-16"
    yield ec_pem[:120], "cut off"
    yield re.sub(rb"\n(.{20}).", rb"\n\1!", ec_pem, count=1), "base64"
    yield re.sub(rb"\nM.{20}", rb"\n" + b"A" * 21, ec_pem, count=1), "damaged"
    yield b'{"kty":"EC","d":"canary"}', "holds a JSON Web Key, not a private key; convert it with: mica crypto key"
    yield b"canary\x00\xff" * 1000, "no private key, neither in PEM"


def test_what_is_no_private_key_is_named_for_what_it_is(ec_pem: bytes, tmp_path: Path) -> None:
    for data, expected in faulty_files(ec_pem, tmp_path):
        assert expected in fault(data)


@pytest.mark.parametrize("form", [["ec", "-aes192"], ["ec", "-des3"], ["pkcs8", "-topk8", "-v2", "aes-256-cbc"]])
def test_a_wrong_or_missing_password_is_said_and_never_shown(form: list[str], ec_pem: bytes) -> None:
    encrypted = run("openssl", *form, "-passout", PASS, stdin=ec_pem)
    assert "no password; give one with --password-file" in fault(encrypted)
    assert "no password" in fault(encrypted, b"")
    for n in range(300 if form[0] == "ec" else 3):  # RFC 1423 has no check but the padding: one in 256 passes it
        assert "password is wrong" in fault(encrypted, b"canary %d" % n)


def test_a_cipher_that_is_no_longer_read_is_named_with_a_way_out(ec_pem: bytes) -> None:
    encrypted = run("openssl", "ec", "-aes128", "-passout", PASS, stdin=ec_pem)
    line = fault(encrypted.replace(b"AES-128-CBC", b"DES-CBC"), PASSWORD)
    assert "DES-CBC" in line
    assert "openssl pkey" in line


@pytest.mark.parametrize("dek", [b"", b"AES-128-CBC", b"AES-128-CBC,", b"AES-128-CBC,00", b"AES-128-CBC,zz", b",,,"])
def test_a_damaged_header_is_a_fault(dek: bytes, ec_pem: bytes) -> None:
    encrypted = run("openssl", "ec", "-aes128", "-passout", PASS, stdin=ec_pem)
    fault(re.sub(rb"DEK-Info: .*", b"DEK-Info: " + dek, encrypted), PASSWORD)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (rsa.generate_private_key(65537, 1024), "2048 bits"),
        (rsa.generate_private_key(3, 2048), "65537"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (dsa.generate_private_key(2048), "DSA"),
    ],
)
def test_keys_that_are_too_weak_or_of_another_kind_are_refused(key: dsa.DSAPrivateKey, reason: str) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert reason in fault(pem)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_kind_that_can_be_made_is_written_and_read_again(algorithm: str) -> None:
    key = generate(algorithm)
    for password in (None, PASSWORD):
        pem = dump_private_key(key, password)
        assert is_encrypted(pem, where="x") == (password is not None)
        assert public(load(pem, password)) == public(key)
        assert openssl_public(pem, "-passin", PASS) == public(key)


def test_what_is_encrypted_is_pbes2_with_600000_rounds_and_aes_256() -> None:
    shown = run("openssl", "asn1parse", stdin=dump_private_key(generate("EC-P256"), PASSWORD)).decode()
    for expected in ("PBES2", "PBKDF2", ":0927C0", "hmacWithSHA256", "aes-256-cbc"):
        assert expected in shown
    assert int("0927C0", 16) == 600_000


def test_no_two_files_share_salt_or_initialisation_vector() -> None:
    key = generate("EC-P256")
    first, second = (run("openssl", "asn1parse", stdin=dump_private_key(key, PASSWORD)).decode() for _ in range(2))
    octets = [set(re.findall(r"\[HEX DUMP\]:(\w+)", shown)) for shown in (first, second)]
    assert len(octets[0]) >= 2
    assert not octets[0] & octets[1]


def test_an_empty_password_is_not_the_same_as_none() -> None:
    with pytest.raises(ConfigError, match="must not be empty"):
        dump_private_key(generate("EC-P256"), b"")


def test_an_unknown_kind_is_a_fault_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="EC-P256, EC-P384"):
        generate("RSA-1024")


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [("EC-P521", "ECDSA P-521"), ("RSA-2048", "RSA 2048"), ("Ed25519", "Ed25519 256"), ("EC-P256", "ECDSA P-256")],
)
def test_keys_are_described_as_people_write_them(algorithm: str, words: str) -> None:
    key = generate(algorithm)
    assert describe(key) == describe(key.public_key()) == words


def test_keys_of_foreign_kinds_are_described_too() -> None:
    assert describe(ed448.Ed448PrivateKey.generate().public_key()) == "Ed448"
    assert describe(ec.generate_private_key(ec.SECP256K1())) == "ECDSA secp256k1"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(
            lambda octets: b"-----BEGIN PRIVATE KEY-----\n" + octets + b"\n-----END PRIVATE KEY-----\n"
        ),
    )
)
def test_arbitrary_octets_are_a_fault_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ConfigError):
        load(data, PASSWORD)
