"""What every key backend must do: contracts that a plugin's tests subclass.

class TestFileKeys(KeyCreatorContract):
    def build(self, context): return FileKeys(FileKeysConfig(), context)
    def install(self, directory, key, password): …; return "file:key"  # written by pyca or openssl
    def vacancy(self): return "file:none"

One that only finds keys subclasses KeyBackendContract. What not every backend can, it says: ``algorithms``,
``has_passwords``, ``weak_keys``; tests of files are skipped for one that keeps none below ``directory``.
"""

import logging
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, describe
from mica.keyrules import check_public_key
from mica.roles import KeyBackend, KeyCreator
from mica.testing.key_finding import (
    PASSWORD,
    KeyBackendContract,
    SomePrivateKey,
    assert_clear,
    at_once,
    kept_in,
    make_key_context,
    spki,
)
from mica.testing.secrecy import shows
from mica.testing.store_faults import file_size_limit

__all__ = ["PASSWORD", "KeyBackendContract", "KeyCreatorContract", "SomePrivateKey", "make_key_context", "spki"]


class KeyCreatorContract(KeyBackendContract):
    """A backend that makes keys makes good ones, keeps them, and takes nobody's place."""

    @pytest.fixture
    def creator(self, backend: KeyBackend) -> KeyCreator:
        assert isinstance(backend, KeyCreator)
        return backend

    def test_a_new_key_is_of_the_kind_asked_for_and_found_again(
        self, creator: KeyCreator, tmp_path: Path, made_of: str
    ) -> None:
        created = creator.create(self.vacancy(), made_of)
        found = self.build(make_key_context(tmp_path)).load(self.vacancy())
        assert spki(found) == spki(created), "the key that create returned is not the one that load finds there"
        assert _kind_of(found) == _KINDS[made_of], f"asked for {made_of}, it made {describe(found)}"

    def test_a_new_key_is_opened_by_the_password_alone(self, creator: KeyCreator, tmp_path: Path) -> None:
        self.require_passwords()
        creator.create(self.vacancy(), self.algorithms[0])
        with pytest.raises(ConfigError):
            self.build(make_key_context(tmp_path, b"another")).load(self.vacancy())

    def test_the_files_of_a_new_key_are_for_their_owner_alone(self, creator: KeyCreator, tmp_path: Path) -> None:
        creator.create(self.vacancy(), self.algorithms[0])
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_key_is_never_made_in_the_place_of_another(self, creator: KeyCreator, uri: str, key: PrivateKey) -> None:
        with pytest.raises(ConfigError) as caught:
            creator.create(uri, self.algorithms[0])
        assert_clear(caught.value, uri)
        assert spki(creator.load(uri)) == spki(key)

    def test_new_keys_are_strong_and_unlike_each_other(self, creator: KeyCreator, tmp_path: Path) -> None:
        algorithm = "RSA-2048" if "RSA-2048" in self.algorithms else self.algorithms[0]
        made = [creator.create(self.vacancy(), algorithm)]
        if list(tmp_path.iterdir()):  # the place of a key that is kept elsewhere cannot be cleared
            _clear(tmp_path)
            made.append(creator.create(self.vacancy(), algorithm))
        faults = [fault for key in made for fault in check_public_key(key.public_key())]
        assert not faults, f"it makes weak keys: {faults}"
        assert len(set(map(spki, made))) == len(made), "it made the same key twice"

    @pytest.mark.parametrize("umask", [0o000, 0o277, 0o777])
    def test_the_umask_neither_widens_nor_narrows_the_mode(
        self, creator: KeyCreator, tmp_path: Path, umask: int
    ) -> None:
        before = os.umask(umask)
        try:
            creator.create(self.vacancy(), self.algorithms[0])
        finally:
            os.umask(before)
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()} <= {0o600}

    def test_a_dangling_link_is_not_followed(self, creator: KeyCreator, tmp_path: Path) -> None:
        creator.create(self.vacancy(), self.algorithms[0])
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for number, path in enumerate(kept_in(tmp_path)):
            path.unlink()
            path.symlink_to(elsewhere / str(number))
        with pytest.raises(ConfigError) as caught:
            creator.create(self.vacancy(), self.algorithms[0])
        assert_clear(caught.value, self.vacancy())
        assert list(elsewhere.iterdir()) == []

    def test_what_the_system_does_not_write_leaves_nothing_behind(self, creator: KeyCreator, tmp_path: Path) -> None:
        creator.create(self.vacancy(), self.algorithms[0])
        kept_in(tmp_path)
        _clear(tmp_path)
        with file_size_limit(64), pytest.raises(ConfigError) as caught:
            creator.create(self.vacancy(), self.algorithms[0])
        assert_clear(caught.value, self.vacancy())
        assert list(tmp_path.rglob("*")) == []
        creator.create(self.vacancy(), self.algorithms[0])

    def test_of_many_who_make_a_key_in_one_place_one_does(self, creator: KeyCreator) -> None:
        made: list[bytes] = []

        def make(_: int) -> None:
            try:
                made.append(spki(creator.create(self.vacancy(), self.algorithms[0])))
            except ConfigError as error:
                assert_clear(error, self.vacancy())

        at_once(make, 8)
        assert made == [spki(creator.load(self.vacancy()))]

    def test_a_new_key_is_shown_and_logged_nowhere(self, creator: KeyCreator, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            made = creator.create(self.vacancy(), self.algorithms[0])
        for shown in (repr(made), repr(creator), caplog.text):
            assert "canary" not in shown, f"the password is shown: {shown}"
            assert not _is_shown(made, shown), "the private key is shown; leave it out of repr, messages and the log"

    @pytest.mark.parametrize("algorithm", ["", "RSA-1024", "EC-P224", "ec-p256", "DSA", "Ed448", "RSA", "\x00"])
    def test_an_unknown_kind_of_key_is_a_fault_and_leaves_nothing(
        self, creator: KeyCreator, tmp_path: Path, algorithm: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            creator.create(self.vacancy(), algorithm)
        assert_clear(caught.value, self.vacancy())
        assert list(tmp_path.rglob("*")) == []


def _is_shown(key: CertificateIssuerPrivateKeyTypes, text: str) -> bool:
    """Whether the private key stands in the text; one that does not leave its machine stands nowhere."""
    try:
        return shows(text, key)
    except Exception:  # whatever such a key raises when it is asked for its octets
        return False


#: What a key is, by the name under which it is asked for: a curve, a type, or the bits of an RSA key.
_KINDS: Mapping[str, object] = {
    "EC-P256": ec.SECP256R1,
    "EC-P384": ec.SECP384R1,
    "EC-P521": ec.SECP521R1,
    "RSA-2048": 2048,
    "RSA-3072": 3072,
    "RSA-4096": 4096,
    "Ed25519": ed25519.Ed25519PrivateKey,
}


def _clear(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _kind_of(key: CertificateIssuerPrivateKeyTypes) -> object:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return type(key.curve)
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(
            key.sign(b"octets", padding.PKCS1v15(), hashes.SHA256()), b"octets", padding.PKCS1v15(), hashes.SHA256()
        )
        return key.key_size
    return next(kind for kind in (ed25519.Ed25519PrivateKey,) if isinstance(key, kind))
