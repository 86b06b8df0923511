"""Which certificates in an agent are a CA's own, and which of them are valid now."""

from datetime import UTC, datetime, timedelta

import pytest

from mica.cli.ssh.agent import Identity, signed_by, valid
from mica.testing.keygen import KEY_OPTIONS, Keygen, blob_of

START = datetime(2031, 3, 14, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def identity(keygen: Keygen, ca: str, *options: str, file: str = "id") -> Identity:
    """What an agent tells of a certificate."""
    path = keygen.certificate(ca, keygen.key("ed25519", file=file), "-I", "alice", "-n", "alice", *options)
    return Identity.decode(blob_of(path), b"alice")


def public(keygen: Keygen, ca: str) -> bytes:
    """The public key that signs for ``ca``."""
    return blob_of(keygen.key(ca, file=f"ca-{ca}"))


@pytest.mark.parametrize("ca", KEY_OPTIONS)
def test_a_certificate_is_of_the_ca_whose_key_signed_it(keygen: Keygen, ca: str) -> None:
    other = "ed25519" if ca == "p256" else "p256"
    found = identity(keygen, ca)
    assert signed_by([found], [public(keygen, other), public(keygen, ca)]) == [found]
    assert signed_by([found], [public(keygen, other)]) == []
    assert signed_by([found], []) == []


def test_a_certificate_that_only_names_the_ca_is_not_the_cas(keygen: Keygen) -> None:
    found = identity(keygen, "p256")
    forged = Identity.decode(found.blob[:-1] + bytes((found.blob[-1] ^ 1,)), b"alice")
    assert forged.certificate is not None
    assert signed_by([forged, found], [public(keygen, "p256")]) == [found]


def test_keys_and_what_is_unknown_are_nobodys(keygen: Keygen) -> None:
    ca = public(keygen, "p256")
    bare = [Identity.decode(blob, b"alice") for blob in (ca, blob_of(keygen.key("ed25519")), b"", b"\0\0\0\1x")]
    assert signed_by(bare, [ca, b""]) == []


def test_a_certificate_is_valid_from_its_first_second_until_before_its_last(keygen: Keygen) -> None:
    found = identity(keygen, "p256", "-V", "20310314090000Z:20310314100000Z")
    ca, end = [public(keygen, "p256")], START + timedelta(hours=1)
    at = {moment: valid([found], ca, moment) for moment in (START - SECOND, START, end - SECOND, end)}
    assert list(at.values()) == [[], [found], [found], []]
    assert valid([found], [], START) == []


def test_a_certificate_without_end_stays_valid(keygen: Keygen) -> None:
    found = identity(keygen, "p256", "-V", "20310314090000Z:forever")
    always = identity(keygen, "p256", "-V", "always:forever", file="always")
    ca, late = [public(keygen, "p256")], START.replace(year=9999)
    assert valid([found, always], ca, START - SECOND) == [always]
    assert valid([found, always], ca, late) == [found, always]
