"""Provisioners are added, changed and removed by command; ca.toml keeps what its operator wrote, and never breaks."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from mica.authority import Authority
from mica.cli import main
from mica.config import load
from mica.testing.ca import TestCA

MICA = Path(sys.executable).with_name("mica")

TOY = """
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from mica import ConfigError, hookimpl, kind

@dataclass(frozen=True, slots=True, kw_only=True)
class ToyConfig:
    name: str
    endpoint: str = field(metadata={"help": "Where the toys are"})
    public_key: str = ""
    domains: tuple[str, ...] = field(default=(), metadata={"help": "Who may play", "flag": "domain"})
    toy_roots: tuple[Path, ...] = ()
    retries: int = 3
    patience: timedelta | None = None
    strict: bool = False
    colour: Literal["red", "blue"] = "red"
    secret: str = field(default="", metadata={"flag": None})
    extra: Mapping[str, str] = field(default_factory=dict)

class Toy:
    type = "TOY"
    operations = frozenset()
    def __init__(self, config, context):
        self.name = config.name
        if config.retries > 9:
            raise ConfigError(["retries: must be at most 9"])
        for path in config.toy_roots:
            context.read(context.directory / path)
    def describe(self):
        return {}

@hookimpl
def register_provisioners():
    return [kind("toy", ToyConfig, Toy)]
"""

COMMENTED = """# The CA of Harbour Works.
url = "https://localhost:8443"
address = "127.0.0.1:8443"
dns_names = [
  "localhost", # for tests
]
plugins = ["x509signer", "filekeys", "jwk", "storage_sqlite"] # no more

[store]
type = "storage_sqlite"

[signers.x509]
type = "x509signer"
roots = ["certs/root_ca.crt"]
certificate = "certs/intermediate_ca.crt"
key = "file:secrets/intermediate_ca_key"

# Who may ask.

# The first one.
[[provisioners]]
type = "jwk" # the usual
name = "first"   # of many
key = { kty = "EC", crv = "P-256", x = "PIvNtNKcfzMdV_9K2KuggW8coGogFI4rReJ1oQthDwY", y = "kqfhoNdRMSjxE-ob4jQI8T4uw9LTRzvTT7kx2kk2TSQ", kid = "1" }
# encrypted_key = "…"

# The second one.
[[provisioners]]
type = "jwk"
name = "second"

# Its key.
[provisioners.key]
kty = "EC"
crv = "P-256"
x = "6ZwNVZpwSoveD9Q_87k4f_FtF4uFeyUut2y-eH2v0lU"
y = "E2CyUJY8FUYY2Y3k4PTMYin02FptZlTdq_dsttU0RCY"
kid = "2"

[provisioners.claims]
max_tls_cert_duration = "36h" # a day and a half

# What every provisioner may do.
[claims]
disable_renewal = false
# The end.
"""  # noqa: E501


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Operator:
    """Someone at the CA's host."""

    def __init__(self, ca: TestCA, capfd: pytest.CaptureFixture[str]) -> None:
        self.file = ca.directory / "ca.toml"
        self._capfd = capfd

    def run(self, *arguments: str) -> Ran:
        self._capfd.readouterr()
        code = main(["ca", "provisioner", *arguments])
        return Ran(code, *self._capfd.readouterr())

    def done(self, *arguments: str) -> Ran:
        """The command succeeds, and the CA accepts the file."""
        ran = self.run(*arguments)
        assert ran.code == 0, ran.err
        Authority.assemble(load(self.file))
        return ran

    def failed(self, *arguments: str, code: int = 1) -> str:
        """The command fails in words, and the file is as it was."""
        before = self.file.read_bytes()
        ran = self.run(*arguments)
        assert (ran.code, ran.out) == (code, "")
        assert "should not" not in ran.err
        assert self.file.read_bytes() == before
        return ran.err

    @property
    def text(self) -> str:
        return self.file.read_text()

    @text.setter
    def text(self, text: str) -> None:
        self.file.write_text(text)

    def table(self, name: str) -> dict[str, Any]:
        (found,) = (one for one in tomllib.loads(self.text)["provisioners"] if one["name"] == name)
        return dict(found)

    @property
    def names(self) -> list[str]:
        return [one["name"] for one in tomllib.loads(self.text).get("provisioners", [])]


@pytest.fixture
def operator(ca: TestCA, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("MICAPATH", str(ca.directory))
    monkeypatch.setenv("MICA_NON_INTERACTIVE", "1")
    return Operator(ca, capfd)


@pytest.fixture
def ssh_operator(tmp_path: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """At the host of a CA that signs SSH certificates as well."""
    operator.file = TestCA.found(tmp_path / "ssh", ssh=True).directory / "ca.toml"
    monkeypatch.setenv("MICAPATH", str(operator.file.parent))
    return operator


@pytest.fixture
def commented(operator: Operator) -> Operator:
    operator.text = COMMENTED
    return operator


@pytest.fixture
def toy(operator: Operator, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """A distribution with a provisioner of another type is installed and enabled."""
    place = tmp_path_factory.mktemp("site")
    (place / "mica_toy.py").write_text(TOY)
    information = place / "mica_ca_toy-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mica-ca-toy\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text("[mica]\ntoy = mica_toy\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "mica_toy", raising=False)
    operator.text = operator.text.replace('"storage_sqlite"]', '"storage_sqlite", "toy"]')
    return operator


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    return file


@pytest.fixture
def public_key(tmp_path: Path) -> Path:
    pem = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        capture_output=True,
        check=True,
    ).stdout
    file = tmp_path / "pub.pem"
    subprocess.run(["openssl", "pkey", "-pubout", "-out", file], input=pem, check=True)
    return file


def test_a_created_key_pair_opens_with_its_password(operator: Operator, password: Path) -> None:
    ran = operator.done("add", "ops", "--type", "JWK", "--create", "--password-file", str(password))
    table = operator.table("ops")
    sealed = jwcrypto_jwe.JWE()
    sealed.deserialize(table["encrypted_key"], jwcrypto_jwk.JWK.from_password("correct horse"))
    assert jwcrypto_jwk.JWK.from_json(sealed.payload.decode()).export_public(as_dict=True) == table["key"]
    assert ran.out == ""
    assert "has been added to" in ran.err
    assert "SIGHUP" in ran.err
    assert operator.names == ["admin", "ops"]


def test_the_type_is_jwk_and_its_case_does_not_matter(operator: Operator, public_key: Path) -> None:
    operator.done("add", "one", "--public-key", str(public_key))
    assert operator.table("one")["type"] == "jwk"
    assert "encrypted_key" not in operator.table("one")


def test_claims_are_flags(operator: Operator, public_key: Path) -> None:
    operator.done(
        "add", "ops", "--public-key", str(public_key), "--x509-min-dur", "10m", "--x509-max-dur=2d",
        "--x509-default-dur", "1d",
        "--disable-renewal", "--allow-renewal-after-expiry=true", "--disable-smallstep-extensions=false",
    )  # fmt: skip
    assert operator.table("ops")["claims"] == {
        "min_tls_cert_duration": "10m",
        "max_tls_cert_duration": "2d",
        "default_tls_cert_duration": "1d",
        "disable_renewal": True,
        "allow_renewal_after_expiry": True,
        "disable_smallstep_extensions": False,
    }


@pytest.mark.parametrize("cert_type", ["user", "host"])
def test_the_durations_of_ssh_certificates_are_flags(operator: Operator, public_key: Path, cert_type: str) -> None:
    operator.done(
        "add", "ops", "--public-key", str(public_key), "--ssh",
        f"--ssh-{cert_type}-min-dur", "10m", f"--ssh-{cert_type}-max-dur=2d", f"--ssh-{cert_type}-default-dur", "1d",
    )  # fmt: skip
    assert operator.table("ops")["claims"] == {
        f"min_{cert_type}_ssh_cert_duration": "10m",
        f"max_{cert_type}_ssh_cert_duration": "2d",
        f"default_{cert_type}_ssh_cert_duration": "1d",
        "enable_ssh_ca": True,
    }
    said = operator.failed("update", "ops", f"--ssh-{cert_type}-max-dur", "1h")
    assert f"max_{cert_type}_ssh_cert_duration (1h0m0s) must hold" in said


def test_a_new_provisioner_may_order_ssh_certificates_where_the_ca_signs_them(
    ssh_operator: Operator, password: Path
) -> None:
    create = ("--create", "--password-file", str(password))
    ssh_operator.done("add", "ops", *create)
    ssh_operator.done("add", "web", *create, "--no-ssh", "--x509-max-dur", "48h")
    ssh_operator.done("add", "hosts", "--type", "SSHPOP")
    assert ssh_operator.table("ops")["claims"] == {"enable_ssh_ca": True}
    assert ssh_operator.table("web")["claims"] == {"enable_ssh_ca": False, "max_tls_cert_duration": "48h"}
    assert ssh_operator.table("hosts") == {"type": "sshpop", "name": "hosts", "claims": {"enable_ssh_ca": True}}
    ssh_operator.done("update", "ops", "--no-ssh")
    assert ssh_operator.table("ops")["claims"] == {"enable_ssh_ca": False}


def test_whoever_allows_ssh_where_nothing_signs_it_is_told_what_lacks(operator: Operator) -> None:
    assert "mica ca enable-ssh" in operator.done("update", "admin", "--ssh").err
    assert "warning" not in operator.done("update", "admin", "--no-ssh").err


def test_whoever_allows_ssh_where_it_is_signed_is_not_warned(ssh_operator: Operator) -> None:
    ssh_operator.done("update", "admin", "--no-ssh")
    assert "warning" not in ssh_operator.done("update", "admin", "--ssh").err


def test_a_new_provisioner_of_a_ca_without_ssh_says_nothing_of_it(operator: Operator, public_key: Path) -> None:
    operator.done("add", "ops", "--public-key", str(public_key))
    assert "claims" not in operator.table("ops")


def test_the_password_is_asked_for_twice(operator: Operator) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MICA_NON_INTERACTIVE"}
    child = pexpect.spawn(
        str(MICA), ["ca", "provisioner", "add", "ops", "--create"], env=environment, encoding="utf-8", timeout=30
    )
    child.expect("password to encrypt the private key of the provisioner ops: ")
    child.sendline("correct horse")
    child.expect("once more: ")
    child.sendline("correct horse")
    child.expect("has been added")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "ops" in operator.names


def test_without_a_terminal_the_flag_for_the_password_is_named(operator: Operator) -> None:
    assert "--password-file" in operator.failed("add", "ops", "--create", code=6)


def test_a_name_is_taken_once(operator: Operator) -> None:
    # It is told before anybody is asked for a password.
    assert "there is a provisioner 'admin' already" in operator.failed("add", "admin", "--create")


def test_a_rename_to_a_name_that_is_taken_is_refused(commented: Operator) -> None:
    assert "there is a provisioner 'second' already" in commented.failed("update", "first", "--name", "second")


def test_an_addition_stands_after_the_others_and_changes_nothing_else(commented: Operator, public_key: Path) -> None:
    commented.done("add", "third", "--public-key", str(public_key))
    before, block, after = commented.text.partition('\n[[provisioners]]\ntype = "jwk"\nname = "third"\n')
    assert block
    key, _, rest = after.partition("\n")
    assert key.startswith("key = {")
    assert before + rest == COMMENTED
    assert rest.startswith("\n# What every provisioner may do.\n[claims]")


def test_a_removal_takes_one_table_and_leaves_the_comments_around_it(commented: Operator) -> None:
    commented.done("remove", "second")
    start, end = COMMENTED.index('[[provisioners]]\ntype = "jwk"\nname = "second"'), COMMENTED.index("# What every")
    assert commented.text == COMMENTED[:start] + "\n" + COMMENTED[end:]
    commented.done("remove", "first")
    assert commented.names == []
    assert "# The first one.\n" in commented.text
    assert "# encrypted_key" not in commented.text


def test_an_addition_after_the_last_removal_undoes_it(commented: Operator, public_key: Path) -> None:
    for name in ("first", "second"):
        commented.done("remove", name)
    commented.done("add", "new", "--public-key", str(public_key))
    assert commented.names == ["new"]
    assert commented.text.index("# The end.") < commented.text.index("[[provisioners]]")


def test_a_change_touches_its_own_lines_only(commented: Operator) -> None:
    commented.done("update", "second", "--x509-max-dur", "48h", "--name", "zweiter")
    expected = COMMENTED.replace('"36h" #', '"48h" #').replace('name = "second"', 'name = "zweiter"')
    assert commented.text == expected
    commented.done("update", "first", "--disable-renewal")
    assert commented.text == expected.replace(
        '# encrypted_key = "…"\n', '# encrypted_key = "…"\nclaims = {disable_renewal = true}\n'
    )


def test_a_rename_warns_about_renewals(operator: Operator) -> None:
    assert "cannot be renewed" in operator.done("update", "admin", "--name", "boss").err
    assert operator.names == ["boss"]


def test_an_empty_value_takes_a_setting_out(operator: Operator) -> None:
    operator.done("update", "admin", "--x509-max-dur", "48h", "--disable-renewal")
    operator.done("update", "admin", "--x509-max-dur", "", "--disable-renewal=false")
    assert operator.table("admin")["claims"] == {"disable_renewal": False}


def test_a_key_is_replaced_by_another(operator: Operator, public_key: Path, password: Path) -> None:
    operator.done("update", "admin", "--create", "--password-file", str(password))
    made = operator.table("admin")
    operator.done("update", "admin", "--public-key", str(public_key))
    # The private key of the old pair must not be offered with the new one.
    assert "encrypted_key" not in operator.table("admin")
    assert operator.table("admin")["key"]["kid"] != made["key"]["kid"]


def test_two_provisioners_never_share_a_key(operator: Operator, public_key: Path) -> None:
    operator.done("add", "one", "--public-key", str(public_key))
    assert "its key is also that of" in operator.failed("add", "two", "--public-key", str(public_key))


def test_a_change_of_nothing_is_a_usage_error(operator: Operator) -> None:
    assert "nothing about the provisioner admin" in operator.failed("update", "admin", code=2)


@pytest.mark.parametrize("command", ["update", "remove"])
def test_an_unknown_provisioner_is_told_with_those_there_are(commented: Operator, command: str) -> None:
    told = commented.failed(command, "third")
    assert "there is no provisioner 'third'" in told
    assert "hint: there is first, second" in told


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "x"), 2, "x needs a key: --create makes one"),
        (("add", "x", "--create", "--public-key", "p"), 2, "--create makes both keys"),
        (("add", "x", "--public-key", "nowhere"), 5, "nowhere: there is no such file"),
        (("add", "x", "--public-key", "certs/root_ca.crt"), 5, "root_ca.crt: is not a public key"),
        (("add", "x", "--type", "scep"), 1, "no enabled plugin offers provisioners of the type scep; offered: jwk"),
        (("add", "x", "--create", "--client-id", "y"), 2, "--client-id"),
        (("add",), 2, "NAME"),
        (("add", "x", "--x509-max-dur", "soon", "--create"), 2, "'soon' is not a duration"),
        (("add", "x", "--create", "--disable-renewal=perhaps"), 2, "true or false"),
        (("update", "admin", "--name", "mica"), 1, 'provisioners[0].name: "mica" is the authority\'s own'),
        (("update", "admin", "--name", "a\nb"), 1, "provisioners[0].name: must be printable"),
        (("update", "admin", "--x509-min-dur", "72h"), 1, "min_tls_cert_duration (72h0m0s) ≤"),
        (("update", "admin", "--x509-min-dur", "0"), 1, "must be more than 0"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    operator: Operator, arguments: Sequence[str], code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(operator.file.parent)
    assert told in operator.failed(*arguments, code=code)


def test_every_fault_of_the_result_is_told(operator: Operator) -> None:
    address = re.search('address = ".*"', operator.text)
    assert address is not None
    operator.text = operator.text.replace(address[0], 'address = "nowhere"\ncolour = "red"')
    told = operator.failed("update", "admin", "--x509-min-dur", "72h")
    assert "address: 'nowhere' is not host:port" in told
    assert 'extra field "colour"' in told
    assert "provisioners[0].claims: min_tls_cert_duration" in told
    assert f"hint: {operator.file} is as it was" in told


def test_a_faulty_provisioner_can_be_removed(operator: Operator) -> None:
    operator.text += '\n[[provisioners]]\ntype = "nonesuch"\nname = "bad"\n'
    operator.done("remove", "bad")
    assert operator.names == ["admin"]


def test_neither_environment_nor_defaults_change_a_provisioner(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, public_key: Path
) -> None:
    (operator.file.parent / "defaults.json").write_text('{"type": "toy", "disable-renewal": true, "name": "x"}')
    monkeypatch.setenv("MICA_DISABLE_RENEWAL", "1")
    monkeypatch.setenv("MICA_CREATE", "1")
    operator.done("add", "ops", "--public-key", str(public_key))
    assert set(operator.table("ops")) == {"type", "name", "key"}


def test_flags_come_from_the_fields_of_the_plugin(toy: Operator) -> None:
    toy.done(
        "add", "box", "--type", "TOY", "--endpoint", "https://toys.example",
        "--domain", "a.example", "--domain", "b.example",
        "--retries", "5", "--patience", "90s", "--strict", "--colour", "blue",
    )  # fmt: skip
    assert toy.table("box") == {
        "type": "toy",
        "name": "box",
        "endpoint": "https://toys.example",
        "domains": ["a.example", "b.example"],
        "retries": 5,
        "patience": "90s",
        "strict": True,
        "colour": "blue",
    }


def test_a_flag_that_two_types_bring_is_that_of_the_type_that_is_meant(toy: Operator) -> None:
    toy.done("add", "box", "--type", "toy", "--endpoint", "e", "--public-key", "no file, as JWK's would be")
    assert toy.table("box")["public_key"] == "no file, as JWK's would be"
    toy.done("update", "--public-key", "nor is this", "--retries", "4", "box")
    assert (toy.table("box")["public_key"], toy.table("box")["retries"]) == ("nor is this", 4)


def test_arrays_grow_and_shrink(toy: Operator) -> None:
    toy.done("add", "box", "--type", "toy", "--endpoint", "e", "--domain", "a", "--domain", "b")
    toy.done("update", "box", "--domain", "c", "--domain", "a", "--remove-domain", "b")
    assert toy.table("box")["domains"] == ["a", "c"]
    assert "'z' is not there" in toy.failed("update", "box", "--remove-domain", "z", code=2)
    assert "--remove-domain" in toy.failed("add", "new", "--type", "toy", "--remove-domain", "z", code=2)


def test_paths_are_written_as_the_ca_will_read_them(
    toy: Operator, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "root.pem"
    outside.write_text("x")
    monkeypatch.chdir(toy.file.parent / "certs")
    toy.done(
        "add", "box", "--type", "toy", "--endpoint", "e", "--toy-roots", "root_ca.crt", "--toy-roots", str(outside)
    )
    assert toy.table("box")["toy_roots"] == ["certs/root_ca.crt", str(outside)]
    toy.done("update", "box", "--remove-toy-roots", "../certs/root_ca.crt")
    assert toy.table("box")["toy_roots"] == [str(outside)]


def test_what_the_plugin_objects_to_is_not_written(toy: Operator) -> None:
    told = toy.failed("add", "box", "--type", "toy", "--retries", "10")
    assert "provisioners[1]" in told
    assert "endpoint" in told
    assert "retries" in toy.failed("add", "box", "--type", "toy", "--endpoint", "e", "--retries", "10")


def test_flags_of_another_type_are_refused(toy: Operator) -> None:
    told = toy.failed("add", "box", "--type", "toy", "--endpoint", "e", "--create", code=2)
    assert "flag '--create' is not for provisioners of the type toy" in told
    assert "'--domain' is not for" in toy.failed("update", "admin", "--domain", "x", code=2)


def test_help_shows_the_flags_of_every_type_and_hides_what_is_no_flag(toy: Operator) -> None:
    out = toy.run("add", "--help").out
    for shown in ("JWK: Make a key pair", "TOY: Who may play", "--x509-max-dur", "[red|blue]"):
        assert shown in out
    for hidden in ("--secret", "--extra", "--encrypted-key", "--remove-domain"):
        assert hidden not in out
    assert "--remove-domain" in toy.run("update", "--help").out


def test_help_needs_no_configuration(operator: Operator) -> None:
    operator.file.unlink()
    for arguments in (["ca", "provisioner", "add", "--help"], ["help", "ca", "provisioner", "update"]):
        assert main(arguments) == 0
    assert "there is no such file" in _without_file(operator)


def _without_file(operator: Operator) -> str:
    ran = operator.run("add", "x", "--create")
    assert ran.code == 5
    return ran.err


def test_another_configuration_can_be_named(
    toy: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("MICAPATH", str(tmp_path_factory.mktemp("elsewhere")))
    toy.done("add", "box", "--endpoint", "e", "--type=toy", f"--ca-config={toy.file}")
    toy.done("remove", "box", "--ca-config", str(toy.file))
    monkeypatch.setenv("MICA_CA_CONFIG", str(toy.file))
    toy.done("add", "box", "--endpoint", "e", "--type=toy")


def test_the_file_keeps_its_mode(operator: Operator) -> None:
    operator.file.chmod(0o640)
    operator.done("update", "admin", "--disable-renewal")
    assert operator.file.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_no_toml_is_told(operator: Operator) -> None:
    for content in (b"= 1", b"\xff\xfe", b'provisioners = "x"', b"provisioners = [1]"):
        operator.file.write_bytes(content)
        ran = operator.run("remove", "admin")
        assert ran.code in (1, 5)
        assert str(operator.file) in ran.err
        assert operator.file.read_bytes() == content


@pytest.mark.parametrize("style", ["provisioners = []\n", ""])
def test_provisioners_may_be_written_as_a_value(
    operator: Operator, style: str, public_key: Path, password: Path
) -> None:
    head, _, _ = operator.text.partition("[[provisioners]]")
    operator.text = style + head
    operator.done("add", "one", "--public-key", str(public_key))
    operator.done("add", "two", "--create", "--password-file", str(password))
    operator.done("update", "two", "--disable-renewal")
    operator.done("remove", "one")
    assert operator.names == ["two"]
    assert operator.table("two")["claims"] == {"disable_renewal": True}
    assert operator.text.startswith("provisioners = [") is bool(style)
