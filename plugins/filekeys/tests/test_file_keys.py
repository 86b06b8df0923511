"""The file key backend reads what openssl and ssh-keygen write, takes paths literally, and says what is wrong."""

import os
import subprocess
from pathlib import Path

import pytest

from mica import ConfigError, KeyCreator, keyfiles
from mica.testing.keys import PASSWORD, make_key_context, spki
from mica_filekeys import register_key_backends
from mica_filekeys.backend import FileKeys, FileKeysConfig


def build(directory: Path, password: bytes | None = PASSWORD) -> FileKeys:
    return FileKeys(FileKeysConfig(), make_key_context(directory, password))


def put(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.fixture
def key(tmp_path: Path) -> keyfiles.PrivateKey:
    key = keyfiles.generate("EC-P256")
    put(tmp_path / "key", keyfiles.dump_private_key(key, None))
    return key


def test_a_path_may_be_absolute_and_written_with_three_slashes(tmp_path: Path, key: keyfiles.PrivateKey) -> None:
    backend = build(Path("/nonexistent"))
    for uri in (f"file:{tmp_path}/key", f"file://{tmp_path}/key", f"FILE:{tmp_path}/key"):
        assert spki(backend.load(uri)) == spki(key)


def test_a_path_is_taken_literally(tmp_path: Path, key: keyfiles.PrivateKey) -> None:
    (tmp_path / "key").rename(tmp_path / "a key%20#1?")
    assert spki(build(tmp_path).load("file:a key%20#1?")) == spki(key)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path, key: keyfiles.PrivateKey) -> None:
    (tmp_path / "key").chmod(0o604)
    with pytest.raises(ConfigError, match=r"file:key: .*chmod 600"):
        build(tmp_path).load("file:key")


def test_the_password_is_not_used_on_a_key_that_is_not_encrypted(tmp_path: Path, key: keyfiles.PrivateKey) -> None:
    assert spki(build(tmp_path, b"for another key").load("file:key")) == spki(key)


def test_a_key_encrypted_by_ssh_keygen_is_read(tmp_path: Path) -> None:
    # bcrypt, which OpenSSH's format needs, is a dependency of this plugin and not of the core.
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", PASSWORD.decode(), "-f", tmp_path / "ssh"], check=True
    )
    assert keyfiles.describe(build(tmp_path).load("file:ssh")) == "ECDSA P-384"
    with pytest.raises(ConfigError, match="password is wrong"):
        build(tmp_path, b"wrong").load("file:ssh")


def test_openssl_reads_what_is_created_with_the_password(tmp_path: Path) -> None:
    created = build(tmp_path).create("file:new", "EC-P384")
    shown = subprocess.run(
        [
            "openssl",
            "pkey",
            "-in",
            tmp_path / "new",
            "-passin",
            f"pass:{PASSWORD.decode()}",
            "-pubout",
            "-outform",
            "DER",
        ],
        check=True,
        capture_output=True,
    )
    assert shown.stdout == spki(created)


def test_without_a_password_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--password-file"):
        build(tmp_path, None).create("file:new", "EC-P256")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/new", "file/new"])
def test_a_folder_that_cannot_be_written_is_one_clear_fault(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"file:{place}: .* cannot be written: "):
        build(tmp_path).create(f"file:{place}", "EC-P256")


def test_a_full_disk_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        build(tmp_path).create("file:new", "EC-P256")
    assert list(tmp_path.iterdir()) == []


def test_it_is_offered_and_fills_the_role(tmp_path: Path) -> None:
    (kind,) = register_key_backends()
    backend = kind.build(kind.config(), make_key_context(tmp_path))
    assert isinstance(backend, FileKeys)
    assert isinstance(backend, KeyCreator)
