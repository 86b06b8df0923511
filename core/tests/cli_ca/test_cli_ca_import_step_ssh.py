"""``mica ca import-step`` of a step-ca that signs SSH certificates: its keys go on signing."""

import asyncio
import json
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import jwt
import pytest
from core.tests.cli_ca import step_folder
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ca.step_folder import CA_PASSWORD, OldCA
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwcrypto import jwk

from mica.authority import Authority
from mica.cli.ca import record
from mica.config import Settings, load
from mica.keyfiles import PrivateKey, load_private_key
from mica.records import CertificateId, CertificateKind
from mica.testing.service import free_port, served

KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Import:
    """A machine where a step-ca with SSH ran, and where its operator types ``mica ca import-step``."""

    old: OldCA
    machine: Machine
    keys: dict[str, PrivateKey]

    @property
    def home(self) -> Path:
        return self.machine.home

    @property
    def table(self) -> dict[str, Any]:
        return tomllib.loads((self.home / "ca.toml").read_text())

    def run(self, *more: str | Path, code: int = 0) -> Any:
        return self.machine.mica("ca", "import-step", self.old.home, "--password-file", "ca-password", *more, code=code)

    def items(self, *more: str | Path) -> dict[str, dict[str, str]]:
        """What the report says, by item; and the CA accepts what was written."""
        report = json.loads(self.run("--json", *more).out)
        assert self.machine.mica("ca", "check", "--password-file", "ca-password").out == "ok\n"
        return {item["item"]: item for item in report["items"]}

    def curl(self, url: str, *more: str) -> str:
        """The answer to curl, which trusts the old root."""
        command = ["curl", "-sS", "--cacert", str(self.old.home / "certs/root_ca.crt"), url, *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def say(self, **members: Any) -> None:
        """``ssh`` of ca.json has these members besides."""
        self.old.change(ssh={**self.old.config["ssh"], **members})


@pytest.fixture
def here(tmp_path: Path) -> Import:
    machine = Machine(tmp_path, tmp_path / "mica")
    machine.write("ca-password", CA_PASSWORD + "\n")
    old = step_folder.make(tmp_path / "step", rounds={"ops": 1000})
    return Import(old, machine, step_folder.add_ssh(old))


def public_jwk(*, curve: str = "P-256") -> dict[str, str]:
    """A public key as ``ssh.keys`` has it, made by another library."""
    key: dict[str, str] = json.loads(jwk.JWK.generate(kty="EC", crv=curve).export_public())
    return key


def listed_key(cert_type: str, *, federated: bool = False, **members: Any) -> dict[str, Any]:
    return {"type": cert_type, "federated": federated, "key": public_jwk(), **members}


def fingerprints(path: Path) -> list[str]:
    done = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.split()[1] for line in done.stdout.splitlines()]


def test_the_keys_are_copied_unchanged_and_stay_private(here: Import) -> None:
    items = here.items()
    for name, key in here.keys.items():
        copied = here.home / f"secrets/ssh_{name}_ca_key"
        assert copied.read_bytes() == (here.old.home / f"secrets/ssh_{name}_ca_key").read_bytes()
        assert copied.stat().st_mode & 0o777 == 0o600
        opened = load_private_key(copied.read_bytes(), CA_PASSWORD.encode(), where="copy")
        assert opened.public_key() == key.public_key()
        public = here.home / f"certs/ssh_{name}_ca_key.pub"
        assert public.read_bytes() == (here.old.home / f"certs/ssh_{name}_ca_key.pub").read_bytes()
        assert public.stat().st_mode & 0o777 == 0o644
        assert items[f"ssh.{name}Key"]["outcome"] == "taken over"
    assert here.table["signers"]["ssh"] == {
        "type": "sshsigner",
        "user_key": "file:secrets/ssh_user_ca_key",
        "host_key": "file:secrets/ssh_host_ca_key",
        "renew_unrecorded": True,
        "backdate": "1m0s",
    }
    assert "plugin" not in here.table
    assert "renew_unrecorded" in items["ssh: certificates"]["detail"]


def test_the_provisioners_may_order_what_they_could(here: Import) -> None:
    here.old.config["authority"]["provisioners"][0]["claims"] |= {"maxUserSSHCertDuration": "20h0m0s"}
    here.old.change(authority__claims={"maxHostSSHCertDuration": "1000h"})
    here.items()
    ops, sshpop = here.table["provisioners"]
    assert ops["claims"] == {"max_user_ssh_cert_duration": "20h0m0s", "enable_ssh_ca": True}
    assert sshpop == {"type": "sshpop", "name": "sshpop", "claims": {"enable_ssh_ca": True}}
    assert here.table["claims"] == {"max_host_ssh_cert_duration": "1000h"}
    assert {"sshsigner", "sshpop"} <= set(here.table["plugins"])


def test_with_refer_the_keys_stay_where_they_are(here: Import) -> None:
    here.items("--refer")
    assert here.table["signers"]["ssh"]["user_key"] == f"file:{here.old.home}/secrets/ssh_user_ca_key"
    assert not (here.home / "secrets").exists()


@pytest.mark.parametrize("way", [(), ("--refer",)])
def test_further_and_federated_keys_become_files_that_ssh_keygen_reads(here: Import, way: tuple[str, ...]) -> None:
    here.say(
        keys=[
            listed_key("user"), listed_key("host"), listed_key("user"),
            listed_key("user", federated=True), listed_key("host", federated=True, key=public_jwk(curve="P-521")),
        ]
    )  # fmt: skip
    items = here.items(*way)
    signer, service = here.table["signers"]["ssh"], here.table["plugin"]["sshsigner"]
    assert signer["further_user_keys"] == ["certs/ssh_further_user_keys.pub"]
    assert signer["further_host_keys"] == ["certs/ssh_further_host_keys.pub"]
    assert service == {
        "federated_user_keys": ["certs/ssh_federated_user_keys.pub"],
        "federated_host_keys": ["certs/ssh_federated_host_keys.pub"],
    }
    found = {
        "ssh.keys[0]": fingerprints(here.home / "certs/ssh_further_user_keys.pub")[0],
        "ssh.keys[1]": fingerprints(here.home / "certs/ssh_further_host_keys.pub")[0],
        "ssh.keys[2]": fingerprints(here.home / "certs/ssh_further_user_keys.pub")[1],
        "ssh.keys[3]": fingerprints(here.home / "certs/ssh_federated_user_keys.pub")[0],
        "ssh.keys[4]": fingerprints(here.home / "certs/ssh_federated_host_keys.pub")[0],
    }
    for item, fingerprint in found.items():
        assert items[item]["detail"].endswith(fingerprint)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (listed_key("robot"), "neither user nor host"),
        (listed_key("user", key={"kty": "oct", "k": "c2VjcmV0"}), "is not an EC, RSA or Ed25519 key"),
        (listed_key("user", key={"kty": "EC"}), "lacks members of a public key"),
        (listed_key("user", key="key"), "lacks members of a public key"),
        (listed_key("user", key=None), "lacks members of a public key"),
        (listed_key("user", key=public_jwk() | {"x": "AAAA"}), "Invalid EC key"),
        ({}, "lacks members of a public key"),
    ],
)
def test_a_key_that_cannot_be_used_is_left_to_somebody(here: Import, key: Any, reason: str) -> None:
    here.say(keys=[key])
    items = here.items()
    assert items["ssh.keys[0]"]["outcome"] == "to do"
    assert reason in items["ssh.keys[0]"]["detail"]
    assert "c2VjcmV0" not in here.run("--force").err


def test_a_key_that_stands_twice_is_named_once(here: Import) -> None:
    key = listed_key("host")
    here.say(keys=[key, key])
    assert here.items()["ssh.keys[1]"]["outcome"] == "to do"
    assert len(fingerprints(here.home / "certs/ssh_further_host_keys.pub")) == 1


def test_what_makes_accounts_and_the_bastion_are_taken_over(here: Import) -> None:
    bastion = {"hostname": "bastion.example", "user": "jump", "port": "2222", "cmd": "nc %h %p", "flags": "-q"}
    here.say(addUserPrincipal="maker", addUserCommand="adduser <principal>", bastion=bastion)
    here.old.change(authority__disableGetSSHHosts=True)
    items = here.items()
    signer, service = here.table["signers"]["ssh"], here.table["plugin"]["sshsigner"]
    assert (signer["add_user_principal"], signer["add_user_command"]) == ("maker", "adduser <principal>")
    assert service == {"bastion": {**bastion, "port": 2222}, "list_hosts": False}
    for item in ("ssh.addUserPrincipal", "ssh.addUserCommand", "ssh.bastion", "authority.disableGetSSHHosts"):
        assert items[item]["outcome"] == "taken over"


def test_a_bastion_without_a_name_is_told_and_left_out(here: Import) -> None:
    here.say(bastion={"user": "jump"})
    assert here.items()["ssh.bastion"]["outcome"] == "to do"
    assert "plugin" not in here.table


def test_one_kind_of_certificate_needs_one_key(here: Import) -> None:
    here.say(userKey="", keys=[listed_key("user"), listed_key("host")])
    items = here.items()
    assert not (here.home / "secrets/ssh_user_ca_key").exists()
    signer = here.table["signers"]["ssh"]
    assert set(signer) == {"type", "host_key", "further_host_keys", "renew_unrecorded", "backdate"}
    assert "no key signs user certificates" in items["ssh.keys[0]"]["detail"]


def test_what_nobody_knows_and_templates_are_told(here: Import) -> None:
    here.say(vex=1)
    here.old.config["authority"]["provisioners"][0]["options"] = {
        "ssh": {"template": '{"type": "user", "keyId": "x", "principals": [], "criticalOptions": {}}'}
    }
    here.old.change(templates={"ssh": {"user": []}, "data": {"a": 1}})
    items = here.items()
    assert items["ssh.vex"]["outcome"] == "no counterpart yet"
    assert "mica ssh config" in items["templates"]["to_do"]
    template = items["authority.provisioners[0].options.ssh"]
    assert "principals, criticalOptions" in template["detail"]
    assert "usual profile" in template["to_do"]


@contextmanager
def running(here: Import, *more: str) -> Iterator[str]:
    """The imported CA is served at this URL."""
    url = f"https://localhost:{free_port()}"
    here.old.change(address=url.removeprefix("https://").replace("localhost", "127.0.0.1"))
    here.run("--with-ca-url", url, *more)
    ca: Any = SimpleNamespace(directory=here.home, url=url)
    with served(ca, workers=1, arguments=["--password-file", str(here.machine.path("ca-password"))]):
        yield url


def test_whoever_asks_the_new_ca_is_told_the_old_keys(here: Import) -> None:
    here.say(keys=[listed_key("host"), listed_key("user", federated=True)])
    with running(here) as url:
        told = [json.loads(here.curl(f"{url}/ssh/{path}")) for path in ("roots", "federation")]
    blobs = {
        name: [line.split()[1] for line in (here.home / f"certs/ssh_{name}.pub").read_text().splitlines()]
        for name in ("user_ca_key", "host_ca_key", "further_host_keys", "federated_user_keys")
    }
    assert told[0] == {"userKey": blobs["user_ca_key"], "hostKey": blobs["host_ca_key"] + blobs["further_host_keys"]}
    assert told[1]["userKey"] == blobs["user_ca_key"] + blobs["federated_user_keys"]


def host_certificate(here: Import, serial: int) -> str:
    """The blob, in base64, of a certificate that the old CA signed for the host whose key is ``KEY``."""
    public = here.machine.path(f"host{serial}.pub")
    public.write_bytes(KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    ssh_keygen = [
        "ssh-keygen", "-q", "-s", f"{here.old.home}/secrets/ssh_host_ca_key", "-P", CA_PASSWORD, "-h", "-I", "host",
        "-n", "host.example", "-V", "-1m:+1d", "-z", str(serial), str(public),
    ]  # fmt: skip
    subprocess.run(ssh_keygen, check=True, capture_output=True)
    return here.machine.path(f"host{serial}-cert.pub").read_text().split()[1]


def renewal(url: str, certificate: str) -> str:
    """What a host asks that renews ``certificate``."""
    now = int(time.time())
    payload = {
        "iss": "sshpop", "sub": "host", "aud": f"{url}/ssh/renew#sshpop/sshpop", "iat": now, "nbf": now,
        "exp": now + 300, "jti": uuid4().hex,
    }  # fmt: skip
    return json.dumps({"ott": jwt.encode(payload, KEY, "ES256", {"sshpop": certificate})})


def test_a_host_renews_the_certificate_of_the_old_ca_unless_it_was_revoked(here: Import) -> None:
    here.machine.write("revoked", "4712\n")
    with running(here, "--revoked", "revoked") as url:
        answers = [
            json.loads(here.curl(f"{url}/ssh/renew", "--data", renewal(url, host_certificate(here, serial))))
            for serial in (4711, 4712)
        ]
    renewed = here.machine.write("renewed.pub", f"ecdsa-sha2-nistp256-cert-v01@openssh.com {answers[0]['crt']}\n")
    said = subprocess.run(["ssh-keygen", "-L", "-f", renewed], capture_output=True, text=True, check=True).stdout
    assert "host certificate" in said
    assert "host.example" in said
    assert answers[1]["status"] == 401


def test_serial_numbers_that_were_revoked_are_those_of_ssh_certificates_too(here: Import) -> None:
    here.machine.write("revoked", f"{2**64 - 1}\n{2**64}\n7\n")
    assert json.loads(here.run("--revoked", "revoked", "--json").out)["revoked"] == 3
    assert json.loads(here.run("--revoked", "revoked", "--json", "--force").out)["revoked"] == 0
    settings = load(here.home / "ca.toml", password=CA_PASSWORD.encode())
    authority = Authority.assemble(settings)
    assert authority.ssh is not None
    issuers = frozenset(key.digest for _, key in authority.ssh.all_keys())
    assert asyncio.run(revoked_serials(settings, issuers)) == {2**64 - 1, 7}


async def revoked_serials(settings: Settings, issuers: frozenset[bytes]) -> set[int]:
    """Which of the numbers are revoked for every one of the issuers."""
    async with record.opened(settings) as store:
        return {
            serial
            for serial in (2**64 - 1, 7, 8)
            if all(
                [
                    await store.revocation(CertificateId(kind=CertificateKind.SSH, issuer=each, serial_number=serial))
                    for each in issuers
                ]
            )
        }


def _missing(here: Import) -> None:
    (here.old.home / "secrets/ssh_user_ca_key").unlink()


def _empty(here: Import) -> None:
    (here.old.home / "secrets/ssh_user_ca_key").write_text("")


def _public(here: Import) -> None:
    here.say(userKey="certs/ssh_user_ca_key.pub")


def _kms(here: Import) -> None:
    here.say(userKey="awskms:key-id=1")


def _same(here: Import) -> None:
    here.say(userKey="secrets/ssh_host_ca_key")


def _other_password(here: Import) -> None:
    key = step_folder.legacy_pem(here.keys["user"], "another password")
    (here.old.home / "secrets/ssh_user_ca_key").write_bytes(key)


def _port(here: Import) -> None:
    here.say(bastion={"hostname": "bastion", "port": "9" * 5000})


def _no_text(here: Import) -> None:
    here.say(userKey=7)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_missing, "ssh.userKey: "),
        (_empty, "the file is empty"),
        (_public, "ssh_user_ca_key.pub"),
        (_kms, "ssh.userKey: keys of the scheme awskms: cannot be used yet"),
        (_same, "signers.ssh"),
        (_other_password, "ssh.userKey: one password opens all keys of a CA here"),
        (_port, "ssh.bastion.port: "),
        (_no_text, "ssh.userKey: must be a text, not a number"),
    ],
)
def test_what_cannot_be_imported_is_told_and_nothing_is_written(here: Import, spoil: Any, text: str) -> None:
    spoil(here)
    said = here.run(code=5).err
    assert text in said
    assert "nothing has been written" in said
    assert not (here.home / "ca.toml").exists()
    assert not (here.home / "secrets").exists()


def test_a_key_without_a_password_is_taken_as_it_is(here: Import) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    step_folder.write(here.old.home / "secrets/ssh_user_ca_key", plain)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    step_folder.write(here.old.home / "certs/ssh_user_ca_key.pub", line)
    here.items()
    assert (here.home / "secrets/ssh_user_ca_key").read_bytes() == plain
