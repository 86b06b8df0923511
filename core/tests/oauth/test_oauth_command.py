"""``mica oauth`` as its users meet it: a process, a program for a browser, a terminal."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pexpect
import pytest
from core.tests.oauth.conftest import Run, flags, write_account

from mica.cli.oauth.command import oauth
from mica.testing.signins import CLIENT_ID, SignInProvider

MICA = str(Path(sys.executable).with_name("mica"))


def claims(provider: SignInProvider, token: str) -> Any:
    return jwt.decode(token, provider.key.public_key(), ["ES256"], audience=CLIENT_ID, issuer=provider.url)


def test_the_token_alone_is_on_stdout_whatever_the_browser_prints(mica: Run, provider: SignInProvider) -> None:
    done = mica("oauth", *flags(provider), "--oidc", "--bare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 1
    assert claims(provider, done.stdout.decode().strip())["email"] == "alice@harbour.example"
    assert b"noise" not in done.stderr
    assert f"{provider.url}/authorize?" in done.stderr.decode()


def test_the_browser_is_given_the_url_and_no_token_and_no_secret(
    mica: Run, provider: SignInProvider, tmp_path: Path
) -> None:
    provider.secret = "only-post-has-it"
    (tmp_path / "secret").write_text(provider.secret)
    done = mica("oauth", *flags(provider), "--client-secret-file", "secret", "--oidc", "--bare")
    assert done.returncode == 0, done.stderr
    (opened,) = (tmp_path / "opened").read_text().splitlines()
    assert opened.startswith(f"{provider.url}/authorize?")
    (exchanged,) = provider.requests("/token")
    for secret in (provider.secret, exchanged["code_verifier"], exchanged["code"], done.stdout.decode().strip()):
        assert secret not in opened
        assert secret.encode() not in done.stderr


def test_what_the_provider_gave_is_json_and_one_of_it_a_header(mica: Run, provider: SignInProvider) -> None:
    for extra in ((), ("--json",)):
        given = json.loads(mica("oauth", *flags(provider), *extra).stdout)
        assert given.keys() == {"access_token", "token_type", "expires_in", "id_token"}
    assert re.fullmatch(rb"[\w-]{22}\n", mica("oauth", *flags(provider), "--bare").stdout)
    header = mica("oauth", *flags(provider), "--header", "--oidc").stdout.decode()
    assert claims(provider, header.removeprefix("Authorization: Bearer ").strip())


def test_what_is_asked_of_the_provider_is_said_by_flags(mica: Run, provider: SignInProvider) -> None:
    asked = ("--scope", "openid", "--scope", "groups", "--email", "a@b.example", "--prompt", "login")
    done = mica("oauth", *flags(provider), *asked, "--auth-param", "hd=b.example=c", "--bare")
    assert done.returncode == 0, done.stderr
    (said,) = provider.requests("/authorize")
    assert (said["scope"], said["login_hint"], said["prompt"], said["hd"]) == (
        "openid groups",
        "a@b.example",
        "login",
        "b.example=c",
    )


def test_a_browser_is_not_opened_where_that_is_forbidden(
    mica: Run, provider: SignInProvider, tmp_path: Path, environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        [MICA, "oauth", *flags(provider), "--oidc", "--bare"],
        env=environment | {"MICA_OPEN_BROWSER": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = next(line.strip() for line in process.stderr if line.startswith("https://"))
    subprocess.run(["curl", "-sL", "--cacert", provider.root, url], check=True, capture_output=True, timeout=30)
    output, _ = process.communicate(timeout=30)
    assert claims(provider, output.strip())
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("without", [{"DISPLAY": ""}, {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}])
def test_where_there_is_no_display_a_code_is_shown(
    mica: Run, provider: SignInProvider, tmp_path: Path, without: dict[str, str]
) -> None:
    done = mica("oauth", *flags(provider), "--oidc", "--bare", **without)
    assert claims(provider, done.stdout.decode().strip())
    assert f"Open {provider.url}/device in any browser" in done.stderr.decode()
    assert provider.requests("/authorize") == []
    assert not (tmp_path / "opened").exists()


def test_a_code_is_typed_elsewhere_while_the_terminal_waits(
    provider: SignInProvider, environment: dict[str, str], tmp_path: Path
) -> None:
    provider.waits_for_code = True
    arguments = ["oauth", *flags(provider), "-c", "--oidc", "--bare"]
    terminal = pexpect.spawn(MICA, arguments, env=environment, cwd=str(tmp_path), encoding="utf-8", timeout=30)
    terminal.expect(r"enter this code:\r\n\r\n([0-9A-F]{8})\r\n")
    code = terminal.match.group(1)
    form = f"user_code={code}"
    subprocess.run(["curl", "-s", "--cacert", provider.root, "-d", form, f"{provider.url}/device"], check=True)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    token = re.search(r"eyJ[\w.-]+", terminal.before)
    assert token is not None
    assert claims(provider, token.group())


@pytest.mark.parametrize(
    ("how", "awaited"),
    [((), "https://localhost.*\r\n"), (("--console",), "enter this code:\r\n")],
    ids=["here", "code"],
)
def test_ctrl_c_ends_the_wait_at_once(
    provider: SignInProvider, environment: dict[str, str], tmp_path: Path, how: tuple[str, ...], awaited: str
) -> None:
    provider.waits_for_code = True
    terminal = pexpect.spawn(
        MICA,
        ["oauth", *flags(provider), "--bare", *how],
        env=environment | {"MICA_OPEN_BROWSER": "0"},
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=20,
    )
    terminal.expect(awaited)
    terminal.sendintr()
    terminal.expect("error: cancelled")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 6


def test_nobody_is_asked_where_that_is_forbidden(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    for how in ((), ("--console",)):
        done = mica("oauth", *flags(provider), "--bare", "--non-interactive", *how)
        assert (done.returncode, done.stdout) == (6, b"")
        assert b"--non-interactive forbids asking" in done.stderr
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--bare", "--header"), 2, "'--bare' is incompatible with '--header'"),
        (("--auth-param", "hd"), 2, "invalid value 'hd' for flag '--auth-param'"),
        (("--auth-param", "state=x"), 1, "'state' is not for anybody to choose"),
        (("--listen", "0.0.0.0:80"), 1, "is no address to await a browser at"),
        (("--oidc-root", "none.pem"), 5, "none.pem: there is no such file"),
        (("--client-secret-file", "none"), 5, "none: there is no such file"),
        (("--provider", "http://localhost"), 3, "no URL of an identity provider"),
        (("--provider", "https://localhost:9"), 3, "connection refused"),
    ],
)
def test_what_is_wrong_is_said(
    mica: Run, provider: SignInProvider, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = mica("oauth", *flags(provider), *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_provider_that_is_not_trusted_or_says_no_is_told(mica: Run, provider: SignInProvider) -> None:
    done = mica("oauth", "--provider", provider.url, "--client-id", CLIENT_ID)
    assert done.returncode == 3
    assert b"--oidc-root" in done.stderr
    assert mica("oauth", "--provider", provider.url).returncode == 2
    provider.answer = {"code": "", "error": "access_denied", "error_description": "\x1b[31mno"}
    done = mica("oauth", *flags(provider), "--json")
    assert done.returncode == 1
    assert "access_denied" in json.loads(done.stderr[done.stderr.index(b"{\n") :])["error"]["message"]
    assert b"\x1b" not in done.stderr


def test_a_sign_in_is_remembered_unless_that_is_not_wished(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    provider.refreshes = True
    tokens = {mica("oauth", *flags(provider), "--oidc", "--bare").stdout for _ in range(2)}
    assert len(tokens) == 2
    assert len(provider.requests("/authorize")) == 1
    assert len(list((tmp_path / "home/oidc").iterdir())) == 1
    assert mica("oauth", *flags(provider), "--oidc", "--bare", "--no-cache").returncode == 0
    assert len(provider.requests("/authorize")) == 2


def test_a_module_in_the_folder_is_no_browser(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    (tmp_path / "webbrowser.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')")
    assert mica("oauth", *flags(provider), "--bare").returncode == 0
    assert not (tmp_path / "planted").exists()


def test_its_examples_run(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    lines = [line.strip() for line in (oauth.epilog or "").splitlines() if line.strip().startswith("$ ")]
    assert len(lines) == 4
    for line in lines:
        arguments = shlex.split(
            line.replace("https://id.example", provider.url).replace("-id mica", f"-id {CLIENT_ID}")
        )
        if "--account" in arguments:  # the provider that signs people in knows no accounts
            write_account(tmp_path / "account.json", provider)
            provider.raw["/token"] = (200, b'{"access_token": "for-the-account", "token_type": "Bearer"}')
        done = mica(*arguments[2:], "--oidc-root", str(provider.root))
        assert done.returncode == 0, done.stderr
        assert done.stdout
