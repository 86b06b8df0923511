"""SSH public keys: ssh-keygen says the same of them, and every octet is kept."""

import base64
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from hypothesis import given
from hypothesis import strategies as st

from mica.sshkeys import KeyLine, SSHPublicKey, fingerprint
from mica.sshwire import MalformedSSH, Reader, mpint, string, text
from mica.testing.keygen import ALL_KEYS, KEY_OPTIONS, SECURITY_KEYS, Keygen, blob_of, damaged, security_key

ED25519 = SSHPublicKey.of(ed25519.Ed25519PrivateKey.generate().public_key())
KEYS = (
    ED25519,
    SSHPublicKey.of(ec.generate_private_key(ec.SECP384R1()).public_key()),
    SSHPublicKey.of(rsa.generate_private_key(65537, 2048).public_key()),
    *(SSHPublicKey.decode(security_key(name)) for name in SECURITY_KEYS),
)
QUOTED = 'command="echo \\"ssh-ed25519 AAAA\\"",no-pty'
HASHED = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    return Keygen(tmp_path)


@pytest.mark.parametrize("name", ALL_KEYS)
def test_ssh_keygen_says_the_same_of_a_key(keygen: Keygen, name: str) -> None:
    public = keygen.key(name, "alice@harbour.example")
    line = KeyLine.parse(public.read_text())
    key = SSHPublicKey.decode(line.blob)
    said = f"{key.bits} {key.fingerprint} {line.comment} ({key.kind})\n"
    assert said == keygen("-l", "-f", public)
    assert line.format() + "\n" == public.read_text()
    assert (key.blob, fingerprint(line.blob)) == (line.blob, key.fingerprint)


@pytest.mark.parametrize("name", KEY_OPTIONS)
def test_pyca_and_ssh_keygen_have_the_same_key_in_the_same_octets(keygen: Keygen, name: str) -> None:
    public = keygen.key(name)
    key = load_ssh_public_key(public.read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    ours = SSHPublicKey.of(key)
    assert ours.blob == blob_of(public)
    assert ours == SSHPublicKey.decode(ours.blob)
    assert (
        ours.key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        == " ".join(public.read_text().split()[:2]).encode()
    )
    assert not ours.is_security_key


@pytest.mark.parametrize("name", SECURITY_KEYS)
def test_a_security_key_keeps_its_application(name: str) -> None:
    blob = security_key(name, "ssh:harbour")
    key = SSHPublicKey.decode(blob)
    assert (key.application, key.is_security_key, key.blob) == ("ssh:harbour", True, blob)
    assert text(key.key_type) + key.fields == blob
    assert key != SSHPublicKey.decode(security_key(name, "ssh:harbour"))


@pytest.mark.parametrize(
    ("line", "prefix", "comment"),
    [
        ("{}", "", ""),
        ("{} alice@harbour.example\r\n", "", "alice@harbour.example"),
        ("{}  two words ", "", "two words"),
        (f"{QUOTED} {{}} alice", QUOTED, "alice"),
        ("cert-authority {}", "cert-authority", ""),
        ("@cert-authority *.harbour.example {} ca", "@cert-authority *.harbour.example", "ca"),
        (f"{HASHED} {{}}", HASHED, ""),
        ("[bastion]:2222,10.0.0.1 {}", "[bastion]:2222,10.0.0.1", ""),
    ],
)  # fmt: skip
def test_lines_of_authorized_keys_and_known_hosts_are_read(line: str, prefix: str, comment: str) -> None:
    key = f"ssh-ed25519 {base64.b64encode(ED25519.blob).decode()}"
    found = KeyLine.parse(line.format(key))
    assert found == KeyLine(key_type="ssh-ed25519", blob=ED25519.blob, prefix=prefix, comment=comment)
    assert KeyLine.parse(found.format()) == found


def test_a_bare_blob_will_do() -> None:
    assert KeyLine.parse(base64.b64encode(ED25519.blob).decode()).key_type == "ssh-ed25519"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("", "is no SSH public key"),
        ("ssh-ed25519", "is no SSH public key"),
        ("ssh-ed25519 harbour", "is no SSH public key"),
        ("two words ssh-ed25519 AAAA", "is no SSH public key"),
        ('command="open ssh-ed25519 AAAA', "is no SSH public key"),
        ("ssh-ed25519 AAAAC", "what follows the type is not base64"),
        ("ssh-ed25519 AAAA", "ends too early"),
        (f"ssh-rsa {base64.b64encode(ED25519.blob).decode()}", "says ssh-rsa, and its blob says 'ssh-ed25519'"),
    ],
    ids=map(str, count()),
)
def test_other_lines_are_refused(line: str, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        KeyLine.parse(line)


@pytest.mark.parametrize("part", ["comment", "prefix"])
@pytest.mark.parametrize("inserted", ["\n", "\r", "\0", "\x1b", "\u2028"])
def test_a_line_never_becomes_two(part: str, inserted: str) -> None:
    line = KeyLine(key_type="ssh-ed25519", blob=ED25519.blob, **{part: f"a{inserted}b"})
    with pytest.raises(MalformedSSH, match="must not contain line ends"):
        line.format()


def test_weak_keys_have_faults_by_the_rules_for_x509() -> None:
    weak = SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key())
    assert weak.faults() == ["RSA key must be at least 2048 bits (256 bytes)"]
    assert [key.faults() for key in KEYS] == [[]] * len(KEYS)


def test_a_curve_that_ssh_does_not_have_is_refused() -> None:
    with pytest.raises(MalformedSSH, match="must be on P-256, P-384 or P-521, not secp256k1"):
        SSHPublicKey.of(ec.generate_private_key(ec.SECP256K1()).public_key())


POINT = KEYS[1].key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


@pytest.mark.parametrize(
    ("blob", "rule"),
    [
        (b"", "key type: ends too early"),
        (text("ssh-dss") + string(b"x"), "'ssh-dss' is none of ssh-ed25519, "),
        (text("x" * 10_000), "…' is none of"),
        (text("ssh-ed25519") + string(b"x" * 31), "an Ed25519 key has 32 octets, not 31"),
        (ED25519.blob + b"\0", "1 octets too many at its end"),
        (text("ecdsa-sha2-nistp384") + text("nistp256") + string(POINT), "curve: must be nistp384"),
        (text("ecdsa-sha2-nistp384") + text("nistp384") + string(POINT), "point: must be uncompressed"),
        (text("ecdsa-sha2-nistp384") + text("nistp384") + string(b"\x04" + b"\1" * 96), "point: is not on nistp384"),
        (text("ecdsa-sha2-nistp384") + text("nistp384") + string(b"\x00"), "point: must be uncompressed"),
        (text("ssh-rsa") + mpint(65537) + mpint(0), "not the numbers of an RSA key"),
        (text("ssh-rsa") + mpint(2) + mpint(2**2047 + 1), "not the numbers of an RSA key"),
        (text("ssh-rsa") + mpint(65537) + mpint(2**20000 + 1), "must have at most 16384 bits"),
        (text("ssh-rsa") + mpint(65537) + string(b"\0" + b"\1" * 256), "in as few octets as hold it"),
    ],
    ids=map(str, count()),
)  # fmt: skip
def test_blobs_that_hold_no_key_are_refused(blob: bytes, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        SSHPublicKey.decode(blob)


@given(
    st.sampled_from(KEYS),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(("flip", "cut", "insert", "remove")),
    st.integers(0, 255),
)
def test_a_damaged_blob_is_refused_or_is_another_key(key: SSHPublicKey, place: float, how: str, octet: int) -> None:
    blob = damaged(key.blob, place, how, octet)
    try:
        found = SSHPublicKey.decode(blob)
    except MalformedSSH:
        return
    assert found.blob == blob
    assert found.blob != key.blob
    assert Reader(blob, "it").text("type") == found.key_type


@given(st.text(max_size=200))
def test_any_line_of_text_is_a_key_or_refused(line: str) -> None:
    with pytest.raises(MalformedSSH):
        KeyLine.parse(line)


def test_a_line_of_many_megabytes_is_refused_quickly() -> None:
    for line in ("x" * 1_000_000, " ".join("x" * 500_000), '"' * 1_000_001, "ssh-rsa AAAA" + "A" * 1_000_000 + "!"):
        with pytest.raises(MalformedSSH):
            KeyLine.parse(line)
