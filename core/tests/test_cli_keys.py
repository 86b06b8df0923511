"""Keys that commands read: files in every encoding, and URIs that the installed key backends know."""

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica.cli.errors import CLIError, FileProblem, PromptNeeded
from mica.cli.keys import PrivateKey, create_key, is_key_uri, read_key

PASSWORD = "canary horse"
STRANGER = """
from dataclasses import dataclass

from mica import kind, keyfiles
from mica.keyfiles import PasswordNeeded

KEY = keyfiles.generate("Ed25519")

@dataclass(frozen=True)
class Config:
    {field}

class Backend:
    scheme, blocking = "{scheme}", True

    def __init__(self, config, context):
        self.context = context

    def load(self, uri):
        if self.context.password is None:
            raise PasswordNeeded([uri + ": the token wants its PIN"])
        if uri.endswith("crash"):
            raise RuntimeError("the token was pulled out")
        if uri.endswith("foreign"):
            return object()
        return KEY

def register():
    return [kind("stranger", Config, Backend)]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command line stands: an encrypted EC key in a folder of secrets, and its password."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "password").write_text(PASSWORD + "\n")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "secrets/plain")
    openssl("pkey", "-in", "secrets/plain", "-aes256", "-passout", "file:password", "-out", "secrets/key")
    (tmp_path / "secrets/plain").chmod(0o600)
    (tmp_path / "secrets/key").chmod(0o600)
    return tmp_path


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution ``stranger`` that finds keys of the scheme ``vault``, on the path."""
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    site = tmp_path / "site"
    distribute(site, "stranger", "vault = stranger:register", STRANGER.format(scheme="vault", field="limit: int = 1"))
    monkeypatch.syspath_prepend(site)
    return site


def distribute(site: Path, name: str, entry: str, source: str = "") -> None:
    """``name`` is a distribution in ``site`` with one entry point of the group ``mica.keys``."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (site / f"{name}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mica.keys]\n{entry}\n")


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def public(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def expected() -> bytes:
    return openssl("pkey", "-in", "secrets/plain", "-pubout", "-outform", "DER")


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_files_are_read_in_pem_and_in_der(folder: Path, form: str) -> None:
    openssl("pkcs8", "-topk8", "-in", "secrets/plain", "-outform", form, "-passout", "file:password", "-out", "k")
    assert public(read_key("k", "password")) == expected()
    with pytest.raises(FileProblem, match="k: the key cannot be decrypted: the password is wrong"):
        read_key("k", "secrets/plain")


def test_without_a_password_and_a_terminal_the_flag_is_named(folder: Path) -> None:
    for name in ("secrets/key", "file:secrets/key"):
        script = f"from mica.cli.keys import read_key; read_key({name!r}, None, flag='--key-password-file')"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True)
        assert "PromptNeeded" in result.stderr
        assert f"Please enter the password to decrypt {name}" in result.stderr


@pytest.mark.parametrize("uri", ["file:secrets/key", "FILE:secrets/key", "file:{folder}/secrets/key"])
def test_a_uri_is_found_by_the_backend_that_serves_the_ca(folder: Path, uri: str) -> None:
    assert public(read_key(uri.format(folder=folder), "password")) == expected()
    assert public(read_key(Path(uri.format(folder=folder)), "password")) == expected()


def test_a_wrong_password_for_a_uri_is_a_file_problem(folder: Path) -> None:
    with pytest.raises(FileProblem, match="file:secrets/key: the key cannot be decrypted: the password is wrong"):
        read_key("file:secrets/key", "secrets/plain")


def test_what_the_backend_refuses_is_a_file_problem(folder: Path) -> None:
    (folder / "secrets/plain").chmod(0o644)
    with pytest.raises(FileProblem, match="others can read this secret"):
        read_key("file:secrets/plain", None)
    with pytest.raises(FileProblem, match="file:none"):
        read_key("file:none", None)


def test_a_file_with_the_literal_name_comes_before_the_uri(folder: Path) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "file:secrets")
    assert not is_key_uri("file:secrets")
    assert public(read_key("file:secrets", None)) == openssl(
        "pkey", "-in", "file:secrets", "-pubout", "-outform", "DER"
    )


@pytest.mark.parametrize("name", ["-", "key", "./a:b", "secrets/a:b", "1:b", ":b", "a:", ""])
def test_what_has_no_scheme_is_a_file(folder: Path, name: str) -> None:
    assert not is_key_uri(name)


def test_an_unknown_scheme_tells_what_is_installed(folder: Path, stranger: Path) -> None:
    with pytest.raises(FileProblem, match="pkcs11:token=a: there is no such file, and nothing") as caught:
        read_key("pkcs11:token=a", None)
    assert "file: (mica-ca-filekeys), vault: (stranger)" in str(caught.value.hint)


def test_two_distributions_that_claim_one_scheme_are_refused_and_named(folder: Path, stranger: Path) -> None:
    distribute(stranger, "second", "vault = second:register")
    with pytest.raises(CLIError, match="two distributions find keys of the scheme vault: ") as caught:
        read_key("file:secrets/key", "password")
    assert {"stranger", "second"} <= set(caught.value.message.split())


def test_a_key_of_a_strangers_backend_is_opened_with_the_password(folder: Path, stranger: Path) -> None:
    import stranger as module  # type: ignore[import-not-found]  # it lies in a folder of the test

    assert read_key("vault:one", "password") is module.KEY
    for name, message in (("vault:foreign", "vault:foreign: is a key of the kind"), ("vault:crash", "pulled out")):
        with pytest.raises(CLIError, match=message):
            read_key(name, "password")


def test_a_backend_that_needs_a_password_has_it_asked_for(folder: Path, stranger: Path) -> None:
    script = "from mica.cli.keys import read_key; print(type(read_key('vault:one', None)).__name__)"
    environment = {**os.environ, "PYTHONPATH": str(stranger)}
    child = pexpect.spawn(sys.executable, ["-c", script], env=environment, encoding="utf-8", timeout=30)
    child.expect("Please enter the password to decrypt vault:one: ")
    child.sendline("1234")
    child.expect("Ed25519PrivateKey")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "stranger cannot find keys of the scheme vault: AttributeError"),
        ("raise OSError('no library')", "stranger cannot find keys of the scheme vault: OSError: no library"),
        (STRANGER.format(scheme="vault", field="module: str"), "stranger cannot find keys of the scheme vault"),
        (STRANGER.format(scheme="other", field="limit: int = 1"), "has nothing that does"),
    ],
    ids=["empty", "raises", "needs a table", "serves another scheme"],
)
def test_a_backend_that_cannot_be_set_up_is_named(folder: Path, stranger: Path, source: str, message: str) -> None:
    (stranger / "stranger.py").write_text(source)
    with pytest.raises(CLIError, match=message):
        read_key("vault:one", "password")


@pytest.mark.parametrize("algorithm", ["EC-P384", "RSA-2048", "Ed25519"])
def test_a_key_is_made_where_the_uri_says(folder: Path, algorithm: str) -> None:
    key = create_key("file:secrets/new", algorithm, PASSWORD.encode())
    made = openssl("pkey", "-in", "secrets/new", "-passin", "file:password", "-pubout", "-outform", "DER")
    assert public(key) == made == public(read_key("file:secrets/new", "password"))
    assert (folder / "secrets/new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileProblem, match="exists already"):
        create_key("file:secrets/new", algorithm, PASSWORD.encode())


def test_where_no_key_can_be_made_that_is_said(folder: Path, stranger: Path) -> None:
    with pytest.raises(FileProblem, match="keys of the scheme vault: cannot be made here"):
        create_key("vault:new", "Ed25519", b"1234")
    with pytest.raises(FileProblem, match="written encrypted only"):
        create_key("file:secrets/new", "Ed25519", None)
    assert not (folder / "secrets/new").exists()


def test_a_command_asks_for_no_password_that_it_does_not_need(folder: Path) -> None:
    assert public(read_key("file:secrets/plain", None)) == expected()
    with pytest.raises(PromptNeeded):
        _without_asking("secrets/key")


def _without_asking(name: str) -> None:
    """Reads the key as ``--non-interactive`` would have it."""
    import click

    from mica.cli.console import Settings

    settings = Settings()
    settings.non_interactive = True
    with click.Context(click.Command("x"), obj=settings):
        read_key(name, None)


@pytest.mark.parametrize(("name", "imported"), [("secrets/plain", set()), ("file:secrets/plain", {"mica_filekeys"})])
def test_a_plain_file_costs_no_search_for_plugins(folder: Path, name: str, imported: set[str]) -> None:
    script = f"""
import sys
from mica.cli.keys import read_key
read_key({name!r}, None)
print(*sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    plugins = {
        "mica_filekeys", "mica_jwk", "mica_x509signer", "mica_sshsigner", "mica_storage_sqlite", "mica_certtool",
        "jwcrypto",
    }  # fmt: skip
    assert set(result.stdout.split()) & plugins == imported
