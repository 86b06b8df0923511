"""ca.toml: every mistake at once, each with path and remedy; nothing coerced."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mica.authority import Authority
from mica.config import load, parse, split_address, structure_core
from mica.errors import ConfigError
from mica.files import Files
from mica.structuring import structure, unstructure
from mica.testing.ca import TestCA, public_jwk


def _mistakes(ca: TestCA) -> str:
    with pytest.raises(ConfigError) as refused:
        Authority.assemble(load(ca.directory / "ca.toml"))
    return str(refused.value)


def _edit(ca: TestCA, old: str, new: str) -> None:
    path = ca.directory / "ca.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_every_mistake_of_a_file_is_reported_at_once(ca: TestCA) -> None:
    plain = ca.url.replace("https:", "http:")
    _edit(ca, f'url = "{ca.url}"', f'url = "{plain}"\ncolour = "red"')
    _edit(ca, f'address = "127.0.0.1:{ca.url.rpartition(":")[2]}"', 'address = "nowhere"')
    _edit(ca, '"storage_sqlite"]', '"storage_sqlite", "nonesuch"]')
    _edit(ca, 'key = "file:', 'key = "pkcs11:')
    _edit(ca, 'kty = "EC"', 'kty = "EC", klm = "x"')
    _edit(ca, 'path = "db/mica.db"', 'path = 7\nspeed = "fast"')
    reported = _mistakes(ca)
    for fault in (
        'ca.toml: extra field "colour"; known: address',
        f"url: '{plain}' must be https://",
        "address: 'nowhere' is not host:port",
        'plugins: "nonesuch" is not installed; installed: ',
        "signers.x509.key: no enabled plugin serves pkcs11:; served: file:",
        "provisioners[0].key.klm: extra field",
        "store.path: must be a path, not an integer",
        'store: extra field "speed"; known: ',
    ):
        assert fault in reported


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('type = "jwk"', 'type = "jkw"', 'provisioners[0].type: "jkw" is not offered by an enabled plugin; known: jwk'),
        ('type = "storage_sqlite"\n', "", "store.type: is missing; known: storage_sqlite"),
        ('name = "admin"\n', "", "provisioners[0].name"),
        ('name = "admin"', 'name = "mica"', 'provisioners[0].name: "mica" is the authority\'s own'),
        ("certs/intermediate_ca.crt", "certs/nowhere.crt", "nowhere.crt: cannot be read: No such file or directory"),
        (
            "certs/intermediate_ca.crt",
            "secrets/intermediate_ca_key",
            "is not a PEM certificate; it holds a private key",
        ),
        ("certs/root_ca.crt", "certs/intermediate_ca.crt", "no configured root issued CN=Test Intermediate CA"),
        ('"x509signer", ', "", 'signers.x509.type: "x509signer" is not offered by an enabled plugin'),
        ('dns_names = ["localhost", "127.0.0.1", "::1"]', "dns_names = []", "dns_names: must hold at least one name"),
        ('dns_names = ["localhost"', 'dns_names = ["a b"', "dns_names[0]: 'a b' is not a DNS name"),
        ('"jwk", ', '"jwk", "jwk", ', 'plugins: "jwk" is listed twice'),
    ],
)
def test_a_mistake_names_its_place_and_remedy(ca: TestCA, old: str, new: str, fault: str) -> None:
    _edit(ca, old, new)
    assert fault in _mistakes(ca)


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ('min_tls_cert_duration = "0s"', "min_tls_cert_duration: must be more than 0"),
        ('max_tls_cert_duration = "1h"', "≤ max_tls_cert_duration (1h0m0s) must hold"),
        ('min_tls_cert_duration = "soon"', "claims.min_tls_cert_duration: 'soon' is not a duration"),
        ("min_tls_cert_duration = 300", 'must be a duration such as "24h", not an integer'),
        ('disable_renewal = "yes"', "claims.disable_renewal: must be true or false, not a string"),
        ("disableRenewal = true", 'claims: extra field "disableRenewal"; known: '),
    ],
)
def test_claims_that_contradict_themselves_are_refused(ca: TestCA, claims: str, fault: str) -> None:
    path = ca.directory / "ca.toml"
    path.write_text(path.read_text() + f"\n[claims]\n{claims}\n")
    assert fault in _mistakes(ca)


def test_a_provisioners_default_stretches_the_bound_it_exceeds(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, claims={"default_tls_cert_duration": "48h"})
    (entry,) = ca.authority().provisioners
    assert entry.claims.max_tls_cert_duration == timedelta(hours=48)
    assert entry.describe()["claims"] == {"defaultTLSCertDuration": "48h0m0s"}


def test_two_provisioners_of_one_name_are_refused(ca: TestCA) -> None:
    path = ca.directory / "ca.toml"
    text = path.read_text()
    path.write_text(text + text[text.index("[[provisioners]]") :])
    assert 'provisioners[1].name: "admin" is taken' in _mistakes(ca)


def test_one_key_for_two_purposes_is_refused(ca: TestCA) -> None:
    text = (ca.directory / "ca.toml").read_text()
    signer = text[text.index("[signers.x509]") : text.index("[[provisioners]]")]
    (ca.directory / "ca.toml").write_text(text + "\n" + signer.replace("[signers.x509]", "[signers.second]"))
    assert "its key is also that of" in _mistakes(ca)


def test_a_provisioners_key_that_is_the_issuers_is_refused(ca: TestCA) -> None:
    key = ca.intermediate.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    theirs, ours = public_jwk(ca.provisioner_key.public_key()), public_jwk(key.public_key())
    for member in ("x", "y"):
        _edit(ca, theirs[member], ours[member])
    assert "provisioners[0]: its key is also that of signers.x509" in _mistakes(ca)


def test_a_key_that_others_can_read_is_refused(ca: TestCA) -> None:
    (ca.directory / "secrets/intermediate_ca_key").chmod(0o644)
    assert "others can read this secret; run: chmod 600" in _mistakes(ca)


def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path) -> None:
    for source in (b"url = ", b"\xff\xfe", b"a = 1\na = 2"):
        with pytest.raises(ConfigError, match="ca.toml: is not TOML"):
            parse(source, tmp_path / "ca.toml")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "ca.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_a_generation_sees_the_files_that_it_was_validated_with(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    files = Files()
    assert files.read(path) == b"before"
    path.write_bytes(b"after")
    assert files.read(path) == b"before"
    assert "before" not in repr(files)


@pytest.mark.parametrize(
    ("address", "parts"), [("127.0.0.1:8443", ("127.0.0.1", 8443)), ("[::1]:1", ("::1", 1)), (":9", ("", 9))]
)
def test_addresses_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "localhost:x", "localhost:99999", "a:1/b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    words: frozenset[str] = frozenset()
    maybe: Path | None = None
    free: Mapping[str, Any] | None = None


def test_tables_become_dataclasses_and_back() -> None:
    table = {
        "name": "x",
        "inner": {"size": 2},
        "many": [{"size": 3}],
        "words": ["a"],
        "maybe": "/p",
        "free": {"k": [1]},
    }
    outer = structure(Outer, table, "outer")
    assert outer.many == (Inner(size=3),)
    assert outer.maybe == Path("/p")
    assert unstructure(outer) == table


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({}, "outer.name: is missing"),
        ({"name": 1}, "outer.name: must be a string, not an integer"),
        ({"name": "x", "inner": {"size": True}}, "outer.inner.size: must be an integer, not a boolean"),
        ({"name": "x", "inner": 5}, "outer.inner: must be a table, not an integer"),
        ({"name": "x", "many": [{"size": 1}, {"sise": 1}]}, 'outer.many[1]: extra field "sise"; known: size'),
        ({"name": "x", "many": {"size": 1}}, "outer.many: must be an array, not a table"),
        ({"name": "x", "words": "abc"}, "outer.words: must be an array, not a string"),
        ({"name": "x", "free": []}, "outer.free: must be a table, not an array"),
        ([], "outer: must be a table, not an array"),
    ],
)
def test_a_table_that_does_not_fit_is_told_with_its_path(table: Any, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        structure(Outer, table, "outer")
    assert fault in str(refused.value)


def test_an_empty_document_lacks_everything() -> None:
    _, faults = structure_core({})
    assert {fault.split('"')[1] for fault in faults} == {
        "url", "address", "dns_names", "plugins", "store", "signers",
    }  # fmt: skip
