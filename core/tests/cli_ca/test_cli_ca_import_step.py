"""``mica ca import-step``: a step-ca's folder becomes a CA to which its clients go on talking."""

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pexpect
import pytest
from core.tests.cli_ca import step_folder
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ca.step_folder import CA_PASSWORD, PROVISIONER_PASSWORD, OldCA
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_encode

from mica.keyfiles import PrivateKey, generate
from mica.testing.ca import csr_pem
from mica.testing.issuers import make_ca
from mica.testing.plugins import install

KEY = generate("EC-P256")


@dataclass
class Import:
    """A machine where a step-ca ran, and where its operator types ``mica ca import-step``."""

    old: OldCA
    machine: Machine

    @property
    def home(self) -> Path:
        return self.machine.home

    @property
    def toml(self) -> str:
        return (self.home / "ca.toml").read_text()

    def run(self, *more: str | Path, code: int = 0, place: Path | None = None, password: bool = True) -> Any:
        given = ("--password-file", "ca-password") if password else ()
        return self.machine.mica("ca", "import-step", place or self.old.home, *given, *more, code=code)

    def items(self, *more: str | Path) -> dict[str, dict[str, str]]:
        """What the report says, by item."""
        report = json.loads(self.run("--json", *more).out)
        return {item["item"]: item for item in report["items"]}

    def check(self) -> str:
        return str(self.machine.mica("ca", "check", "--password-file", "ca-password").err)


@pytest.fixture
def here(tmp_path: Path) -> Import:
    machine = Machine(tmp_path, tmp_path / "mica")
    machine.write("ca-password", CA_PASSWORD + "\n")
    return Import(step_folder.make(tmp_path / "step", rounds={"ops": 1000}), machine)


def contents(folder: Path) -> dict[Path, tuple[bytes, int, int]]:
    """Every file below ``folder``: octets, mode, time of the last change."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (path.read_bytes(), stat.st_mode, stat.st_mtime_ns) for path, stat in stats.items()}


# The new CA, served


@dataclass
class Served:
    """The imported CA, running."""

    old: OldCA
    machine: Machine
    port: int
    revoked: x509.Certificate

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, *, certificate: x509.Certificate | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON, over TLS that trusts the old root alone; ``certificate`` is shown with ``KEY``."""
        context = ssl.create_default_context(cafile=str(self.old.home / "certs/root_ca.crt"))
        if certificate is not None:
            identity = self.machine.folder / uuid4().hex
            plain = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            identity.write_bytes(certificate.public_bytes(Encoding.PEM) + plain)
            context.load_cert_chain(identity)
        connection = HTTPSConnection("localhost", self.port, context=context, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def renew_token(self, certificate: x509.Certificate) -> str:
        now = int(time.time())
        payload = {
            "iss": "step-ca-client/1.0", "sub": "svc.example", "aud": f"{self.url}/renew", "iat": now, "nbf": now,
            "exp": now + 300,
        }  # fmt: skip
        header = {"x5cInsecure": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]}
        return jwt.encode(payload, KEY, "ES256", header)


@pytest.fixture(scope="module", params=["EC-P256", "RSA-2048"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("import")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    old = step_folder.make(folder / "step", port=port, algorithm=request.param)
    machine = Machine(folder, folder / "mica")
    revoked = old.certificate(KEY)
    machine.write("revoked", f"# lost laptops\r\n0x{revoked.serial_number:x}  # the first\r\n\r\n4711\r\n")
    here = Import(old, machine)
    machine.write("ca-password", CA_PASSWORD + "\n")
    before = contents(old.home)
    here.run("--revoked", "revoked")
    assert contents(old.home) == before
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mica.cli", "ca", "serve", "--workers", "1", "--password-file", "ca-password"],
            cwd=folder,
            env={**os.environ, "MICAPATH": str(machine.home)},
            stderr=log,
        )
    try:
        _wait(process, folder / "log")
        yield Served(old, machine, port, revoked)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if b"serving" in log.read_bytes():
            return
        time.sleep(0.05)
    pytest.fail(f"the CA did not start: {log.read_text()}")


def test_clients_that_pinned_the_old_root_find_it(served: Served) -> None:
    fingerprint = served.old.fingerprint
    status, answer = served.ask("GET", f"/root/{fingerprint}")
    assert status == 200
    assert answer["ca"].encode() == (served.old.home / "certs/root_ca.crt").read_bytes()
    client = Machine(served.machine.folder, served.machine.folder / f"client-{uuid4().hex}")
    client.mica("ca", "bootstrap", "--ca-url", served.url, "--fingerprint", fingerprint)


@pytest.mark.parametrize("provisioner", ["ops", "older"])
def test_an_old_client_signs_a_token_with_the_key_that_the_old_password_opens(served: Served, provisioner: str) -> None:
    kid = served.old.provisioners[provisioner]["kid"]
    status, answer = served.ask("GET", f"/1.0/provisioners/{kid}/encrypted-key")
    assert status == 200
    opened = jwe.JWE(algs=["PBES2-HS256+A128KW", "A256GCM"])
    opened.deserialize(answer["key"], jwk.JWK(kty="oct", k=base64url_encode(PROVISIONER_PASSWORD.encode())))
    key = jwt.PyJWK.from_json(opened.payload.decode(), "ES256").key
    now = int(time.time())
    token = jwt.encode(
        {
            "iss": provisioner, "sub": "new.example", "sans": ["new.example"], "aud": f"{served.url}/1.0/sign",
            "sha": served.old.fingerprint, "iat": now, "nbf": now, "exp": now + 300, "jti": secrets.token_hex(32),
        },
        key, "ES256", {"kid": kid},
    )  # fmt: skip
    status, answer = served.ask("POST", "/1.0/sign", {"csr": csr_pem("new.example"), "ott": token})
    assert status == 201, answer
    served.machine.write("new.crt", answer["crt"])
    served.machine.openssl(
        "verify", "-x509_strict", "-CAfile", str(served.old.home / "certs/root_ca.crt"), "-untrusted",
        str(served.old.home / "certs/intermediate_ca.crt"), "new.crt",
    )  # fmt: skip


def test_the_old_passwords_are_the_new_ones(served: Served) -> None:
    served.machine.write("provisioner-password", PROVISIONER_PASSWORD)
    served.machine.mica(
        "ca", "certificate", "typed.example", "typed.crt", "typed.key", "--provisioner", "older",
        "--provisioner-password-file", "provisioner-password", "--force",
    )  # fmt: skip
    copied = (served.machine.home / "secrets/intermediate_ca_key").read_bytes()
    assert copied == (served.old.home / "secrets/intermediate_ca_key").read_bytes()


def test_a_certificate_of_the_old_ca_is_renewed_over_mutual_tls_and_by_token(served: Served) -> None:
    certificate = served.old.certificate(KEY)
    status, answer = served.ask("POST", "/1.0/renew", certificate=certificate)
    assert status == 201, answer
    continued = x509.load_pem_x509_certificate(answer["crt"].encode())
    assert continued.public_key() == KEY.public_key()
    assert continued.subject == certificate.subject
    continued.verify_directly_issued_by(served.old.intermediate.certificate)
    status, _ = served.ask("POST", "/renew", authorization=f"Bearer {served.renew_token(certificate)}")
    assert status == 201
    again, _ = served.ask("POST", "/renew", certificate=continued)
    assert again == 201


def test_what_the_old_ca_had_revoked_is_not_renewed(served: Served) -> None:
    assert served.ask("POST", "/renew", certificate=served.revoked)[0] == 401
    token = served.renew_token(served.revoked)
    assert served.ask("POST", "/renew", authorization=f"Bearer {token}")[0] == 401


def test_a_certificate_of_the_old_ca_is_renewed_and_revoked_with_the_command_line(served: Served) -> None:
    machine, certificate = served.machine, served.old.certificate(KEY)
    machine.write("svc.crt", certificate.public_bytes(Encoding.PEM).decode())
    machine.path("svc.key").write_bytes(_plain(KEY))
    machine.write("provisioner-password", PROVISIONER_PASSWORD)
    machine.mica("ca", "renew", "svc.crt", "svc.key", "--out", "renewed.crt", "--force")
    renewed = x509.load_pem_x509_certificate(machine.path("renewed.crt").read_bytes())
    assert "svc.example" in machine.mica("ca", "certs", "show", str(renewed.serial_number)).out
    machine.mica(
        "ca", "revoke", str(certificate.serial_number), "--provisioner", "older",
        "--provisioner-password-file", "provisioner-password",
    )  # fmt: skip
    machine.mica("ca", "renew", "svc.crt", "svc.key", "--out", "again.crt", code=4)
    other = served.old.certificate(KEY)
    machine.write("other.crt", other.public_bytes(Encoding.PEM).decode())
    machine.mica("ca", "revoke", "--cert", "other.crt", "--key", "svc.key")
    assert served.ask("POST", "/renew", certificate=other)[0] == 401


def test_a_certificate_of_a_provisioner_that_was_never_there_is_not_renewed(served: Served) -> None:
    assert served.ask("POST", "/renew", certificate=served.old.certificate(KEY, "stranger"))[0] == 401


# What stands in ca.toml


def test_the_result_passes_the_check_and_says_where_everything_comes_from(here: Import) -> None:
    ran = here.run()
    assert ran.out == ""
    assert "✔ Provisioner: ops (JWK)" in here.check()
    for line in (
        f"# Imported from {here.old.ca_json} by mica ca import-step.",
        'url = "https://localhost:8443" # ca-url of defaults.json',
        'address = "127.0.0.1:8443" # address',
        'dns_names = ["localhost", "127.0.0.1"] # dnsNames',
        'roots = ["certs/root_ca.crt"] # root',
        'backdate = "1m0s" # authority.backdate',
        "renew_unrecorded = true",
        '# authority.provisioners[0] "ops" (JWK) of ca.json',
    ):
        assert line in here.toml.splitlines()


def test_keys_and_certificates_are_copied_unchanged_and_kept_private(here: Import) -> None:
    here.run()
    for name in ("certs/root_ca.crt", "certs/intermediate_ca.crt", "secrets/intermediate_ca_key"):
        assert (here.home / name).read_bytes() == (here.old.home / name).read_bytes()
    assert (here.home / "secrets/intermediate_ca_key").stat().st_mode & 0o777 == 0o600
    assert here.home.stat().st_mode & 0o777 == 0o700
    assert not (here.home / "secrets/root_ca_key").exists()
    defaults = json.loads((here.home / "defaults.json").read_text())
    assert defaults == {
        "ca-url": "https://localhost:8443",
        "fingerprint": here.old.fingerprint,
        "root": str(here.home / "certs/root_ca.crt"),
    }


def test_with_refer_they_stay_where_they_are(here: Import) -> None:
    here.run("--refer")
    assert f'key = "file:{here.old.home}/secrets/intermediate_ca_key"' in here.toml
    assert f'roots = ["{here.old.home}/certs/root_ca.crt"]' in here.toml
    assert not (here.home / "certs").exists()
    here.check()
    assert json.loads((here.home / "defaults.json").read_text())["root"] == str(here.old.home / "certs/root_ca.crt")


def test_the_old_folder_is_as_it_was(here: Import) -> None:
    before = contents(here.old.home)
    here.run()
    assert contents(here.old.home) == before


def test_an_import_into_the_old_folder_itself_overwrites_nothing_of_it(here: Import) -> None:
    before = contents(here.old.home)
    here.machine.home = here.old.home
    here.run()
    assert before.items() <= contents(here.old.home).items()
    here.check()


def test_names_claims_roots_and_backdate_are_taken_over(here: Import) -> None:
    other = make_ca("Other Root")
    step_folder.write(here.old.home / "certs/other.crt", other.certificate.public_bytes(Encoding.PEM))
    here.old.change(
        root=[str(here.old.home / "certs/root_ca.crt"), "certs/other.crt"],
        federatedRoots=["certs/other.crt"],
        key="secrets/intermediate_ca_key",
        commonName="Our CA",
        dnsNames=["ca.example", "10.1.2.3"],
        authority__claims={"maxTLSCertDuration": "48h0m0s", "defaultTLSCertDuration": "36h", "enableSSHCA": True},
        authority__backdate="2m",
    )
    here.old.config["authority"]["provisioners"][0]["claims"] = {
        "minTLSCertDuration": "1m30s", "disableRenewal": True, "maxUserSSHCertDuration": "16h0m0s",
        "allowRenewalAfterExpiry": None,
    }  # fmt: skip
    here.old.change()
    items = here.items("--with-ca-url", "ca.example:9000")
    for line in (
        'url = "https://ca.example:9000" # --with-ca-url',
        'common_name = "Our CA" # commonName',
        'roots = ["certs/root_ca.crt", "certs/root_ca_2.crt"] # root',
        'federated_roots = ["certs/federated_root_ca.crt"] # federatedRoots',
        'backdate = "2m" # authority.backdate',
        'max_tls_cert_duration = "48h0m0s"',
        'default_tls_cert_duration = "36h"',
        "enable_ssh_ca = true",
        'claims = {min_tls_cert_duration = "1m30s", max_user_ssh_cert_duration = "16h0m0s", disable_renewal = true}',
    ):
        assert line in here.toml.splitlines()
    here.check()
    assert "enable_ssh_ca" in items["authority.claims"]["detail"]


def test_member_names_are_found_in_any_case_as_step_ca_finds_them(here: Import) -> None:
    here.old.change(dnsNames=None, DNSNames=["localhost", "ca.example"])
    here.run()
    assert 'dns_names = ["localhost", "ca.example"]' in here.toml


def test_nothing_of_what_is_left_behind_is_left_unsaid(here: Import) -> None:
    here.old.change(
        insecureAddress=":8080",
        ssh={"addUserPrincipal": "provisioner"},
        monitoring={"type": "newrelic", "key": "k"},
        metricsAddress=":9090",
        crl={"enabled": True},
        templates={"ssh": {}, "data": {"a": 1}},
        vex={"new": 1},
        authority__template={"organization": "Old"},
        authority__disableIssuedAtCheck=True,
    )
    items = here.items()
    outcomes = {name: item["outcome"] for name, item in items.items()}
    gone = (
        "insecureAddress", "ssh", "monitoring", "metricsAddress", "crl", "templates", "templates/", "vex", "logger",
        "tls", "authority.template", "authority.disableIssuedAtCheck",
    )  # fmt: skip
    assert {outcomes[name] for name in gone} == {"no counterpart yet"}
    assert outcomes["db (badgerv2): revocations"] == "to do"
    assert "names no key that signs" in items["ssh"]["detail"]
    told = here.run("--force").err
    assert all(f"  {name}: " in told for name in items)
    assert "warning: certificates that the old CA had revoked can be renewed" in told


def test_a_type_without_a_plugin_is_kept_as_a_comment_without_its_secrets(here: Import) -> None:
    here.old.config["authority"]["provisioners"] += [
        {"type": "ACME", "name": "acme", "challenges": ["http-01"], "requireEAB": True},
        {"type": "SCEP", "name": "scep", "challenge": "canary-1", "decrypterKeyPassword": "canary-2"},
        {"type": "GCP", "name": "google", "projectIDs": ["id"], "clientSecret": "canary-3"},
        {"type": "Nebula", "name": "x\u202e\n[store]", "roots": step_folder.b64_pem(here.old.root.certificate)},
    ]
    here.old.change(password="canary-4")
    step_folder.write(
        here.old.home / "secrets/intermediate_ca_key", step_folder.legacy_pem(here.old.intermediate.key, "canary-4")
    )
    ran = here.run("--json", password=False)
    assert '# {"type":"ACME","name":"acme","challenges":["http-01"],"requireEAB":true}' in here.toml.splitlines()
    assert '# {"type":"SCEP","name":"scep","challenge":"\\u2026","decrypterKeyPassword":"\\u2026"}' in here.toml
    assert here.toml.count("# Not taken over: ") == 4
    assert not [canary for canary in range(1, 5) if f"canary-{canary}" in here.toml + ran.out + ran.err]
    here.machine.write("ca-password", "canary-4")
    assert here.check().count("✔ Provisioner: ") == 1


OIDC = {
    "type": "OIDC", "name": "google", "clientID": "id", "clientSecret": "canary", "tenantID": "8d2c",
    "configurationEndpoint": "https://accounts.example/.well-known/openid-configuration",
    "admins": ["ops", "root@harbour.example"], "domains": ["Harbour.example"], "groups": ["staff"],
    "listenAddress": ":10000", "scopes": ["openid", "email"], "authParams": ["hd=harbour.example"],
}  # fmt: skip


def test_an_oidc_provisioner_is_taken_over_with_everything_that_clients_and_the_old_ca_read(here: Import) -> None:
    claims = {"maxTLSCertDuration": "12h", "defaultTLSCertDuration": "8h", "enableSSHCA": True}
    here.old.config["authority"]["provisioners"].append(
        {**OIDC, "claims": claims, "vex": 1, "options": {"x509": {"template": '{"subject": "x"}'}}}
    )
    here.old.change()
    items = here.items()
    (table,) = [table for table in tomllib.loads(here.toml)["provisioners"] if table["name"] == "google"]
    assert table == {
        "type": "oidc", "name": "google", "client_id": "id", "client_secret": "canary", "tenant_id": "8d2c",
        "configuration_endpoint": OIDC["configurationEndpoint"], "admins": OIDC["admins"], "domains": OIDC["domains"],
        "groups": ["staff"], "listen_address": ":10000", "scopes": ["openid", "email"],
        "auth_params": ["hd=harbour.example"],
        "claims": {"max_tls_cert_duration": "12h", "default_tls_cert_duration": "8h", "enable_ssh_ca": True},
    }  # fmt: skip
    assert "domains, groups" in items['authority.provisioners[1] "google" (OIDC)']["detail"]
    for told in ("vex", "options.x509"):
        assert items[f"authority.provisioners[1].{told}"]["outcome"] == "no counterpart yet"
    assert "✔ Provisioner: google (OIDC)" in here.check()


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"domains": [""]}, "domains[0]: "),
        ({"domains": [None]}, "domains: must be an array without null"),
        ({"groups": [None]}, "groups: must be an array without null"),
        ({"groups": ["", "staff"]}, "groups: "),
        ({"domains": "harbour.example"}, "domains: must be an array"),
        ({"configurationEndpoint": "accounts.example"}, "configuration_endpoint: must be a URL"),
        ({"clientID": None}, "client_id: is missing"),
    ],
    ids=str,
)
def test_an_oidc_provisioner_that_could_let_in_more_than_before_is_left_to_its_operator(
    here: Import, members: dict[str, Any], rule: str
) -> None:
    here.old.config["authority"]["provisioners"].append({**OIDC, **members})
    here.old.change()
    ran = here.run("--json")
    item = {item["item"]: item for item in json.loads(ran.out)["items"]}['authority.provisioners[1] "google" (OIDC)']
    assert item["outcome"] == "to do"
    assert item["detail"].startswith(rule)
    assert [table["name"] for table in tomllib.loads(here.toml)["provisioners"]] == ["ops"]
    assert "canary" not in here.toml + ran.out + ran.err


def test_an_x5c_provisioner_brings_its_roots_along(here: Import) -> None:
    roots = [make_ca(name).certificate for name in ("One", "Two")]
    pem = b"of the edge\n" + b"".join(root.public_bytes(Encoding.PEM) for root in roots)
    here.old.config["authority"]["provisioners"] += [
        {"type": "X5C", "name": "edge", "roots": base64.b64encode(pem).decode(), "claims": {"disableRenewal": True}},
        {"type": "x5c", "name": "broken", "roots": base64.b64encode(b"nonsense").decode()},
        {"type": "X5C", "name": "rootless"},
    ]
    here.old.change()
    items = here.items()
    (table,) = tomllib.loads(here.toml)["provisioners"][1:]
    assert x509.load_pem_x509_certificates(table.pop("roots_pem").encode()) == roots
    assert table == {"type": "x5c", "name": "edge", "claims": {"disable_renewal": True}}
    for place, (name, type_) in enumerate((("broken", "x5c"), ("rootless", "X5C")), 2):
        item = items[f'authority.provisioners[{place}] "{name}" ({type_})']
        assert (item["outcome"], item["detail"]) == ("to do", "roots: must be base64 of certificates in PEM")
    assert "✔ Provisioner: edge (X5C)" in here.check()


def test_a_type_whose_plugin_is_installed_gets_its_table(here: Import, tmp_path: Path) -> None:
    (tmp_path / "gcp.py").write_text(_GCP)
    install(tmp_path / "site", tmp_path / "gcp.py")
    here.machine.environment["PYTHONPATH"] = str(tmp_path / "site")
    here.old.config["authority"]["provisioners"].append(
        {"type": "GCP", "name": "google", "clientID": "id", "domains": ["harbour.example"], "listenAddress": ":1"}
    )
    here.old.change()
    items = here.items()
    assert 'type = "gcp"\nname = "google"\nclient_id = "id"\ndomains = ["harbour.example"]\n' in here.toml
    assert '"jwk", "gcp"]' in here.toml
    assert items["authority.provisioners[1].listenAddress"]["outcome"] == "no counterpart yet"
    assert "✔ Provisioner: google (GCP)" in here.check()


_GCP = """
from dataclasses import dataclass
from mica import hookimpl, kind

@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    name: str
    client_id: str
    domains: tuple[str, ...] = ()

class GCP:
    type, operations = "GCP", frozenset()
    def __init__(self, config, context): self.name = config.name
    def describe(self): return {}

@hookimpl
def register_provisioners(): return [kind("gcp", Config, GCP)]
"""


def test_templates_and_webhooks_are_told_provisioner_by_provisioner(here: Import) -> None:
    template = '{"subject": {{ toJson .Subject }}, "keyUsage": ["digitalSignature"], "crlDistributionPoints": ["x"]}'
    here.old.config["authority"]["provisioners"][0]["options"] = {
        "x509": {"templateFile": "templates/leaf.tpl"},
        "ssh": {},
        "webhooks": [{"name": "log", "kind": "NOTIFYING"}],
    }
    (here.old.home / "templates/leaf.tpl").write_text(template)
    here.old.change()
    items = here.items()
    detail = items["authority.provisioners[0].options.x509"]["detail"]
    assert "templates/leaf.tpl" in detail
    assert detail.endswith("subject, keyUsage, crlDistributionPoints")
    assert "log (NOTIFYING)" in items["authority.provisioners[0].options.webhooks"]["detail"]
    here.check()


@pytest.mark.parametrize("kind", ["AUTHORIZING", "ENRICHING", "authorizing", ""])
def test_a_provisioner_on_which_a_webhook_decides_is_not_enabled(here: Import, kind: str) -> None:
    here.old.config["authority"]["provisioners"][0]["options"] = {"webhooks": [{"name": "gate", "kind": kind}]}
    here.old.change()
    items = here.items()
    assert "a webhook decides" in items['authority.provisioners[0] "ops"']["detail"]
    assert "[[provisioners]]" not in here.toml
    assert "# Not taken over: authority.provisioners[0]" in here.toml


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "mica"}, "the authority's own"),
        ({"key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"}}, "key"),
        ({"key": None}, "key"),
    ],
)
def test_a_provisioner_that_the_ca_would_not_accept_is_left_to_the_operator(
    here: Import, change: dict[str, Any], reason: str
) -> None:
    here.old.config["authority"]["provisioners"].append(
        {**here.old.config["authority"]["provisioners"][0], **change, "name": change.get("name", "odd")}
    )
    here.old.change()
    (item,) = [item for name, item in here.items().items() if "provisioners[1]" in name]
    assert item["outcome"] == "to do"
    assert reason in item["detail"]
    here.check()


def test_two_provisioners_of_one_name_are_told(here: Import) -> None:
    here.old.config["authority"]["provisioners"] *= 2
    here.old.change()
    assert here.items()['authority.provisioners[1] "ops"']["outcome"] == "to do"
    here.check()


def test_with_remote_administration_the_list_of_the_old_ca_is_asked_for(here: Import) -> None:
    listed = here.old.config["authority"]["provisioners"]
    here.old.change(authority__enableAdmin=True)
    ran = here.run(code=5)
    assert "step ca provisioner list > provisioners.json" in ran.err
    assert not here.home.exists()
    here.machine.write("list.json", json.dumps([{**listed[0], "name": "from the list"}]))
    here.run("--provisioners", "list.json")
    assert 'name = "from the list"' in here.toml
    assert 'name = "ops"' not in here.toml
    here.check()


@pytest.mark.parametrize("text", ["", "{}", "5", '{"provisioners": 5}', "[5]"])
def test_what_is_no_list_of_provisioners_is_refused(here: Import, text: str) -> None:
    here.machine.write("list.json", text)
    here.run("--provisioners", "list.json", code=5)
    assert not here.home.exists()


def test_a_certificate_file_that_holds_a_key_too_is_not_published(here: Import) -> None:
    path = here.old.home / "certs/intermediate_ca.crt"
    path.write_bytes(path.read_bytes() + _plain(generate("EC-P256")))
    here.run()
    assert (here.home / "certs/intermediate_ca.crt").stat().st_mode & 0o777 == 0o600


# Where the folder is


def test_ca_json_itself_or_its_folder_can_be_named(here: Import) -> None:
    for place in (here.old.ca_json, here.old.home / "config"):
        here.run("--force", place=place)
        here.check()


def test_relative_paths_are_relative_to_the_old_folder(here: Import) -> None:
    here.old.change(root="certs/root_ca.crt", crt="certs/intermediate_ca.crt", key="secrets/intermediate_ca_key")
    here.run()
    here.check()


def test_a_ca_json_that_lies_elsewhere_is_named_besides(here: Import) -> None:
    here.old.change(root="certs/root_ca.crt", crt="certs/intermediate_ca.crt", key="secrets/intermediate_ca_key")
    elsewhere = here.machine.folder / "etc.json"
    here.old.ca_json.rename(elsewhere)
    here.run("--step-config", elsewhere)
    here.check()


def test_the_authority_of_the_current_context_is_found(here: Import) -> None:
    base = here.machine.folder / "contexts"
    (base / "authorities").mkdir(parents=True)
    for name in ("ca.example", "other.example"):
        shutil.copytree(here.old.home, base / "authorities" / name)
    told = here.run(place=base, code=5).err
    assert f"{base}/authorities/ca.example" in told
    (base / "contexts.json").write_text('{"one": {"authority": "other.example", "profile": "one"}}')
    (base / "current-context.json").write_text('{"context": "one"}')
    here.run(place=base)
    assert f"# Imported from {base}/authorities/other.example/config/ca.json" in here.toml


# Revocations


def test_serial_numbers_are_on_record_as_revoked_and_a_second_import_changes_nothing(here: Import) -> None:
    here.machine.write("revoked", "\ufeff4711\n0xABCDEF # a laptop\n\n  # nothing\n4711\n")
    items = here.items("--revoked", "revoked")
    assert items["revocations"]["detail"].startswith("2 serial numbers")
    assert not [name for name in items if name.endswith(": revocations")]
    again = json.loads(here.run("--revoked", "revoked", "--force", "--json").out)
    assert again["revoked"] == 0
    for serial in ("4711", "0xABCDEF"):
        shown = here.machine.mica("ca", "certs", "show", serial).out
        assert "REVOKED, and not on record itself" in shown
        assert "revoked before the import from step-ca" in shown
    here.machine.mica("ca", "certs", "show", "4712", code=1)


def test_a_crl_of_the_old_ca_gives_the_list_as_the_documentation_says(here: Import) -> None:
    page = (Path(__file__).parents[3] / "docs/migrating-from-step-ca.md").read_text()
    (command,) = [line.strip() for line in page.splitlines() if line.startswith("      openssl crl ")]
    now = datetime.now(UTC)
    serials = [x509.random_serial_number() for _ in range(3)]
    builder = x509.CertificateRevocationListBuilder().issuer_name(here.old.intermediate.certificate.subject)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    crl = builder.last_update(now).next_update(now).sign(here.old.intermediate.key, hashes.SHA256())
    here.machine.write("crl.pem", crl.public_bytes(Encoding.PEM).decode())
    subprocess.run(["sh", "-ec", command], cwd=here.machine.folder, check=True)
    here.run("--revoked", "revoked.txt")
    for serial in serials:
        assert "REVOKED" in here.machine.mica("ca", "certs", "show", str(serial)).out


def test_serial_numbers_come_from_standard_input_too(here: Import) -> None:
    ran = here.machine.mica(
        "ca", "import-step", here.old.home, "--password-file", "ca-password", "--revoked", "-", "--json", input="1\n2\n"
    )
    assert json.loads(ran.out)["revoked"] == 2


def test_every_line_that_is_no_serial_number_is_told(here: Import) -> None:
    here.machine.write("revoked", "4711\nnonsense\n-3\n0\n1 2\n0x\n")
    ran = here.run("--revoked", "revoked", code=5)
    for number in (2, 3, 4, 5, 6):
        assert f"revoked, line {number}: " in ran.err
    assert not here.home.exists()


# What cannot be imported

Break = Callable[[Import], object]


def _other_key(here: Import) -> None:
    path = here.old.home / "secrets/intermediate_ca_key"
    path.write_bytes(step_folder.legacy_pem(generate("EC-P256"), CA_PASSWORD))


def _pkcs12_key(here: Import) -> None:
    (here.machine.folder / "plain").write_bytes(_plain(here.old.intermediate.key))
    here.machine.openssl(
        "pkcs12", "-export", "-inkey", "plain", "-in", str(here.old.home / "certs/intermediate_ca.crt"), "-passout",
        "pass:x", "-out", str(here.old.home / "secrets/intermediate_ca_key"),
    )  # fmt: skip


def _plain(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _root_in_der(here: Import) -> None:
    (here.old.home / "certs/root_ca.crt").write_bytes(here.old.root.certificate.public_bytes(Encoding.DER))


def _foreign_root(here: Import) -> None:
    (here.old.home / "certs/root_ca.crt").write_bytes(make_ca("Other").certificate.public_bytes(Encoding.PEM))


def _key_for_root(here: Import) -> None:
    shutil.copy(here.old.home / "secrets/root_ca_key", here.old.home / "certs/root_ca.crt")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda here: here.old.ca_json.unlink(), "there is no config/ca.json in it"),
        (lambda here: shutil.rmtree(here.old.home), "there is no such folder"),
        (lambda here: here.old.ca_json.write_text(""), "is not JSON"),
        (lambda here: here.old.ca_json.write_text('{"root": '), "is not JSON"),
        (lambda here: here.old.ca_json.write_text("[" * 100_000), "is not JSON"),
        (lambda here: here.old.change(vex=json.loads("[" * 900 + "]" * 900)), "is not JSON"),
        (lambda here: here.old.ca_json.write_bytes(b"\xff\x00\xfe"), "is not JSON"),
        (lambda here: here.old.ca_json.write_text("[]"), "not an object"),
        (lambda here: here.old.ca_json.write_text("{}"), "root is missing"),
        (lambda here: (here.old.home / "config/defaults.json").write_text("x"), "defaults.json: is not JSON"),
        (lambda here: here.old.change(crt="certs/nothing.crt"), "crt: "),
        (lambda here: here.old.change(key="secrets/nothing"), "key: "),
        (lambda here: here.old.change(root=5), "root: must be an array of texts, not a number"),
        (lambda here: here.old.change(dnsNames="localhost", address=7), "address: must be a text, not a number"),
        (lambda here: here.old.change(authority="x"), "authority: must be an object"),
        (
            lambda here: here.old.change(authority__provisioners=[1]),
            "authority.provisioners: must be an array of objects",
        ),
        (lambda here: here.old.change(authority__provisioners={}, authority=3), "authority: must be an object"),
        (lambda here: here.old.change(address="nowhere"), "is not host:port"),
        (lambda here: here.old.change(dnsNames=["a b"]), "dns_names[0]"),
        (lambda here: here.old.change(authority__backdate="-1m"), "must not be negative"),
        (lambda here: here.old.change(authority__backdate="soon"), "is not a duration"),
        (lambda here: here.old.change(authority__claims={"minTLSCertDuration": 5}), "minTLSCertDuration|min_tls_cert"),
        (lambda here: here.old.change(authority__claims={"minTLSCertDuration": "100h"}), "≤"),
        (lambda here: here.old.change(kms={"type": "awskms"}), "awskms"),
        (lambda here: here.old.change(key="pkcs11:id=1"), "pkcs11"),
        (lambda here: here.old.change(authority__type="stepcas"), "stepcas"),
        (_other_key, "is not the key of"),
        (_pkcs12_key, "intermediate_ca_key"),
        (_root_in_der, "is not a PEM certificate"),
        (_foreign_root, "no configured root issued"),
        (_key_for_root, "it holds a private key"),
        (lambda here: here.machine.write("ca-password", "wrong"), "the password is wrong"),
        (lambda here: here.machine.write("ca-password", ""), "holds no password"),
        (lambda here: (here.old.home / "secrets/intermediate_ca_key").write_bytes(b""), "the file is empty"),
        (lambda here: (here.machine.folder / "mica").write_text("in the way"), "directory"),
    ],
)
def test_what_cannot_be_imported_is_told_and_nothing_is_written(here: Import, spoil: Break, text: str) -> None:
    spoil(here)
    before = contents(here.machine.folder)
    ran = here.run(code=5)
    assert any(alternative in ran.err for alternative in text.split("|")), ran.err
    assert contents(here.machine.folder) == before
    assert not here.home.is_dir()


def test_everything_that_is_wrong_is_told_at_once(here: Import) -> None:
    here.old.change(address="nowhere", crt="nothing", key="nothing", authority__backdate="soon")
    ran = here.run(code=5)
    for item in ("address: ", "crt: ", "key: ", "authority.backdate: "):
        assert item in ran.err


def test_an_existing_configuration_is_replaced_only_with_leave(here: Import) -> None:
    here.home.mkdir()
    (here.home / "ca.toml").write_text("mine")
    ran = here.run(code=6)
    assert "--force" in ran.err
    assert contents(here.home).keys() == {here.home / "ca.toml"}
    assert here.toml == "mine"
    here.run("--force")
    here.check()


def test_the_password_is_asked_for_and_a_question_without_a_terminal_names_the_flag(here: Import) -> None:
    ran = here.run(password=False, code=6)
    assert "--password-file" in ran.err
    assert not here.home.exists()
    command = ["-m", "mica.cli", "ca", "import-step", str(here.old.home)]
    child = pexpect.spawn(sys.executable, command, env={**os.environ, "MICAPATH": str(here.home)}, timeout=30)
    child.expect("Please enter the password to decrypt .*intermediate_ca_key")
    child.sendline(CA_PASSWORD)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    here.check()


def test_a_key_without_a_password_needs_none(here: Import) -> None:
    step_folder.write(here.old.home / "secrets/intermediate_ca_key", _plain(here.old.intermediate.key))
    here.run(password=False)
    here.check()


def test_a_full_disk_leaves_no_configuration(here: Import) -> None:
    script = f"ulimit -f 1; exec {sys.executable} -m mica.cli ca import-step step --password-file ca-password"
    here.old.change(authority__provisioners=here.old.config["authority"]["provisioners"] * 20)
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {script}"],
        cwd=here.machine.folder,
        env={**os.environ, "MICAPATH": str(here.home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 5, done.stderr
    assert "cannot be written" in done.stderr
    assert not (here.home / "ca.toml").exists()
    assert not list(here.home.rglob(".mica-*"))
