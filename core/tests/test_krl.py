"""Key revocation lists: ssh-keygen agrees about every certificate, and its own lists are read."""

import hashlib
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mica.krl import KRL, RevokedCertificates
from mica.krlserials import decode_bitmap, decode_list, decode_range, encode_serials, merged
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.sshwire import MAX_UINT64, MalformedSSH, Reader, mpint, string, text, uint32, uint64
from mica.testing.keygen import Keygen, blob_of, damaged, security_key

NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
KEY = SSHPublicKey.of(ed25519.Ed25519PrivateKey.generate().public_key())
OTHER = SSHPublicKey.decode(security_key("sk-p256"))
READERS = {0x20: decode_list, 0x21: decode_range, 0x22: decode_bitmap}


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    return Keygen(tmp_path)


def krl(*certificates: RevokedCertificates, **others: frozenset[bytes]) -> KRL:
    return KRL(version=7, generated_date=NOW, comment="harbour", certificates=certificates, **others)


def of(path: Path) -> SSHPublicKey:
    return SSHPublicKey.decode(blob_of(path))


def certificate(keygen: Keygen, serial: int, *, key_id: str = "alice", ca: str = "ed25519") -> Path:
    """A certificate for a new key, in a file of its own."""
    public = keygen.key("ed25519", file=f"{ca}-{serial}-{key_id}")
    return keygen.certificate(ca, public, "-I", key_id, "-n", "alice", "-z", str(serial))


def agreed(keygen: Keygen, made: KRL, path: Path) -> bool:
    """Whether the list revokes what is in ``path``: by ssh-keygen's word and by ours, which are one."""
    (keygen.folder / "krl").write_bytes(made.encode())
    revoked = "REVOKED" in keygen("-Q", "-f", "krl", path, code=1 if _ours(made, path) else 0)
    assert revoked == _ours(made, path) == _ours(KRL.decode(made.encode()), path)
    return revoked


def _ours(made: KRL, path: Path) -> bool:
    if path.name.endswith("-cert.pub"):
        return made.revokes(SSHCertificate.decode(blob_of(path)))
    return made.revokes_key(of(path))


def test_a_serial_is_revoked_for_its_own_ca_alone(keygen: Keygen) -> None:
    serials = (1, 5, 6, 7, 300, 2**63, MAX_UINT64)
    mine = {serial: certificate(keygen, serial) for serial in (*serials, 4, 8, 301, 2**63 + 1)}
    others = certificate(keygen, 5, ca="p256")
    made = krl(RevokedCertificates.of(of(keygen.folder / "ca-ed25519.pub"), serials=serials))
    assert {serial for serial, path in mine.items() if agreed(keygen, made, path)} == set(serials)
    assert not agreed(keygen, made, others)


def test_without_a_key_the_serials_of_every_ca_are_meant(keygen: Keygen) -> None:
    made = krl(RevokedCertificates.of(None, serials=[5]))
    assert agreed(keygen, made, certificate(keygen, 5))
    assert agreed(keygen, made, certificate(keygen, 5, ca="p256"))
    assert not agreed(keygen, made, certificate(keygen, 6))


def test_two_cas_stand_in_one_list(keygen: Keygen) -> None:
    one, two = certificate(keygen, 5), certificate(keygen, 6, ca="p256")
    made = krl(
        RevokedCertificates.of(of(keygen.folder / "ca-ed25519.pub"), serials=[5]),
        RevokedCertificates.of(of(keygen.folder / "ca-p256.pub"), serials=[6]),
    )
    assert agreed(keygen, made, one)
    assert agreed(keygen, made, two)
    assert not agreed(keygen, made, certificate(keygen, 6))


def test_a_key_id_revokes_every_certificate_of_it(keygen: Keygen) -> None:
    paths = [certificate(keygen, serial, key_id="mallory") for serial in (0, 9)]
    made = krl(RevokedCertificates.of(of(keygen.folder / "ca-ed25519.pub"), key_ids=["mallory", "eve"]))
    assert all(agreed(keygen, made, path) for path in paths)
    assert not agreed(keygen, made, certificate(keygen, 9))


@pytest.mark.parametrize("kind", ["keys", "sha1", "sha256"])
def test_a_key_is_revoked_with_its_certificates_and_with_what_it_signed(keygen: Keygen, kind: str) -> None:
    revoked, lives = certificate(keygen, 1), certificate(keygen, 2)
    key, ca = (of(keygen.folder / name) for name in ("ed25519-1-alice.pub", "ca-ed25519.pub"))
    made = krl(**{kind: frozenset({_entry(kind, key.blob)})})
    assert agreed(keygen, made, revoked)
    assert agreed(keygen, made, keygen.folder / "ed25519-1-alice.pub")
    assert not agreed(keygen, made, lives)
    assert agreed(keygen, krl(**{kind: frozenset({_entry(kind, ca.blob)})}), lives)


def _entry(kind: str, blob: bytes) -> bytes:
    return blob if kind == "keys" else hashlib.new(kind, blob).digest()


def test_an_empty_list_revokes_nothing(keygen: Keygen) -> None:
    assert not agreed(keygen, krl(), certificate(keygen, 1))
    assert not agreed(keygen, krl(RevokedCertificates.of(None)), certificate(keygen, 1))


def test_ssh_keygen_shows_what_was_put_in(keygen: Keygen) -> None:
    keygen.key("ed25519")
    key = of(keygen.folder / "ed25519.pub")
    serials = (*range(1000, 900_000), 3, 10, 12, 2**40, *range(2**50, 2**50 + 9000, 3))
    made = krl(RevokedCertificates.of(key, serials=serials, key_ids=["mallory", "eve"]), keys=frozenset({key.blob}))
    (keygen.folder / "krl").write_bytes(made.encode())
    shown = keygen("-Q", "-l", "-f", "krl").splitlines()
    assert f"# CA key ssh-ed25519 {key.fingerprint}" in shown
    assert "# KRL version 7" in shown
    assert "# Generated at 20310314T092653" in shown
    assert "# Comment: harbour" in shown
    listed = [line.removeprefix("serial: ") for line in shown if line.startswith("serial: ")]
    found = [range(int(first), int(last or first) + 1) for first, _, last in (line.partition("-") for line in listed)]
    assert merged(found) == merged(serials)
    assert [line for line in shown if line.startswith("id: ")] == ["id: eve", "id: mallory"]


def test_lists_that_ssh_keygen_made_are_read(keygen: Keygen) -> None:
    path, spared = certificate(keygen, 77), certificate(keygen, 78)
    blob = blob_of(keygen.key("p384"))
    said = (
        "serial: 1-100000\nserial: 200000\nserial: 200007\nserial: 200009\nserial: 18446744073709551615\nid: mallory\n"
    )
    said += (
        f"key: {(keygen.folder / 'p384.pub').read_text()}sha256: {(keygen.folder / 'ed25519-78-alice.pub').read_text()}"
    )
    (keygen.folder / "spec").write_text(said + f"sha1: {(keygen.folder / 'ed25519-77-alice.pub').read_text()}")
    keygen("-q", "-k", "-f", "krl", "-s", "ca-ed25519.pub", "-z", "12", "spec")
    found = KRL.decode((keygen.folder / "krl").read_bytes())
    ca = of(keygen.folder / "ca-ed25519.pub")
    revoked = RevokedCertificates.of(
        ca, serials=[range(1, 100_001), 200_000, 200_007, 200_009, MAX_UINT64], key_ids=["mallory"]
    )
    assert (found.version, found.certificates, found.keys) == (12, (revoked,), frozenset({blob}))
    assert found.sha256 == {hashlib.sha256(blob_of(keygen.folder / "ed25519-78-alice.pub")).digest()}
    assert found.sha1 == {hashlib.sha1(blob_of(keygen.folder / "ed25519-77-alice.pub")).digest()}
    assert KRL.decode(found.encode()) == found
    assert all(agreed(keygen, found, one) for one in (path, spared))


serials = st.one_of(
    st.integers(1, MAX_UINT64),
    st.integers(1, 300),
    st.integers(2**20, 2**20 + 20_000),
    st.builds(lambda start, length: range(start, start + length), st.integers(1, 2**63), st.integers(1, 2**62)),
    st.builds(lambda start, length: range(start, start + length), st.integers(1, 20_000), st.integers(1, 700)),
)


@settings(deadline=None)
@given(st.lists(serials, max_size=200))
@example([*range(1, 40_000, 2)])
@example([*range(1, 200_000, 63)])
@example([range(1, MAX_UINT64 + 1)])
@example([range(1, 313), range(314, 700), 702, range(704, 1015)])
def test_every_mixture_of_serials_is_written_and_read_again(wanted: list[int | range]) -> None:
    parts = merged(wanted)
    sections = list(encode_serials(parts))
    assert merged(part for kind, data in sections for part in READERS[kind](Reader(data, "it"))) == parts
    assert sum(len(data) + 5 for _, data in sections) <= 5 + 8 * sum(part.stop - part.start for part in parts)


def test_merged_serials_are_ascending_with_gaps_between() -> None:
    assert merged([9, 3, range(4, 6), 9, range(20, 30), range(22, 25), range(5, 5)]) == (
        range(3, 6), range(9, 10), range(20, 30),
    )  # fmt: skip


@pytest.mark.parametrize("serial", [0, -1, 2**64, range(4), range(2**63, 2**64 + 1)])
def test_numbers_that_no_list_can_have_are_refused(serial: int | range) -> None:
    with pytest.raises(MalformedSSH, match="serial: must be from 1 to 2"):
        RevokedCertificates.of(KEY, serials=[5, serial])


def test_hundred_thousand_random_serials_are_written_fast_and_small() -> None:
    numbers = struct.unpack(">100000Q", hashlib.shake_256(b"harbour").digest(800_000))
    began = time.process_time()
    made = krl(RevokedCertificates.of(KEY, serials=numbers)).encode()
    assert time.process_time() - began < 5  # a tenth of that is usual
    assert len(made) < 8 * 100_000 + 200
    began = time.process_time()
    assert KRL.decode(made).certificates[0].serials == merged(numbers)
    assert time.process_time() - began < 5


def test_serials_side_by_side_take_next_to_nothing() -> None:
    assert len(krl(RevokedCertificates.of(KEY, serials=range(1, 100_001))).encode()) < 300
    every_third = krl(RevokedCertificates.of(KEY, serials=range(1, 300_001, 3))).encode()
    assert len(every_third) < 300_000 / 8 + 1000


def test_ssh_keygen_reads_a_long_list_and_agrees(keygen: Keygen) -> None:
    numbers = struct.unpack(">100000Q", hashlib.shake_256(b"harbour").digest(800_000))
    revoked, lives = certificate(keygen, numbers[500]), certificate(keygen, numbers[500] ^ 1)
    made = krl(RevokedCertificates.of(of(keygen.folder / "ca-ed25519.pub"), serials=numbers))
    assert agreed(keygen, made, revoked)
    assert not agreed(keygen, made, lives)


HEAD = b"SSHKRL\n\0" + uint32(1) + uint64(7) + uint64(1931246813) + uint64(0) + string(b"") + text("")


def section(kind: int, contents: bytes) -> bytes:
    return bytes((kind,)) + string(contents)


def of_any_ca(kind: int, contents: bytes) -> bytes:
    return HEAD + section(1, string(b"") + string(b"") + section(kind, contents))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "KRL: is no OpenSSH key revocation list"),
        (b"-----BEGIN X509 CRL-----", "KRL: is no OpenSSH key revocation list"),
        (b"SSHKRL\n\0" + uint32(2), "format version: must be 1, not 2"),
        (HEAD[:-1], "KRL: comment: ends too early"),
        (HEAD + b"\1", "KRL: section 1: ends too early"),
        (HEAD + section(9, b""), "KRL: section 9: section type: is not known"),
        (HEAD + b"\4" + string(KEY.blob) + string(b"signature"), "signature: signed lists are not read"),
        (HEAD + section(5, string(b"short")), "section 5: entry: a digest has 32 octets here, not 5"),
        (HEAD + section(3, string(b"short")), "section 3: entry: a digest has 20 octets here, not 5"),
        (HEAD + section(255, text("x") + b"\1" + string(b"")), "'x': is critical, and not known"),
        (HEAD + section(1, string(b"key") + string(b"")), "ca_key: key type: ends too early"),
        (of_any_ca(0x99, b""), "subsection type: is not known"),
        (of_any_ca(0x20, uint64(0)), "serial: must be from 1"),
        (of_any_ca(0x20, b"1234567"), "serial: ends too early"),
        (of_any_ca(0x21, uint64(9) + uint64(8)), "max: must be at least min, 9"),
        (of_any_ca(0x21, uint64(0) + uint64(8)), "serial: must be from 1"),
        (of_any_ca(0x22, uint64(MAX_UINT64) + mpint(2)), "serial: must be from 1"),
        (of_any_ca(0x22, uint64(1) + mpint(2**16384)), "bitmap: must have at most 16384 bits"),
        (of_any_ca(0x39, text("x") + b"\1" + string(b"")), "'x': is critical, and not known"),
    ],
)  # fmt: skip
def test_what_is_no_such_list_is_refused(data: bytes, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        KRL.decode(data)


def test_extensions_that_are_not_critical_are_passed_over() -> None:
    extension = text("x") + b"\0" + string(b"contents")
    assert KRL.decode(HEAD + section(255, extension)).certificates == ()
    assert KRL.decode(of_any_ca(0x39, extension)).certificates == (RevokedCertificates.of(None),)


def test_a_key_id_with_nul_is_not_written() -> None:
    with pytest.raises(MalformedSSH, match="key id: must not contain NUL"):
        krl(RevokedCertificates.of(KEY, key_ids=["a\0b"])).encode()


WHOLE = krl(
    RevokedCertificates.of(KEY, serials=[1, range(5, 900), *range(2000, 2900, 3), 2**60], key_ids=["mallory"]),
    RevokedCertificates.of(OTHER, serials=[3]),
    keys=frozenset({KEY.blob, OTHER.blob}),
    sha1=frozenset({bytes(20)}),
    sha256=frozenset({bytes(32)}),
)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(("flip", "cut", "insert", "remove")), st.integers(0, 255))
def test_a_damaged_list_is_refused_or_is_another(place: float, how: str, octet: int) -> None:
    data = damaged(WHOLE.encode(), place, how, octet)
    try:
        found = KRL.decode(data)
    except MalformedSSH:
        return
    # Flags and reserved fields say nothing; a cut may fall between two sections.
    assert KRL.decode(found.encode()) == found


def test_the_same_list_is_the_same_octets() -> None:
    assert KRL.decode(WHOLE.encode()) == WHOLE
    assert KRL.decode(WHOLE.encode()).encode() == WHOLE.encode()
