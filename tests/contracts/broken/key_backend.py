"""Broken copies of the file key backend: weak or foreign keys, secrets in messages, files that others can reach."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from tests.contracts.broken.breaking import Turned

from mica import ConfigError, keyfiles
from mica.keyfiles import PrivateKey
from mica_filekeys.backend import FileKeys, FileKeysConfig
from mica_filekeys.contracts import TestFileKeys

_log = logging.getLogger(__name__)


class Broken(Turned, TestFileKeys):
    """The suite of the plugin, turned on another backend."""

    weak_keys = ("RSA-1024",)
    config = FileKeysConfig()


def _pem(key: PrivateKey) -> bytes:
    """The key, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Unguarded(FileKeys):
    """Keys are read and written as a careless author would, each step to be broken by itself."""

    def create(self, uri: str, algorithm: str) -> PrivateKey:
        path, password = self._path(uri), self._context.password
        assert password is not None
        try:
            if path.exists():
                raise FileExistsError(path)
            key = self.generated(algorithm)
            self.write(path, keyfiles.dump_private_key(key, password))
        except FileExistsError as error:
            raise ConfigError([f"{uri}: exists already; choose another name"]) from error
        except OSError as error:
            raise ConfigError([f"{uri}: cannot be written: {error.strerror}"]) from error
        except ConfigError as error:
            raise ConfigError(f"{uri}: {fault}" for fault in error.faults) from error
        return key

    def generated(self, algorithm: str) -> PrivateKey:
        """A new key."""
        return keyfiles.generate(algorithm)

    def write(self, path: Path, data: bytes) -> None:
        """``data`` is in ``path``, which is new."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


@pytest.mark.caught(by="test_a_weak_key_is_refused_by_name_and_without_secrets", because="Failed: ")
class TestTakesWeakKeys(Broken):
    """A key of 1024 bits is as good as any (threat 25)."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            data = self._context.read_secret(self._path(uri))
            try:
                found = serialization.load_pem_private_key(data, self._context.password)
            except (TypeError, ValueError) as error:
                raise ConfigError([f"{uri}: the password is wrong"]) from error
            return found  # type: ignore[return-value]


@pytest.mark.caught(by="test_the_key_says_its_public_key", because="assert b")
class TestFindsAnotherKey(Broken):
    """Whatever the URI names, a key is made and given out."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            super().load(uri)
            return keyfiles.generate("EC-P256")


@pytest.mark.caught(by="test_where_there_is_no_key_the_fault_names_the_uri", because="Failed: ")
class TestMakesAKeyWhereThereIsNone(Broken):
    """A name that is spelt wrongly is no fault: the authority starts with a new key."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            try:
                return super().load(uri)
            except ConfigError as error:
                if any("no such file" in fault.lower() for fault in error.faults):
                    return keyfiles.generate("EC-P256")
                raise


@pytest.mark.caught(by="test_a_wrong_password_is_one_clear_fault_without_secrets", because="assert 'canary' not in")
class TestSaysThePasswordInAMessage(Broken):
    """The fault shows which password did not fit (threat 27)."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            try:
                return super().load(uri)
            except ConfigError as error:
                password = self._context.password
                raise ConfigError([f"{fault} (the password was {password!r})" for fault in error.faults]) from None


@pytest.mark.caught(by="test_a_wrong_password_is_one_clear_fault_without_secrets", because="assert 'canary' not in")
class TestSaysThePasswordInTheCause(Broken):
    """The message is clean, and what led to it has the password: any traceback shows it."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            try:
                return super().load(uri)
            except ConfigError as error:
                raise ConfigError(error.faults) from ValueError(f"password {self._context.password!r}")


@pytest.mark.caught(by="test_nothing_that_it_shows_or_logs_is_secret", because="canary|show")
class TestLogsThePassword(Broken):
    """The password stands in the log of whoever debugs."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            _log.debug("opening %s with %r", uri, self._context.password)
            return super().load(uri)


@pytest.mark.caught(by="test_a_new_key_is_shown_and_logged_nowhere", because="show|canary")
class TestLogsANewKey(Broken):
    """A key that has just been made is logged in PEM."""

    class Part(FileKeys):
        def create(self, uri: str, algorithm: str) -> PrivateKey:
            key = super().create(uri, algorithm)
            _log.debug("made %s", _pem(key).decode())
            return key


@pytest.mark.caught(by="test_a_new_key_is_opened_by_the_password_alone", because="Failed: ")
class TestWritesKeysUnencrypted(Broken):
    """The password is asked for, and not used."""

    class Part(Unguarded):
        def write(self, path: Path, data: bytes) -> None:
            key = keyfiles.load_private_key(data, self._context.password, where="")
            super().write(path, _pem(key))


@pytest.mark.caught(by="test_the_files_of_a_new_key_are_for_their_owner_alone", because="420 == 384|0o644")
class TestMakesFilesThatOthersCanRead(Broken):
    """A new key is for everyone on the machine to read (threat 28)."""

    class Part(FileKeys):
        def create(self, uri: str, algorithm: str) -> PrivateKey:
            key = super().create(uri, algorithm)
            self._path(uri).chmod(0o644)
            return key


@pytest.mark.caught(by="test_the_umask_neither_widens_nor_narrows_the_mode", because="assert")
class TestLeavesTheModeToTheUmask(Broken):
    """A new key has the mode that the umask leaves: with a careless one, others read it."""

    class Part(Unguarded):
        def write(self, path: Path, data: bytes) -> None:
            with path.open("xb") as file:
                file.write(data)


@pytest.mark.caught(by="test_a_key_is_never_made_in_the_place_of_another", because="Failed: ")
class TestOverwritesAKey(Broken):
    """A new key takes the place of the one that was there."""

    class Part(Unguarded):
        def create(self, uri: str, algorithm: str) -> PrivateKey:
            self._path(uri).unlink(missing_ok=True)
            return super().create(uri, algorithm)


@pytest.mark.caught(by="test_of_many_who_make_a_key_in_one_place_one_does", because="assert")
class TestLooksBeforeItOverwrites(Broken):
    """Whether there is a key is looked up first: of two who make one at a time, the last has overwritten the first."""

    class Part(Unguarded):
        def write(self, path: Path, data: bytes) -> None:
            new = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
            super().write(new, data)
            new.rename(path)


@pytest.mark.caught(by="test_a_dangling_link_is_not_followed", because="Failed: |assert")
class TestFollowsALink(Broken):
    """A new key is written to wherever a link points that somebody has put there (threat 28)."""

    class Part(Unguarded):
        def write(self, path: Path, data: bytes) -> None:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.fchmod(descriptor, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)


@pytest.mark.caught(by="test_what_the_system_does_not_write_leaves_nothing_behind", because="assert")
class TestLeavesHalfAKeyBehind(Broken):
    """When the disk is full, the beginning of a key is left where the key would be."""

    class Part(Unguarded):
        pass


@pytest.mark.caught(by="test_new_keys_are_strong_and_unlike_each_other", because="assert")
class TestGivesOutOneKeyAgainAndAgain(Broken):
    """A new key is the last new key (threat 24)."""

    class Part(Unguarded):
        made: ClassVar[dict[str, PrivateKey]] = {}

        def generated(self, algorithm: str) -> PrivateKey:
            if algorithm not in self.made:
                self.made[algorithm] = super().generated(algorithm)
            return self.made[algorithm]


@pytest.mark.caught(by="test_a_new_key_is_of_the_kind_asked_for_and_found_again", because="assert")
class TestMakesAnotherKindOfKey(Broken):
    """Whoever asks for P-384 gets P-256."""

    class Part(Unguarded):
        def generated(self, algorithm: str) -> PrivateKey:
            super().generated(algorithm)
            return super().generated("EC-P256")


@pytest.mark.caught(by="test_an_unknown_kind_of_key_is_a_fault_and_leaves_nothing", because="Failed: ")
class TestMakesTheUsualKeyForAnUnknownKind(Broken):
    """An algorithm that it does not know is taken for the usual one: who asks for more gets less."""

    class Part(FileKeys):
        def create(self, uri: str, algorithm: str) -> PrivateKey:
            known: Iterable[str] = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519")
            return super().create(uri, algorithm if algorithm in known else "EC-P256")


@pytest.mark.caught(by="test_a_key_in_a_file_that_others_can_read_or_write_is_refused", because="Failed: ")
class TestReadsFilesThatOthersCanRead(Broken):
    """Who else can read the file of a key is not looked at."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            try:
                data = self._path(uri).read_bytes()
            except (OSError, ValueError) as error:
                raise ConfigError([f"{uri}: cannot be read"]) from error
            return keyfiles.load_private_key(data, self._context.password, where=uri)


@pytest.mark.caught(by="test_a_damaged_key_is_one_clear_fault", because="ValueError|IndexError|Error")
class TestStumblesOverADamagedKey(Broken):
    """A file that is no key ends the start with whatever the library raised."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            data = self._context.read_secret(self._path(uri))
            if b"ENCRYPTED" not in data:
                raise ValueError("Could not deserialize key data")
            return super().load(uri)


@pytest.mark.caught(by="test_a_uri_of_another_scheme_is_a_fault", because="Failed: |Error")
class TestServesEveryScheme(Broken):
    """What stands before the colon is not looked at: another backend's URI is taken for a file."""

    class Part(FileKeys):
        def load(self, uri: str) -> PrivateKey:
            return (
                super().load(f"file:{uri.rpartition(':')[2]}") if "nobody" not in uri else keyfiles.generate("EC-P256")
            )
