"""Somebody signs in, and the CA gives a certificate for who they are: on the command line, at a CA that is served."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509

from mica import Operation
from mica.client import KeyProblem, TokenOrder
from mica.testing.agents import ssh_agent
from mica.testing.ca import TestCA
from mica.testing.commands import Commands
from mica.testing.plugins import enable
from mica.testing.service import Service, free_port, served
from mica.testing.signins import CLIENT_ID, SignInProvider, sign_in_provider
from mica_oidc.client import OIDCTokenSource

NEW_KEY = ("-newkey", "rsa:2048", "-nodes", "-keyout", "c.key")
NOW = datetime(2031, 3, 14, tzinfo=UTC)
PROVISIONER = """
[[provisioners]]
type = "oidc"
name = "corp"
client_id = "{client_id}"
client_secret = "{secret}"
configuration_endpoint = "{url}"
roots = "{root}"
listen_address = "localhost:0"
admins = ["root@harbour.example"]
[provisioners.claims]
enable_ssh_ca = true
"""


@dataclass
class User:
    """Types commands; a script is the browser."""

    commands: Commands
    environment: dict[str, str]
    folder: Path
    service: Service
    provider: SignInProvider

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[bytes]":
        there = ("--ca-url", self.service.ca.url, "--root", str(self.service.root_file))
        sign_in = ("--provisioner", "corp", "--oidc-root", str(self.provider.root))
        environment = self.environment | more
        return self.commands.run([*arguments, *there, *sign_in], folder=self.folder, environment=environment)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands
) -> Iterator[tuple[SignInProvider, Service, Commands]]:
    folder = tmp_path_factory.mktemp("world")
    with sign_in_provider(folder) as provider:
        provider.secret = "public-by-protocol"
        table = PROVISIONER.format(client_id=CLIENT_ID, secret=provider.secret, url=provider.url, root=provider.root)
        ca = TestCA.found(folder / "ca", port=free_port(), ssh=True, more=table)
        enable(ca, "oidc")
        with served(ca, workers=1) as service:
            yield provider, service, commands


@pytest.fixture
def user(running: tuple[SignInProvider, Service, Commands], tmp_path: Path) -> User:
    provider, service, commands = running
    provider.claims, provider.refreshes = {}, False
    provider.asked.clear()
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nexec curl -sL --cacert {provider.root} "$1"\n')
    browser.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "SSH_", "WAYLAND"))}
    environment = clean | {"DISPLAY": ":99", "BROWSER": str(browser), "MICAPATH": str(tmp_path / "home")}
    return User(commands, environment, tmp_path, service, provider)


def test_a_certificate_is_for_whoever_signed_in(user: User) -> None:
    done = user.run("ca", "certificate", "alice@harbour.example", "a.crt", "a.key")
    assert done.returncode == 0, done.stderr
    leaf = x509.load_pem_x509_certificate((user.folder / "a.crt").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["alice@harbour.example"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"{user.provider.url}#248289761001"]
    (said,) = user.provider.requests("/authorize")
    assert said["redirect_uri"].startswith("http://localhost:")  # the provisioner's listen_address


def test_an_administrator_gets_what_they_ask_for(user: User) -> None:
    user.provider.claims = {"email": "root@harbour.example"}
    done = user.run("ca", "certificate", "svc.harbour.example", "s.crt", "s.key", "--san", "svc.harbour.example")
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["openssl", "x509", "-in", "s.crt", "-noout", "-ext", "subjectAltName"],
        cwd=user.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split()[-1] == "DNS:svc.harbour.example"


def test_an_ssh_certificate_is_for_the_accounts_of_whoever_signed_in(user: User) -> None:
    done = user.run("ssh", "certificate", "alice@harbour.example", "id", "--no-password", "--insecure", "--no-agent")
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        ["ssh-keygen", "-L", "-f", "id-cert.pub"], cwd=user.folder, capture_output=True, text=True, check=True
    ).stdout
    assert 'Key ID: "alice@harbour.example"' in listed
    principals = listed.partition("Principals:")[2].partition("Critical Options:")[0].split()
    assert sorted(principals) == ["alice", "alice@harbour.example"]


def test_a_login_puts_it_into_the_agent(user: User) -> None:
    with ssh_agent() as agent:
        for _ in range(2):
            done = user.run("ssh", "login", "alice@harbour.example", **agent.environment)
            assert done.returncode == 0, done.stderr
        listed = subprocess.run(
            ["ssh-add", "-L"], env=os.environ | agent.environment, capture_output=True, text=True, check=True
        ).stdout
    assert "-cert-v01@openssh.com" in listed
    assert len(user.provider.requests("/authorize")) == 1  # the second time it was there


def test_whoever_signed_in_as_somebody_else_is_told_how_to_sign_in_anew(user: User) -> None:
    user.provider.claims = {"email": "bob@harbour.example"}
    with ssh_agent() as agent:
        refused = user.run("ssh", "login", "alice@harbour.example", **agent.environment)
        assert refused.returncode == 4, refused.stderr
        assert b"bob@harbour.example signed in, which the next command uses; --no-cache is to sign in" in refused.stderr
        user.provider.claims = {}
        assert user.run("ssh", "login", "alice@harbour.example", **agent.environment).returncode == 4
        done = user.run("ssh", "login", "alice@harbour.example", "--no-cache", **agent.environment)
        assert done.returncode == 0, done.stderr
    assert len(user.provider.requests("/authorize")) == 2


def test_a_csr_is_signed_for_whoever_signed_in(user: User) -> None:
    subprocess.run(
        ["openssl", "req", "-new", *NEW_KEY, "-out", "c.csr", "-subj", "/CN=alice@harbour.example"],
        cwd=user.folder,
        capture_output=True,
        check=True,
    )
    done = user.run("ca", "sign", "c.csr", "c.crt")
    assert done.returncode == 0, done.stderr


def test_a_token_serves_once_wherever_it_was_made(user: User) -> None:
    made = user.run("ca", "token", "alice@harbour.example")
    assert made.returncode == 0, made.stderr
    token = made.stdout.decode().strip()
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == CLIENT_ID
    first = user.run("ca", "certificate", "--token", token, "alice@harbour.example", "a.crt", "a.key")
    assert first.returncode == 0, first.stderr
    second = user.run("ca", "certificate", "--token", token, "alice@harbour.example", "b.crt", "b.key")
    assert second.returncode == 4
    assert not (user.folder / "home/oidc").exists()


def test_the_second_command_needs_no_sign_in_where_the_provider_refreshes(user: User) -> None:
    user.provider.refreshes = True
    for name in ("a", "b"):
        done = user.run("ca", "certificate", "alice@harbour.example", f"{name}.crt", f"{name}.key")
        assert done.returncode == 0, done.stderr
    assert len(user.provider.requests("/authorize")) == 1


def test_what_the_ca_refuses_costs_no_second_sign_in(user: User) -> None:
    wish = ("ca", "certificate", "alice@harbour.example", "a.crt", "a.key")
    refused = user.run(*wish, "--not-after", "10000h")
    assert refused.returncode == 4, refused.stderr
    (entry,) = (user.folder / "home/oidc").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    done = user.run(*wish)
    assert done.returncode == 0, done.stderr
    assert len(user.provider.requests("/authorize")) == 1
    assert list((user.folder / "home/oidc").iterdir()) == []


def test_a_code_is_the_way_where_there_is_no_display(user: User) -> None:
    done = user.run("ca", "certificate", "alice@harbour.example", "a.crt", "a.key", DISPLAY="")
    assert done.returncode == 0, done.stderr
    assert b"enter this code" in done.stderr
    assert user.provider.requests("/authorize") == []


@dataclass
class Bare:
    """A desk at which nobody can sign in."""

    key_file: Path | None = None
    certificate_file: Path | None = None
    chain_files: tuple[Path, ...] = ()

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def passwords(self, label: str) -> Iterator[bytes]:
        return iter(())

    def encrypted_key(self, kid: str) -> str:
        return ""


class Door(Bare):
    """One at which somebody could, and is not asked to."""

    wishes = None
    has_display = False

    def invite(self, sentences: str, url: str = "") -> None:
        pytest.fail("somebody was asked")


def order(operation: Operation) -> TokenOrder:
    end = NOW + timedelta(minutes=5)
    return TokenOrder(operation=operation, subject="alice", audience="x", issued_at=NOW, not_before=NOW, not_after=end)


ENTRY: dict[str, Any] = {"name": "corp", "clientID": "c", "configurationEndpoint": "https://id.example"}


@pytest.mark.parametrize("operation", [Operation.SSH_RENEW, Operation.SSH_REKEY, Operation.X509_RENEW])
def test_nobody_signs_in_for_what_a_key_renews(operation: Operation) -> None:
    with pytest.raises(KeyProblem, match="vouches for people"):
        OIDCTokenSource().token(order(operation), ENTRY, Door())


def test_a_desk_without_anybody_is_told_of() -> None:
    with pytest.raises(KeyProblem, match="needs somebody who signs in"):
        OIDCTokenSource().token(order(Operation.X509_SIGN), ENTRY, Bare())


@pytest.mark.parametrize(
    "entry",
    [{"clientID": ""}, {"clientID": 7}, {"configurationEndpoint": None}, {"scopes": "openid"}, {"authParams": [1]},
     {"authParams": ["hd"]}, {"authParams": ["=x"]}, {"listenAddress": 7}, {"tenantID": ["t"]},
     {"clientSecret": {"a": 1}}],
)  # fmt: skip
def test_a_list_that_says_too_little_is_told_of_before_anybody_is_asked(entry: dict[str, Any]) -> None:
    with pytest.raises(KeyProblem, match=next(iter(entry))):
        OIDCTokenSource().token(order(Operation.X509_SIGN), ENTRY | entry, Door())


def test_the_client_side_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, mica_oidc.client; "
        "server = ('pluggy', 'asyncio', 'starlette', 'cattrs', 'jwt', 'jwcrypto', 'httpx', 'mica.hookspecs', "
        "'mica.roles', 'mica_oidc.plugin', 'mica_oidc.provisioner', 'mica_oidc.config'); "
        "print([name for name in server if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
