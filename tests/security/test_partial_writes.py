"""Keys and configuration are written whole or not at all, wherever the writer is killed or the disk is full."""

import json
import shutil
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.security.changes import Stop, stops

from mica.foundation import CONFIGURATION, DEFAULTS, INTERMEDIATE, INTERMEDIATE_KEY, ROOT, ROOT_KEY
from mica.testing.ca import TestCA, public_jwk
from mica.testing.keys import PASSWORD

FILES = (CONFIGURATION, DEFAULTS, ROOT, ROOT_KEY, INTERMEDIATE, INTERMEDIATE_KEY)
CA_PASSWORD = b"of the CA"
FULL = ("no space left on device", "No space left on device")

how = pytest.mark.parametrize("how", ["killed", "full"])


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """What is there before anything is written: a password."""
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "password").write_bytes(CA_PASSWORD)
    return folder


@pytest.fixture
def tried(tmp_path: Path) -> Path:
    """Where it is tried again and again."""
    folder = tmp_path / "tried"
    folder.mkdir()
    return folder


def in_order(found: list[Stop], how: str, least: int) -> list[Stop]:
    """``found``, of which each but the last was killed, or told so in plain words and left nothing half written."""
    assert found[-1].code == 0, found[-1].said
    assert len(found) > least, "hardly anything was stopped"
    for stop in found[:-1]:
        assert "Traceback" not in stop.said
        if how == "full":
            assert stop.code == 5 and any(words in stop.said for words in FULL), stop
        else:
            assert stop.code == -9, stop
    for stop in found:
        secrets_are_closed(stop.folder)
        if how == "full" or stop.code == 0:
            assert not list(stop.folder.rglob(".mica-*")) + list(stop.folder.rglob(".new.*")), stop
    return found


def secrets_are_closed(folder: Path) -> None:
    """Nobody else can read anything in which there is a private key, or half of one, or may be soon."""
    for path in folder.rglob("*"):
        if path.is_file() and (b"PRIVATE" in path.read_bytes() or path.parent.name == "secrets"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    if (folder / "home").exists():
        assert stat.S_IMODE((folder / "home").stat().st_mode) == 0o700


def is_whole(home: Path, path: Path) -> None:
    """pyca and the standard library read the file."""
    contents = (home / path).read_bytes()
    if path in (ROOT_KEY, INTERMEDIATE_KEY):
        load_pem_private_key(contents, CA_PASSWORD)
    elif path in (ROOT, INTERMEDIATE):
        x509.load_pem_x509_certificate(contents)
    elif path == DEFAULTS:
        assert json.loads(contents)["root"].endswith(str(ROOT))
    else:
        assert len(tomllib.loads(contents.decode())["provisioners"]) == 1


def belong_together(home: Path) -> None:
    """The keys are those of the certificates, one of which issued the other."""
    root, intermediate = (x509.load_pem_x509_certificate((home / path).read_bytes()) for path in (ROOT, INTERMEDIATE))
    intermediate.verify_directly_issued_by(root)
    for certificate, path in ((root, ROOT_KEY), (intermediate, INTERMEDIATE_KEY)):
        assert load_pem_private_key((home / path).read_bytes(), CA_PASSWORD).public_key() == certificate.public_key()


@how
def test_a_ca_whose_founding_ended_anywhere_is_in_whole_files_and_is_founded_anew_when_told(
    template: Path, tried: Path, how: str
) -> None:
    found = stops("found_ca", how, tried, template, then=("found_ca", "found_ca_anew"))
    for stop in in_order(list(found), how, 40):
        home = stop.folder / "home"
        there = [path for path in FILES if (home / path).exists()]
        for path in there:
            is_whole(home, path)
        if CONFIGURATION in there:  # it is the last: where it is, there is a CA
            assert len(there) == len(FILES)
            belong_together(home)
        if stop.then:
            (code, said), (anew, _) = stop.then
            assert (code, anew) == (5 if there else 0, 0), said
            part = "there is a part of a CA already, without" if CONFIGURATION not in there else "there is a CA already"
            assert (part in said and "--force" in said) == bool(there), said
            belong_together(stop.folder.with_name(f"{stop.folder.name}.then") / "home")


def test_a_ca_whose_replacement_was_killed_anywhere_is_in_files_that_are_old_or_new(
    template: Path, tried: Path, tmp_path: Path
) -> None:
    (founded,) = stops("found_ca", "never", tmp_path, template)
    for stop in in_order(list(stops("replace_ca", "killed", tried, founded.folder)), "killed", 25):
        for path in FILES:
            is_whole(stop.folder / "home", path)


@how
def test_a_configuration_whose_change_ended_anywhere_is_the_old_one_or_the_new_one(
    ca: TestCA, template: Path, tried: Path, how: str
) -> None:
    shutil.copytree(ca.directory, template / "home", ignore=shutil.ignore_patterns("template", "tried"))
    (template / "home").chmod(0o700)
    (template / "second.json").write_text(json.dumps(public_jwk(generate_private_key(SECP256R1()).public_key())))
    old = (ca.directory / CONFIGURATION).read_bytes()
    found = in_order(list(stops("change_configuration", how, tried, template)), how, 5)
    new = (found[-1].folder / "home" / CONFIGURATION).read_bytes()
    assert [entry["name"] for entry in tomllib.loads(new.decode())["provisioners"]] == ["admin", "second"]
    assert {(stop.folder / "home" / CONFIGURATION).read_bytes() for stop in found} == {old, new}


@how
def test_a_key_that_is_made_is_there_whole_or_not_at_all(template: Path, tried: Path, how: str) -> None:
    for stop in in_order(list(stops("create_key", how, tried, template)), how, 6):
        made = stop.folder / "new"
        if how == "full":
            assert made.exists() == (stop.code == 0), "it is there, and was said not to be"
        if made.exists():
            load_pem_private_key(made.read_bytes(), PASSWORD)
            assert stat.S_IMODE(made.stat().st_mode) == 0o600


@how
def test_a_pair_is_the_old_one_or_the_new_one_or_the_new_certificate_waits_beside_the_new_key(
    template: Path, tried: Path, how: str
) -> None:
    (template / "svc.crt").write_bytes(b"old certificate")
    (template / "svc.key").write_bytes(b"old PRIVATE KEY")
    (template / "svc.key").chmod(0o600)
    for stop in in_order(list(stops("replace_pair", how, tried, template)), how, 15):
        pair = [(stop.folder / name).read_bytes() for name in ("svc.crt", "svc.key")]
        if pair == [b"old certificate", b"new PRIVATE KEY"]:
            assert (stop.folder / ".svc.crt.mica-rekey").read_bytes() == b"new certificate"
        else:
            assert pair in ([b"old certificate", b"old PRIVATE KEY"], [b"new certificate", b"new PRIVATE KEY"])
