"""ssh-keygen believes the SSH signer, which lists further keys, and names every fault of its keys."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from mica import CertType, ConfigError, Unavailable
from mica.keyfiles import generate
from mica.sshkeys import KeyLine
from mica.testing.keygen import KEY_OPTIONS, SECURITY_KEYS, Keygen, blob_of
from mica.testing.remotekeys import RemoteKey
from mica.testing.sshsigners import assemble, make_ssh_signer_context, make_ssh_tbs
from mica_sshsigner import register_ssh_signers
from mica_sshsigner.signer import SSHKeySigner, SSHSignerSettings


def settings(*, user: tuple[str, ...] = (), host: tuple[str, ...] = ()) -> SSHSignerSettings:
    return SSHSignerSettings(further_user_keys=tuple(map(Path, user)), further_host_keys=tuple(map(Path, host)))


def build(directory: Path, keys: dict[CertType, Any] | None = None, **further: tuple[str, ...]) -> SSHKeySigner:
    """A signer with a new key for each type, or with ``keys``, and these further ones."""
    keys = keys or {cert_type: generate("EC-P256") for cert_type in CertType}
    return SSHKeySigner(settings(**further), make_ssh_signer_context(keys, directory))


@pytest.mark.parametrize("name", KEY_OPTIONS)
async def test_ssh_keygen_prints_which_key_signed(keygen: Keygen, name: str) -> None:
    public = keygen.key(name)
    key = load_ssh_private_key(public.with_suffix("").read_bytes(), None)
    signer = build(keygen.folder, {CertType.HOST: key})
    await signer.start()
    certificate = await assemble(signer, make_ssh_tbs(signer, CertType.HOST))
    line = KeyLine(key_type=certificate.tbs.type, blob=certificate.blob).format()
    (path := keygen.folder / "id-cert.pub").write_text(f"{line}\n")
    said = keygen("-L", "-f", path)
    fingerprint = keygen("-l", "-f", public).split()[1]
    algorithm = "rsa-sha2-512" if name == "rsa" else public.read_text().split()[0]
    kind = {"ed25519": "ED25519", "rsa": "RSA"}.get(name, "ECDSA")
    assert f"Signing CA: {kind} {fingerprint} (using {algorithm})\n" in said


async def test_further_keys_follow_the_one_that_signs(keygen: Keygen) -> None:
    old, new = keygen.key("p256", file="old"), keygen.key("ed25519", file="new")
    signer = build(keygen.folder, user=("old.pub", "new.pub"))
    blobs = [key.blob for key in signer.authority_keys(CertType.USER)]
    assert blobs[1:] == [blob_of(old), blob_of(new)]
    assert len(signer.authority_keys(CertType.HOST)) == 1
    assert make_ssh_tbs(signer).signature_key.blob == blobs[0]


async def test_a_file_may_hold_several_keys_with_comments_between(keygen: Keygen) -> None:
    lines = [keygen.key(name).read_text().strip() for name in ("p256", "rsa")]
    (keygen.folder / "ca.pub").write_bytes(b"\xef\xbb\xbf# ours\r\n\r\n" + "\r\n".join(lines).encode())
    signer = build(keygen.folder, host=("ca.pub",))
    assert [key.key_type for key in signer.authority_keys(CertType.HOST)[1:]] == ["ecdsa-sha2-nistp256", "ssh-rsa"]


def test_what_is_no_public_key_of_a_ca_is_refused_with_its_place(keygen: Keygen) -> None:
    public = keygen.key("ed25519")
    keygen("-q", "-s", keygen.key("p256").with_suffix(""), "-I", "id", "-n", "alice", public)
    certificate = public.with_name("ed25519-cert.pub")
    pem = keygen("-e", "-m", "PKCS8", "-f", keygen.key("rsa"))
    files = {
        "private": (public.with_suffix("").read_bytes(), "is a private key; name the public half"),
        "certificate": (certificate.read_bytes(), "line 1: is a certificate"),
        "pem": (pem.encode(), "is PEM; name a .pub file"),
        "empty": (b"\n# nothing\n", "holds no key"),
        "binary": (b"\xff\xfe\x00", "is no text"),
        "options": (b"cert-authority " + public.read_bytes(), "line 1: must be a key alone, without 'cert-authority'"),
        "markers": (b"@cert-authority * " + public.read_bytes(), "must be a key alone"),
        "prose": (b"the key of the CA\n", "line 1: is no SSH public key"),
        "cut": (public.read_bytes()[:40], "line 1"),
    }
    for name, (octets, fault) in files.items():
        (keygen.folder / name).write_bytes(octets)
        with pytest.raises(ConfigError, match=rf"^further_user_keys\[0\]: {name}: .*{fault}"):
            build(keygen.folder, user=(name,))
    with pytest.raises(ConfigError, match=r"^further_host_keys\[1\]: .*absent.pub: cannot be read: No such file"):
        build(keygen.folder, host=("ed25519.pub", "absent.pub"))


@pytest.mark.parametrize("name", SECURITY_KEYS)
def test_a_security_key_is_no_ca(keygen: Keygen, name: str) -> None:
    keygen.key(name)
    with pytest.raises(ConfigError, match="a security key signs for people"):
        build(keygen.folder, user=(f"{name}.pub",))


def test_a_weak_further_key_is_refused(keygen: Keygen) -> None:
    keygen("-q", "-t", "rsa", "-b", "1024", "-f", "weak", "-N", "")
    with pytest.raises(ConfigError, match=r"^further_host_keys\[0\]: weak.pub: line 1: RSA key must be at least 2048"):
        build(keygen.folder, host=("weak.pub",))


def test_no_key_stands_in_two_places(keygen: Keygen) -> None:
    key = load_ssh_private_key(keygen.key("p256").with_suffix("").read_bytes(), None)
    keygen.key("ed25519")
    keys = {CertType.USER: key, CertType.HOST: generate("EC-P256")}
    with pytest.raises(ConfigError, match=r"^further_user_keys: the key SHA256:\S+ stands in user_key already"):
        build(keygen.folder, keys, user=("p256.pub",))
    with pytest.raises(ConfigError, match=r"^further_host_keys: the key SHA256:\S+ is that of user_key too"):
        build(keygen.folder, keys, host=("p256.pub",))
    with pytest.raises(ConfigError, match=r"^further_user_keys: the key SHA256:\S+ stands in further_user_keys"):
        build(keygen.folder, keys, user=("ed25519.pub", "ed25519.pub"))
    with pytest.raises(ConfigError, match=r"^further_host_keys: the key SHA256:\S+ is that of further_user_keys too"):
        build(keygen.folder, keys, user=("ed25519.pub",), host=("ed25519.pub",))


def test_further_keys_without_one_that_signs_are_refused(keygen: Keygen) -> None:
    keygen.key("ed25519")
    with pytest.raises(ConfigError, match=r"^further_host_keys: there is no host_key"):
        build(keygen.folder, {CertType.USER: generate("EC-P256")}, host=("ed25519.pub",))


def test_every_fault_is_reported_at_once(keygen: Keygen) -> None:
    (keygen.folder / "a.pub").write_text("prose\n")
    (keygen.folder / "b.pub").write_text("")
    with pytest.raises(ConfigError) as caught:
        weak = {CertType.USER: rsa.generate_private_key(65537, 1024)}
        build(keygen.folder, weak, user=("a.pub", "b.pub"), host=("c.pub",))
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "RSA key must be at least 2048 bits"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "EC key must be on P-256, P-384 or P-521"),
        (ed448.Ed448PrivateKey.generate, "key must be EC, RSA or Ed25519, not Ed448"),
        (lambda: dsa.generate_private_key(1024), "key must be EC, RSA or Ed25519, not DSA"),
    ],
)
def test_a_key_that_no_ca_may_have_is_refused(make: Callable[[], Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^user_key: {fault}.*; make another key"):
        SSHKeySigner(SSHSignerSettings(), make_ssh_signer_context({CertType.USER: make()}))


async def test_a_key_in_the_process_is_asked_on_the_loop() -> None:
    key = RemoteKey()
    signer = SSHKeySigner(SSHSignerSettings(), make_ssh_signer_context({CertType.USER: key}))
    await signer.sign(b"octets", CertType.USER)
    assert key.threads == {threading.get_ident()}


async def test_a_key_whose_signatures_do_not_verify_is_named_with_its_fingerprint() -> None:
    key = RemoteKey()
    signer = SSHKeySigner(SSHSignerSettings(), make_ssh_signer_context({CertType.USER: key}))
    await signer.start()
    key.broken = True
    with pytest.raises(Unavailable, match=r"^user_key \(SHA256:\S+\) makes signatures that do not verify$"):
        await signer.start()


def test_it_is_offered_under_its_name() -> None:
    (kind,) = register_ssh_signers()
    assert (kind.config, kind.build) == (SSHSignerSettings, SSHKeySigner)
