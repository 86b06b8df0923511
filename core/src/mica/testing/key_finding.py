"""What every key backend must do: it finds keys, refuses weak ones, and gives none of them away."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, generate
from mica.roles import Context, KeyBackend, KeyContext
from mica.testing.contexts import Clock, make_context
from mica.testing.secrecy import shows
from mica.testing.untried import does_not_concern
from mica.testing.weakkeys import WEAK_PRIVATE_KEYS, weak_private_key

#: A private key of pyca's, weak or not.
SomePrivateKey = Any

#: A password that must appear in nothing that a backend writes.
PASSWORD = b"canary-7f3a correct horse"


def make_key_context(directory: Path, password: bytes | None = PASSWORD) -> KeyContext:
    """What a key backend is given, by an authority whose files are those in ``directory``."""
    context = make_context(Clock(), directory)
    outside = {f.name: getattr(context, f.name) for f in fields(Context)}
    return KeyContext(**outside, password=password)


class KeyBackendContract:
    """A key backend finds the key that its URI names, or says what to do, and gives no secret away."""

    #: The kinds of keys that it serves, as ``mica.keyfiles.generate`` names them; the tests use the first.
    algorithms: ClassVar[tuple[str, ...]] = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519")
    #: Those that can be put where the backend looks; others are refused there already.
    weak_keys: ClassVar[tuple[str, ...]] = tuple(WEAK_PRIVATE_KEYS)
    #: Whether a password opens its keys: ``KeyContext.password``.
    has_passwords: ClassVar[bool] = True

    def build(self, context: KeyContext) -> KeyBackend:
        """The backend under test."""
        raise NotImplementedError

    def install(self, directory: Path, key: SomePrivateKey, password: bytes) -> str:
        """``key``, of any kind, is where the backend finds it, and ``password`` opens it; its URI.

        A backend that keeps files keeps them below ``directory``.
        """
        raise NotImplementedError

    def vacancy(self) -> str:
        """A URI at which there is no key."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "weak" in metafunc.fixturenames:
            metafunc.parametrize("weak", self.weak_keys)
        if "made_of" in metafunc.fixturenames:
            metafunc.parametrize("made_of", self.algorithms)

    def require_passwords(self) -> None:
        """A password opens the backend's keys; else the test is skipped."""
        if not self.has_passwords:
            does_not_concern("no password opens its keys")

    @pytest.fixture
    def key(self) -> PrivateKey:
        return generate(self.algorithms[0])

    @pytest.fixture
    def uri(self, key: PrivateKey, tmp_path: Path) -> str:
        return self.install(tmp_path, key, PASSWORD)

    @pytest.fixture
    def backend(self, tmp_path: Path) -> KeyBackend:
        return self.build(make_key_context(tmp_path))

    def test_its_scheme_is_in_lower_case_and_begins_its_uris(self, backend: KeyBackend, uri: str) -> None:
        assert backend.scheme == backend.scheme.lower()
        assert uri.startswith(f"{backend.scheme}:")
        assert isinstance(backend.blocking, bool)

    def test_the_key_that_it_finds_signs(self, backend: KeyBackend, uri: str, key: PrivateKey) -> None:
        assert_signs(backend.load(uri), key)

    def test_the_key_says_its_public_key(self, backend: KeyBackend, uri: str, key: PrivateKey) -> None:
        assert spki(backend.load(uri)) == spki(key)

    @pytest.mark.parametrize("password", [b"canary-wrong", b"", None, PASSWORD + b"x", PASSWORD.upper()])
    def test_a_wrong_password_is_one_clear_fault_without_secrets(
        self, tmp_path: Path, uri: str, password: bytes | None
    ) -> None:
        self.require_passwords()
        backend = self.build(make_key_context(tmp_path, password))
        with pytest.raises(ConfigError) as caught:
            pytest.fail(f"the password {password!r} opens the key: {backend.load(uri)}")
        assert_clear(caught.value, uri)

    def test_where_there_is_no_key_the_fault_names_the_uri(self, backend: KeyBackend) -> None:
        with pytest.raises(ConfigError) as caught:
            backend.load(self.vacancy())
        assert_clear(caught.value, self.vacancy())

    @pytest.mark.parametrize(
        "rest", ["", "\x00", "a\x00b", "a\nb", "//", "x" * 5000, "/", ".", "\udcff", "?", "//host/x"]
    )
    def test_a_uri_that_names_no_key_is_a_fault(self, backend: KeyBackend, rest: str) -> None:
        with pytest.raises(ConfigError):
            backend.load(f"{backend.scheme}:{rest}")

    @pytest.mark.parametrize("uri", ["", ":", "nobody:key", "key", "://"])
    def test_a_uri_of_another_scheme_is_a_fault(self, backend: KeyBackend, uri: str) -> None:
        with pytest.raises(ConfigError):
            backend.load(uri)

    def test_nothing_that_it_shows_or_logs_is_secret(
        self, tmp_path: Path, uri: str, key: PrivateKey, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            context = make_key_context(tmp_path)
            backend = self.build(context)
            found = backend.load(uri)
            with pytest.raises(ConfigError) as caught:
                wrong = make_key_context(tmp_path, b"canary-wrong")
                self.build(wrong).load(uri if self.has_passwords else self.vacancy())
        for shown in (repr(context), repr(backend), str(backend), repr(found), repr(caught.value), caplog.text):
            assert "canary" not in shown, f"the password is shown: {shown}"
            assert not shows(shown, key), "the private key is shown; leave it out of repr, messages and the log"

    def test_a_weak_key_is_refused_by_name_and_without_secrets(self, tmp_path: Path, weak: str) -> None:
        uri = self.install(tmp_path, weak_private_key(weak), PASSWORD)
        with pytest.raises(ConfigError) as caught:
            self.build(make_key_context(tmp_path)).load(uri)
        assert_clear(caught.value, uri)
        assert not shows(str(caught.value), weak_private_key(weak))

    @pytest.mark.parametrize("mode", [0o604, 0o602, 0o606])
    def test_a_key_in_a_file_that_others_can_read_or_write_is_refused(
        self, tmp_path: Path, uri: str, mode: int
    ) -> None:
        for path in kept_in(tmp_path):
            path.chmod(mode)
        with pytest.raises(ConfigError) as caught:
            self.build(make_key_context(tmp_path)).load(uri)
        assert_clear(caught.value, uri)

    def test_a_link_to_a_file_that_others_can_read_is_refused(self, tmp_path: Path, uri: str) -> None:
        for number, path in enumerate(kept_in(tmp_path)):
            elsewhere = tmp_path / f"elsewhere{number}"
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
            elsewhere.chmod(0o644)
        with pytest.raises(ConfigError):
            self.build(make_key_context(tmp_path)).load(uri)

    def test_what_is_no_regular_file_does_not_hang_the_start(self, tmp_path: Path, uri: str) -> None:
        for path in kept_in(tmp_path):
            path.unlink()
            os.mkfifo(path, 0o600)
        with pytest.raises(ConfigError) as caught:
            self.build(make_key_context(tmp_path)).load(uri)
        assert_clear(caught.value, uri)

    @pytest.mark.parametrize("damage", ["cut", "emptied", "overwritten"])
    def test_a_damaged_key_is_one_clear_fault(self, tmp_path: Path, uri: str, damage: str) -> None:
        for path in kept_in(tmp_path):
            octets = path.read_bytes()
            damaged = {"cut": octets[: len(octets) // 2], "emptied": b"", "overwritten": bytes(len(octets))}
            path.write_bytes(damaged[damage])
        with pytest.raises(ConfigError) as caught:
            self.build(make_key_context(tmp_path)).load(uri)
        assert_clear(caught.value, uri)

    def test_many_at_once_find_the_same_key_and_sign_with_it(
        self, backend: KeyBackend, uri: str, key: PrivateKey
    ) -> None:
        def use(number: int) -> None:
            assert_signs(backend.load(uri), key, str(number).encode())

        at_once(use, 16)


def kept_in(directory: Path) -> list[Path]:
    """The files in which keys are kept; a test of them is skipped for a backend that keeps none."""
    return [path for path in directory.rglob("*") if path.is_file()] or does_not_concern("it keeps no files")


def at_once(use: Callable[[int], None], times: int) -> None:
    """``use`` is done so many times, in threads at one time."""
    with ThreadPoolExecutor(times) as threads:
        list(threads.map(use, range(times)))


def assert_signs(found: CertificateIssuerPrivateKeyTypes, key: PrivateKey, octets: bytes = b"octets") -> None:
    """What the backend found is one of pyca's keys, and signs as ``key`` does."""
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            assert isinstance(found, ec.EllipticCurvePrivateKey), f"load must give a pyca key of that kind: {found!r}"
            ecdsa = ec.ECDSA(hashes.SHA256())
            key.public_key().verify(found.sign(octets, ecdsa), octets, ecdsa)
        elif isinstance(key, rsa.RSAPrivateKey):
            assert isinstance(found, rsa.RSAPrivateKey), f"load must give a pyca key of that kind: {found!r}"
            pkcs1, digest = padding.PKCS1v15(), hashes.SHA256()
            key.public_key().verify(found.sign(octets, pkcs1, digest), octets, pkcs1, digest)
        else:
            assert isinstance(found, ed25519.Ed25519PrivateKey), f"load must give a pyca key of that kind: {found!r}"
            key.public_key().verify(found.sign(octets), octets)
    except InvalidSignature as error:
        raise AssertionError("a signature of the key that was found is not that of the key installed there") from error


def spki(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """The public key, in an encoding that can be compared."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def assert_clear(error: ConfigError, uri: str) -> None:
    """One line for each fault; the URI is named, and nothing secret, here or in what led to it."""
    assert error.faults, "a ConfigError must have the fault: ConfigError([f'{uri}: …'])"
    for fault in error.faults:
        assert uri in fault and "\n" not in fault, f"a fault must be one line that names {uri}: {fault!r}"
    cause: BaseException | None = error
    while cause is not None:
        assert "canary" not in str(cause), f"the password stands in {cause!r}; leave it out"
        cause = cause.__cause__ or cause.__context__
