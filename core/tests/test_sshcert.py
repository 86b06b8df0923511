"""SSH certificates: pyca and ssh-keygen have the same octets and the same values, and nothing else is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType
from hypothesis import given, settings
from hypothesis import strategies as st

from mica import sshsignatures
from mica.jwk import PrivateKey
from mica.sshcert import CERTIFICATE_TYPES, CertType, SSHCertificate, TBSSSHCertificate, sorted_options
from mica.sshkeys import KeyLine, SSHPublicKey
from mica.sshsignatures import BadSignature
from mica.sshwire import MAX_UINT64, MalformedSSH, mpint, string, text, uint32, uint64
from mica.testing.keygen import ALL_KEYS, KEY_OPTIONS, Keygen, blob_of, damaged, security_key

BEGIN = datetime(2031, 3, 14, 9, 25, 53, tzinfo=UTC)
USER_EXTENSIONS = (
    ("permit-X11-forwarding", ""), ("permit-agent-forwarding", ""), ("permit-port-forwarding", ""),
    ("permit-pty", ""), ("permit-user-rc", ""),
)  # fmt: skip
NAMES = ("ed25519", "p256", "p384", "p521", "rsa")


@cache
def private(name: str) -> PrivateKey:
    """One key of each kind for the whole run."""
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "rsa":
        return rsa.generate_private_key(65537, 2048)
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    return ec.generate_private_key(curves[name])


@cache
def public(name: str) -> SSHPublicKey:
    return SSHPublicKey.of(private(name).public_key()) if name in NAMES else SSHPublicKey.decode(security_key(name))


def sign(name: str, message: bytes) -> bytes:
    """The signature by a key, as a key backend gives it."""
    key, algorithm = private(name), sshsignatures.hash_of(public(name))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    assert algorithm is not None
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm)
    return key.sign(message, ec.ECDSA(algorithm))


def value(name: str = "p256", ca: str = "ed25519", **changes: Any) -> TBSSSHCertificate:
    """The certificate for alice, with ``changes``."""
    usual = TBSSSHCertificate(
        nonce=b"n" * 32, public_key=public(name), serial=6120458813370942711, cert_type=CertType.USER,
        key_id="alice@harbour.example", valid_principals=("alice", "alice@harbour.example"), valid_after=BEGIN,
        valid_before=BEGIN + timedelta(hours=16, minutes=1), extensions=USER_EXTENSIONS, signature_key=public(ca),
    )  # fmt: skip
    return replace(usual, **changes)


def signed(tbs: TBSSSHCertificate, ca: str = "ed25519") -> bytes:
    return tbs.assemble(sshsignatures.encode(public(ca), sign(ca, tbs.wire)))


def write(keygen: Keygen, blob: bytes) -> Path:
    path = keygen.folder / "id-cert.pub"
    path.write_text(KeyLine(key_type=SSHCertificate.decode(blob).tbs.type, blob=blob).format() + "\n")
    return path


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    return Keygen(tmp_path)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
option_names = words.filter(bool)
seconds = st.integers(0, 2**31).map(lambda second: datetime.fromtimestamp(second, UTC))
options = st.dictionaries(option_names, words, max_size=5).map(lambda them: sorted_options(them.items()))
values = st.fixed_dictionaries(
    {
        "serial": st.integers(0, MAX_UINT64),
        "cert_type": st.sampled_from(CertType),
        "key_id": words,
        "valid_principals": st.lists(words, min_size=1, max_size=20).map(tuple),
        "valid_after": seconds,
        "valid_before": seconds | st.none(),
        "critical_options": options,
        "extensions": options,
    }
)  # fmt: skip


def pycas(name: str, ca: str, fields: dict[str, Any]) -> bytes:
    """What pyca's builder makes of the same values."""
    end = fields["valid_before"]
    builder = (
        SSHCertificateBuilder()
        .public_key(private(name).public_key())
        .serial(fields["serial"])
        .type(SSHCertificateType(int(fields["cert_type"])))
        .key_id(fields["key_id"].encode())
        .valid_principals([principal.encode() for principal in fields["valid_principals"]])
        .valid_after(int(fields["valid_after"].timestamp()))
        .valid_before(MAX_UINT64 if end is None else int(end.timestamp()))
    )
    for option, data in fields["critical_options"]:
        builder = builder.add_critical_option(option.encode(), data.encode())
    for option, data in fields["extensions"]:
        builder = builder.add_extension(option.encode(), data.encode())
    return KeyLine.parse(builder.sign(private(ca)).public_bytes().decode()).blob


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(NAMES), st.sampled_from(NAMES), values)
def test_our_octets_are_those_of_pycas_builder(name: str, ca: str, fields: dict[str, Any]) -> None:
    if fields["valid_before"] is not None and fields["valid_before"] < fields["valid_after"]:
        fields["valid_after"], fields["valid_before"] = fields["valid_before"], fields["valid_after"]
    theirs = SSHCertificate.decode(pycas(name, ca, fields))
    ours = value(name, ca, **{**fields, "nonce": theirs.tbs.nonce})
    assert ours.wire == theirs.signed
    assert ours == theirs.tbs
    assert ours.assemble(theirs.signature_blob) == theirs.blob
    theirs.check_signature()


@settings(deadline=None)
@given(st.sampled_from(ALL_KEYS), values, st.binary(max_size=40), st.binary(max_size=9))
def test_what_is_written_is_read_again(name: str, fields: dict[str, Any], nonce: bytes, reserved: bytes) -> None:
    tbs = value(name, **{**fields, "nonce": nonce, "reserved": reserved})
    found = SSHCertificate.decode(signed(tbs))
    assert found.tbs == tbs
    assert (found.signed, found.tbs.wire) == (tbs.wire, tbs.wire)
    found.check_signature()


@pytest.mark.parametrize("ca", NAMES)
@pytest.mark.parametrize("name", ALL_KEYS)
def test_ssh_keygen_prints_what_was_put_in(keygen: Keygen, name: str, ca: str) -> None:
    tbs = value(name, ca, critical_options=(("force-command", "/bin/true"), ("source-address", "10.0.0.0/8")))
    path = write(keygen, signed(tbs, ca))
    algorithm = "rsa-sha2-512" if ca == "rsa" else tbs.signature_key.key_type
    assert [line.strip() for line in keygen("-L", "-f", path).splitlines()] == [
        f"{path}:",
        f"Type: {CERTIFICATE_TYPES[tbs.public_key.key_type]} user certificate",
        f"Public key: {tbs.public_key.kind}-CERT {tbs.public_key.fingerprint}",
        f"Signing CA: {tbs.signature_key.kind} {tbs.signature_key.fingerprint} (using {algorithm})",
        'Key ID: "alice@harbour.example"',
        "Serial: 6120458813370942711",
        "Valid: from 2031-03-14T09:25:53 to 2031-03-15T01:26:53",
        "Principals:", "alice", "alice@harbour.example",
        "Critical Options:", "force-command /bin/true", "source-address 10.0.0.0/8",
        "Extensions:", *(name for name, _ in USER_EXTENSIONS),
    ]  # fmt: skip


@pytest.mark.parametrize("ca", KEY_OPTIONS)
@pytest.mark.parametrize("name", ALL_KEYS)
def test_what_ssh_keygen_signs_is_read_and_verifies(keygen: Keygen, name: str, ca: str) -> None:
    path = keygen.certificate(
        ca, keygen.key(name), "-h", "-I", "build1 (ci)", "-n", "build1.harbour.example,10.0.0.1",
        "-z", "18446744073709551615", "-V", "20310314092553Z:20310413092553Z",
        "-O", "critical:zone=north", "-O", "extension:login@harbour.example=ops",
    )  # fmt: skip
    found = SSHCertificate.decode(blob_of(path))
    found.check_signature()
    assert found.tbs.wire == found.signed
    assert found.tbs.public_key.blob == blob_of(keygen.folder / f"{name}.pub")
    assert found.tbs.signature_key.blob == blob_of(keygen.folder / f"ca-{ca}.pub")
    assert found.tbs == TBSSSHCertificate(
        nonce=found.tbs.nonce, public_key=found.tbs.public_key, serial=MAX_UINT64, cert_type=CertType.HOST,
        key_id="build1 (ci)", valid_principals=("build1.harbour.example", "10.0.0.1"), valid_after=BEGIN,
        valid_before=BEGIN + timedelta(days=30), critical_options=(("zone", "north"),),
        extensions=(("login@harbour.example", "ops"),), signature_key=found.tbs.signature_key,
    )  # fmt: skip


def test_without_validity_it_lasts_for_ever(keygen: Keygen) -> None:
    path = keygen.certificate("ed25519", keygen.key("p256"), "-I", "x", "-n", "alice")
    tbs = SSHCertificate.decode(blob_of(path)).tbs
    assert (tbs.valid_after, tbs.valid_before) == (datetime(1970, 1, 1, tzinfo=UTC), None)
    assert tbs.extensions == USER_EXTENSIONS


@pytest.mark.parametrize(
    ("algorithm", "accepted"), [("rsa-sha2-256", True), ("rsa-sha2-512", True), ("ssh-rsa", False)]
)
def test_rsa_signs_with_sha2_and_never_with_sha1(keygen: Keygen, algorithm: str, accepted: bool) -> None:
    path = keygen.certificate("rsa", keygen.key("p256"), "-t", algorithm, "-I", "x", "-n", "alice")
    found = SSHCertificate.decode(blob_of(path))
    assert found.signature.algorithm == algorithm
    if accepted:
        found.check_signature()
    else:
        with pytest.raises(BadSignature, match="by 'ssh-rsa' is not accepted from a key of the type ssh-rsa"):
            found.check_signature()


@pytest.mark.parametrize("ca", NAMES)
def test_a_signature_is_by_this_key_over_these_octets(ca: str) -> None:
    tbs = value(ca=ca)
    other = value(ca=ca, valid_principals=("root",))
    for blob in (other.assemble(sshsignatures.encode(public(ca), sign(ca, tbs.wire))), _by_another_key(tbs, ca)):
        with pytest.raises(MalformedSSH, match="signature: "):
            SSHCertificate.decode(blob).check_signature()


def _by_another_key(tbs: TBSSSHCertificate, ca: str) -> bytes:
    other = next(name for name in NAMES if name != ca)
    return tbs.assemble(sshsignatures.encode(public(other), sign(other, tbs.wire)))


def test_nothing_that_a_security_key_signed_is_accepted() -> None:
    blob = value(ca="sk-ed25519").assemble(text("sk-ssh-ed25519@openssh.com") + string(b"x" * 64) + b"\1" + uint32(7))
    found = SSHCertificate.decode(blob)
    assert found.signature.trailer == b"\1\0\0\0\7"
    with pytest.raises(BadSignature, match="is not accepted from a key of the type sk-ssh-ed25519@openssh.com"):
        found.check_signature()


@pytest.mark.parametrize("r", [mpint(0), string(b"\x80"), string(b"\0\1"), mpint(2**300), b""])
def test_ecdsa_numbers_that_are_none_are_refused(r: bytes) -> None:
    blob = value(ca="p256").assemble(text("ecdsa-sha2-nistp256") + string(r + mpint(1)))
    with pytest.raises(MalformedSSH, match="signature"):
        SSHCertificate.decode(blob).check_signature()


def raw(**changes: bytes) -> bytes:
    """The certificate for alice, field by field, with ``changes``; unsigned."""
    key = public("p256")
    fields = {
        "type": text("ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        "nonce": string(b"n" * 32),
        "key": key.fields,
        "serial": uint64(7),
        "cert_type": uint32(1),
        "key_id": text("alice@harbour.example"),
        "valid_principals": string(text("alice")),
        "valid_after": uint64(1931246753),
        "valid_before": uint64(1931304413),
        "critical_options": string(b""),
        "extensions": string(PTY + RC),
        "reserved": string(b""),
        "signature_key": string(key.blob),
        "signature": string(text("ecdsa-sha2-nistp256") + string(mpint(1) + mpint(1))),
        "end": b"",
    }
    assert changes.keys() <= fields.keys()
    return b"".join((fields | changes).values())


PTY, RC = text("permit-pty") + string(b""), text("permit-user-rc") + string(b"")
CHAIN = string(text("ecdsa-sha2-nistp256-cert-v01@openssh.com") + string(b""))


def test_the_fields_are_in_this_order() -> None:
    found = SSHCertificate.decode(raw()).tbs
    assert found == value(
        ca="p256", serial=7, valid_principals=("alice",), extensions=(("permit-pty", ""), ("permit-user-rc", ""))
    )


@pytest.mark.parametrize(
    ("field", "octets", "rule"),
    [
        ("end", b"\0", "certificate: 1 octets too many at its end"),
        ("type", text("ssh-ed25519"), "type: 'ssh-ed25519' is no type of certificate that is known"),
        ("type", text("ssh-ed25519-cert-v00@openssh.com"), "type: .* is no type of certificate that is known"),
        ("type", text("ecdsa-sha2-nistp384-cert-v01@openssh.com"), "curve: must be nistp384"),
        ("cert_type", uint32(0), r"cert_type: must be 1 \(user\) or 2 \(host\), not 0"),
        ("cert_type", uint32(3), r"cert_type: must be 1 \(user\) or 2 \(host\), not 3"),
        ("key_id", string(b"ali\0ce"), "key_id: must not contain NUL"),
        ("key_id", string(b"ali\xffce"), "key_id: must be UTF-8"),
        ("valid_principals", string(string(b"al\0ce")), r"valid_principals: \[0\]: must not contain NUL"),
        ("valid_principals", string(text("alice") + b"x"), r"valid_principals: \[1\]: ends too early"),
        ("valid_principals", string(text("alice") * 257), "valid_principals: must be at most 256"),
        ("valid_before", uint64(MAX_UINT64 - 1), "valid_before: must be before the year 10000"),
        ("valid_after", uint64(MAX_UINT64), "valid_after: must be before the year 10000"),
        ("extensions", string(RC + PTY), "extensions: 'permit-pty' must stand before 'permit-user-rc'"),
        ("extensions", string(PTY + PTY), "extensions: 'permit-pty' is there twice"),
        ("critical_options", string(text("a") + string(text(""))), "'a': an empty value must be left out altogether"),
        ("critical_options", string(text("a") + string(text("b") + b"c")), "'a': 1 octets too many at its end"),
        ("critical_options", string(text("a") + string(b"raw")), "'a': value: ends too early"),
        ("critical_options", string(text("a")), "critical_options: 'a': ends too early"),
        ("signature_key", CHAIN, "signature_key: key type: .* is none of ssh-ed25519"),
        ("signature_key", string(b""), "signature_key: key type: ends too early"),
        ("signature_key", string(public("p256").blob + b"x"), "signature_key: 1 octets too many"),
        ("signature", string(b""), "certificate: signature: algorithm: ends too early"),
        ("signature", string(text("ssh-ed25519") + string(b"") + b"x"), "certificate: signature: 1 octets too many"),
        ("signature", string(text("sk-x") + string(b"")), "flags and counter: ends too early"),
    ],
)  # fmt: skip
def test_what_is_not_canonical_is_refused(field: str, octets: bytes, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        SSHCertificate.decode(raw(**{field: octets}))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"serial": -1}, "serial: must fit in 64 bits"),
        ({"serial": 2**64}, "serial: must fit in 64 bits"),
        ({"key_id": "a\0b"}, "key_id: must not contain NUL"),
        ({"key_id": "\udcff"}, "key_id: must be UTF-8"),
        ({"valid_principals": ("deploy\0root",)}, "valid_principals: must not contain NUL"),
        ({"valid_principals": ("a",) * 257}, "valid_principals: must be at most 256"),
        ({"valid_after": BEGIN + timedelta(microseconds=1)}, "valid_after: must be whole seconds"),
        ({"valid_before": datetime(1969, 1, 1, tzinfo=UTC)}, "valid_before: must be whole seconds since 1970"),
        ({"extensions": (("b", ""), ("a", ""))}, "extensions: must be sorted by name"),
        ({"critical_options": (("a", ""), ("a", ""))}, "options: 'a' is there twice"),
        ({"critical_options": (("force-command", "a\0b"),)}, "critical_options: force-command: must not contain NUL"),
    ],
)  # fmt: skip
def test_what_could_not_be_read_is_not_written(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        value(**changes).wire  # noqa: B018 - a property


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(ALL_KEYS),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(("flip", "cut", "insert", "remove")),
    st.integers(0, 255),
)
def test_a_damaged_certificate_is_refused_one_way_or_another(name: str, place: float, how: str, octet: int) -> None:
    blob = damaged(example(name), place, how, octet)
    with pytest.raises(MalformedSSH):
        SSHCertificate.decode(blob).check_signature()


@cache
def example(name: str) -> bytes:
    return signed(value(name, critical_options=(("source-address", "10.0.0.0/8"),)))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_a_certificate_or_refused(tail: bytes) -> None:
    for head in (b"", example("rsa")[:60]):
        with pytest.raises(MalformedSSH):
            SSHCertificate.decode(head + tail)
