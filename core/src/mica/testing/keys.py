"""What every key backend must do: contracts that a plugin's tests subclass.

class TestFileKeys(KeyCreatorContract):
    def build(self, context): return FileKeys(FileKeysConfig(), context)
    def install(self, directory, key, password): …; return "file:key"
    def vacancy(self): return "file:none"
"""

import stat
from dataclasses import fields
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica.errors import ConfigError
from mica.files import Files
from mica.roles import Context, KeyBackend, KeyContext, KeyCreator
from mica.testing.contexts import Clock, make_context

#: A password that must appear in nothing that a backend writes.
PASSWORD = b"canary-7f3a correct horse"


def make_key_context(directory: Path, password: bytes | None = PASSWORD) -> KeyContext:
    """What a key backend is given, by an authority whose files are those in ``directory``."""
    context = make_context(Clock(), directory)
    outside = {f.name: getattr(context, f.name) for f in fields(Context)}
    return KeyContext(**outside, read_secret=Files().read_secret, password=password)


class KeyBackendContract:
    """A key backend finds the key that its URI names, or says what to do, and gives no secret away."""

    def build(self, context: KeyContext) -> KeyBackend:
        """The backend under test."""
        raise NotImplementedError

    def install(self, directory: Path, key: ec.EllipticCurvePrivateKey, password: bytes) -> str:
        """``key`` is where the backend finds it, and ``password`` opens it; its URI."""
        raise NotImplementedError

    def vacancy(self) -> str:
        """A URI at which there is no key."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @pytest.fixture
    def uri(self, key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> str:
        return self.install(tmp_path, key, PASSWORD)

    @pytest.fixture
    def backend(self, tmp_path: Path) -> KeyBackend:
        return self.build(make_key_context(tmp_path))

    def test_its_scheme_is_in_lower_case_and_begins_its_uris(self, backend: KeyBackend, uri: str) -> None:
        assert backend.scheme == backend.scheme.lower()
        assert uri.startswith(f"{backend.scheme}:")
        assert isinstance(backend.blocking, bool)

    def test_the_key_that_it_finds_signs(self, backend: KeyBackend, uri: str, key: ec.EllipticCurvePrivateKey) -> None:
        found = backend.load(uri)
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        key.public_key().verify(found.sign(b"octets", ec.ECDSA(hashes.SHA256())), b"octets", ec.ECDSA(hashes.SHA256()))

    def test_the_key_says_its_public_key(self, backend: KeyBackend, uri: str, key: ec.EllipticCurvePrivateKey) -> None:
        assert spki(backend.load(uri)) == spki(key)

    @pytest.mark.parametrize("password", [b"canary-wrong", b"", None, PASSWORD + b"x", PASSWORD.upper()])
    def test_a_wrong_password_is_one_clear_fault_without_secrets(
        self, tmp_path: Path, uri: str, password: bytes | None
    ) -> None:
        backend = self.build(make_key_context(tmp_path, password))
        with pytest.raises(ConfigError) as caught:
            backend.load(uri)
        _assert_clear(caught.value, uri)

    def test_where_there_is_no_key_the_fault_names_the_uri(self, backend: KeyBackend) -> None:
        with pytest.raises(ConfigError) as caught:
            backend.load(self.vacancy())
        _assert_clear(caught.value, self.vacancy())

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

    def test_nothing_that_it_shows_of_itself_is_secret(self, tmp_path: Path, uri: str) -> None:
        context = make_key_context(tmp_path)
        backend = self.build(context)
        key = backend.load(uri)
        for shown in (repr(context), repr(backend), str(backend), repr(key)):
            assert "canary" not in shown


class KeyCreatorContract(KeyBackendContract):
    """A backend that makes keys makes good ones, keeps them, and takes nobody's place."""

    @pytest.fixture
    def creator(self, backend: KeyBackend) -> KeyCreator:
        assert isinstance(backend, KeyCreator)
        return backend

    @pytest.mark.parametrize(
        ("algorithm", "kind"),
        [
            ("EC-P256", ec.SECP256R1),
            ("EC-P384", ec.SECP384R1),
            ("EC-P521", ec.SECP521R1),
            ("RSA-2048", 2048),
            ("RSA-3072", 3072),
            ("Ed25519", ed25519.Ed25519PrivateKey),
        ],
    )
    def test_a_new_key_is_of_the_kind_asked_for_and_found_again(
        self, creator: KeyCreator, tmp_path: Path, algorithm: str, kind: object
    ) -> None:
        created = creator.create(self.vacancy(), algorithm)
        found = self.build(make_key_context(tmp_path)).load(self.vacancy())
        assert spki(found) == spki(created)
        assert _kind_of(found) == kind

    def test_a_new_key_is_opened_by_the_password_alone(self, creator: KeyCreator, tmp_path: Path) -> None:
        creator.create(self.vacancy(), "EC-P256")
        with pytest.raises(ConfigError):
            self.build(make_key_context(tmp_path, b"another")).load(self.vacancy())

    def test_the_files_of_a_new_key_are_for_their_owner_alone(self, creator: KeyCreator, tmp_path: Path) -> None:
        creator.create(self.vacancy(), "EC-P256")
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_key_is_never_made_in_the_place_of_another(
        self, creator: KeyCreator, uri: str, key: ec.EllipticCurvePrivateKey
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            creator.create(uri, "EC-P256")
        _assert_clear(caught.value, uri)
        assert spki(creator.load(uri)) == spki(key)

    @pytest.mark.parametrize("algorithm", ["", "RSA-1024", "EC-P224", "ec-p256", "DSA", "Ed448", "RSA", "\x00"])
    def test_an_unknown_kind_of_key_is_a_fault_and_leaves_nothing(
        self, creator: KeyCreator, tmp_path: Path, algorithm: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            creator.create(self.vacancy(), algorithm)
        _assert_clear(caught.value, self.vacancy())
        assert list(tmp_path.rglob("*")) == []


def spki(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """The public key, in an encoding that can be compared."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _kind_of(key: CertificateIssuerPrivateKeyTypes) -> object:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return type(key.curve)
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(
            key.sign(b"octets", padding.PKCS1v15(), hashes.SHA256()), b"octets", padding.PKCS1v15(), hashes.SHA256()
        )
        return key.key_size
    return next(kind for kind in (ed25519.Ed25519PrivateKey,) if isinstance(key, kind))


def _assert_clear(error: ConfigError, uri: str) -> None:
    """One line for each fault; the URI is named, and nothing secret, here or in what led to it."""
    assert error.faults
    assert all(uri in fault and "\n" not in fault for fault in error.faults)
    cause: BaseException | None = error
    while cause is not None:
        assert "canary" not in str(cause)
        cause = cause.__cause__ or cause.__context__
