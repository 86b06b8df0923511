"""An OIDC provisioner as its operator and its users meet it: on the command line, from ``add`` to ``revoke``."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mica.testing.ca import TestCA
from mica.testing.commands import Commands
from mica.testing.service import Service, free_port, served
from mica.testing.signins import CLIENT_ID, SignInProvider, sign_in_provider

ADMIN = "root@harbour.example"


@dataclass
class Typed:
    """Somebody who types commands, and whose browser signs in as the provider says."""

    commands: Commands
    folder: Path
    environment: dict[str, str]

    def mica(self, *arguments: str | Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """One command, which ends with ``code``."""
        done = self.commands.run([*map(str, arguments)], folder=self.folder, environment=self.environment)
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {out}{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, done.returncode, out, err)


def typed(commands: Commands, folder: Path, home: Path, **more: str) -> Typed:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "SSH_", "WAYLAND"))}
    return Typed(commands, folder, {**clean, "MICAPATH": str(home), **more})


# The operator


@pytest.fixture
def operator(commands: Commands, tmp_path: Path) -> Typed:
    TestCA.found(tmp_path / "ca", ssh=True)
    return typed(commands, tmp_path, tmp_path / "ca")


def config(operator: Typed) -> dict[str, Any]:
    return tomllib.loads((operator.folder / "ca/ca.toml").read_text())


def corp(operator: Typed) -> dict[str, Any]:
    return next(dict(table) for table in config(operator)["provisioners"] if table["name"] == "corp")


WHOLE = (
    "--client-id", "mica", "--client-secret", "public", "--configuration-endpoint", "https://login.harbour.example",
    "--listen-address", ":10000", "--domain", "harbour.example", "--domain", "b.example", "--group", "staff",
    "--admin", ADMIN, "--admin", "ops", "--tenant-id", "8d2c", "--scope", "openid", "--scope", "email",
    "--auth-param", "prompt=login", "--require-email-verified", "--x509-default-dur", "8h",
)  # fmt: skip


def test_every_flag_of_step_is_taken_and_the_plugin_is_enabled(operator: Typed) -> None:
    done = operator.mica("ca", "provisioner", "add", "corp", "--type", "OIDC", *WHOLE, "--ssh")
    assert "oidc, has been enabled" in done.stderr
    assert config(operator)["plugins"][-1] == "oidc"
    assert corp(operator) == {
        "type": "oidc", "name": "corp", "client_id": "mica", "client_secret": "public",
        "configuration_endpoint": "https://login.harbour.example", "listen_address": ":10000",
        "domains": ["harbour.example", "b.example"], "groups": ["staff"], "admins": [ADMIN, "ops"],
        "tenant_id": "8d2c", "scopes": ["openid", "email"], "auth_params": ["prompt=login"],
        "require_email_verified": True, "claims": {"enable_ssh_ca": True, "default_tls_cert_duration": "8h"},
    }  # fmt: skip
    assert "✔ Provisioner: corp (OIDC)" in operator.mica("ca", "check").stderr


def test_the_flags_of_a_type_are_shown_before_its_plugin_is_enabled(operator: Typed) -> None:
    assert "--configuration-endpoint" in operator.mica("ca", "provisioner", "add", "--type", "OIDC", "--help").stdout
    assert "--configuration-endpoint" not in operator.mica("ca", "provisioner", "add", "--help").stdout


def test_a_type_without_a_plugin_is_told_before_its_flags_are_called_unknown(operator: Typed) -> None:
    before = config(operator)
    done = operator.mica("ca", "provisioner", "add", "x", "--type", "SCEP", "--challenge", "y", code=1)
    assert "no enabled plugin offers provisioners of the type SCEP" in done.stderr
    assert config(operator) == before


def test_lists_grow_and_shrink_an_empty_value_takes_out_and_the_end_is_the_beginning(operator: Typed) -> None:
    operator.mica("ca", "provisioner", "add", "corp", "--type", "oidc", *WHOLE)
    whole = corp(operator)
    changes = (
        "--remove-domain", "b.example", "--remove-admin", "ops", "--admin", "dba", "--remove-group", "staff",
        "--listen-address", "", "--scope", "groups", "--no-require-email-verified", "--client-id", "other",
    )  # fmt: skip
    operator.mica("ca", "provisioner", "update", "corp", *changes)
    del whole["listen_address"]
    assert corp(operator) == whole | {
        "domains": ["harbour.example"], "admins": [ADMIN, "dba"], "groups": [], "client_id": "other",
        "scopes": ["openid", "email", "groups"], "require_email_verified": False,
    }  # fmt: skip
    operator.mica("ca", "provisioner", "remove", "corp")
    assert [table["name"] for table in config(operator)["provisioners"]] == ["admin", "sshpop"]


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        (("--client-id", "mica"), "configuration_endpoint: is missing"),
        ((*WHOLE, "--domain", "*.example"), "domains[2]: must be one domain"),
        ((*WHOLE, "--auth-param", "prompt"), "auth_params[1]: must be name=value"),
        ((*WHOLE, "--scope", "a b"), "scopes[2]: must be one scope"),
        ((*WHOLE, "--listen-address", "nowhere"), "listen_address: must be host:port"),
        ((*WHOLE, "--configuration-endpoint", "https://bücher.example"), "xn--bcher-kva"),
    ],
    ids=["endpoint", "domain", "parameter", "scope", "listen", "IDN"],
)
def test_a_mistake_is_told_and_nothing_is_written(operator: Typed, flags: tuple[str, ...], rule: str) -> None:
    before = config(operator)
    assert rule in operator.mica("ca", "provisioner", "add", "corp", "--type", "OIDC", *flags, code=1).stderr
    assert config(operator) == before


# Users and administrators


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInProvider]:
    with sign_in_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands, provider: SignInProvider
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    ca = TestCA.found(folder / "ca", port=free_port())
    typed(commands, folder, folder / "ca").mica(
        "ca", "provisioner", "add", "corp", "--type", "OIDC", "--client-id", CLIENT_ID, "--configuration-endpoint",
        provider.url, "--oidc-root", provider.root, "--admin", ADMIN, "--domain", "harbour.example",
    )  # fmt: skip
    with served(ca, workers=1) as running:
        yield running


@pytest.fixture
def somebody(commands: Commands, service: Service, provider: SignInProvider, tmp_path: Path) -> Iterator[Typed]:
    """Alice, until ``provider.claims`` say otherwise."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nexec curl -sL --cacert {provider.root} "$1"\n')
    browser.chmod(0o755)
    trust = {"ca-url": service.ca.url, "root": str(service.root_file), "fingerprint": service.ca.root_fingerprint}
    (tmp_path / "home").mkdir()
    (tmp_path / "home/defaults.json").write_text(json.dumps(trust))
    sign_in = {"DISPLAY": ":99", "BROWSER": str(browser), "MICA_OIDC_ROOT": str(provider.root)}
    yield typed(commands, tmp_path, tmp_path / "home", MICA_PROVISIONER="corp", **sign_in)
    provider.claims.clear()


def serial_number(certificate: Path) -> str:
    return str(x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number)


def test_an_administrator_revokes_with_a_sign_in_and_a_user_does_not(
    somebody: Typed, service: Service, provider: SignInProvider
) -> None:
    somebody.mica("ca", "certificate", "alice", "alice.crt", "alice.key")
    number = serial_number(somebody.folder / "alice.crt")
    refused = somebody.mica("ca", "revoke", number, code=4)
    assert "only administrators of the provisioner revoke with an ID token" in refused.stderr
    somebody.mica("ca", "renew", "alice.crt", "alice.key", "--force")
    renewed = serial_number(somebody.folder / "alice.crt")
    provider.claims.update(email=ADMIN, sub="1")
    done = somebody.mica("ca", "revoke", renewed, "--reason-code", "superseded", "--json")
    assert json.loads(done.stdout) == {
        "serial_number": renewed, "ca_url": service.ca.url, "status": "revoked", "already": False,
    }  # fmt: skip
    assert "renew" in somebody.mica("ca", "renew", "alice.crt", "alice.key", "--force", code=4).stderr
    assert json.loads(somebody.mica("ca", "revoke", renewed, "--json").stdout)["already"] is True
    provider.claims.update(email="eve@harbour.example", admin=True, admins=[ADMIN], preferred_username=ADMIN)
    somebody.mica("ca", "revoke", number, code=4)


def test_the_list_has_what_a_client_signs_in_with(somebody: Typed, provider: SignInProvider) -> None:
    listed = json.loads(somebody.mica("ca", "provisioner", "list").stdout)
    (entry,) = [entry for entry in listed if entry["name"] == "corp"]
    assert entry.pop("claims", {}) is not None
    assert entry == {
        "type": "OIDC", "name": "corp", "clientID": CLIENT_ID, "clientSecret": "", "admins": [ADMIN],
        "configurationEndpoint": provider.url, "domains": ["harbour.example"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        ("svc.example", "--san", "svc.example"),
        ("svc.example", "--cnf", "0" * 64),
        ("svc.example", "--not-after", "10m"),
        ("svc.example", "--not-before", "1m"),
        ("svc.example", "--key", "some.jwk"),
        ("--ssh", "alice", "--principal", "alice"),
        ("--ssh", "--host", "svc.example"),
        ("--ssh", "alice", "--cert-not-after", "1h"),
        ("--ssh", "alice", "--force-command", "true"),
        ("--ssh", "--revoke", "--key-id", "alice"),
    ],
    ids=" ".join,
)
def test_what_an_identity_token_cannot_say_is_refused_before_anybody_signs_in(
    somebody: Typed, provider: SignInProvider, flags: tuple[str, ...]
) -> None:
    (somebody.folder / "some.jwk").write_text("{}")
    before = len(provider.asked)
    done = somebody.mica("ca", "token", *flags, code=2)
    flag = next(word for word in reversed(flags) if word.startswith("--"))
    assert flag in done.stderr.partition(" is not for the provisioner corp (OIDC)")[0]
    assert "say who somebody is, and nothing of what is ordered" in done.stderr
    assert "leave it out" in done.stderr
    assert (done.stdout, len(provider.asked)) == ("", before)


def test_an_identity_token_comes_with_a_warning_of_what_it_is_good_for(somebody: Typed) -> None:
    done = somebody.mica("ca", "token", "svc.example")
    assert done.stdout.count(".") == 2
    assert "warning: the token says who signed in, not what is ordered" in done.stderr


def test_the_audience_of_an_identity_token_is_no_address_of_a_ca(somebody: Typed, provider: SignInProvider) -> None:
    token = provider.identity_token(aud=[CLIENT_ID, "https://elsewhere.example"], azp=CLIENT_ID, nonce="n")
    somebody.mica("ca", "certificate", "alice", "alice.crt", "alice.key", "--token", token)
    assert (somebody.folder / "alice.crt").exists()


def test_who_is_shut_out_learns_why_and_is_not_sent_astray(somebody: Typed, provider: SignInProvider) -> None:
    provider.claims.update(email="alice@elsewhere.example")
    done = somebody.mica("ca", "certificate", "alice", "alice.crt", "alice.key", code=4)
    assert "token's email is not in a domain that is let in" in done.stderr
    assert "used already" not in done.stderr
