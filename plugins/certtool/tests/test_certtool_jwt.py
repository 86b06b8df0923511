"""``crypto jwt inspect``: the layout to the letter, and tokens that are none."""

import base64
import json
import subprocess
from collections.abc import Callable

import jwt
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def part(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def test_members_stand_in_the_order_of_the_token(mica: Run) -> None:
    claims = {"sub": "svc.example", "aud": "https://ca.example/1.0/sign", "sans": ["svc.example"], "exp": 1931247113}
    token = jwt.encode(claims, "x" * 32, headers={"kid": "k1"})
    result = mica("crypto", "jwt", "inspect", "--insecure", input=token + "\n")
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    expected = {"header": header, "payload": claims, "signature": token.split(".")[2]}
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == json.dumps(expected, indent=2) + "\n"


def test_without_insecure_it_refuses(mica: Run) -> None:
    result = mica("crypto", "jwt", "inspect", input="a.b.c")
    assert (result.returncode, result.stdout) == (2, "")
    assert "flag '--insecure' is required" in result.stderr


def test_what_a_terminal_would_act_upon_is_escaped(mica: Run) -> None:
    payload = json.dumps({"sub": "a\x1b[2J\u202e\x9b ü"}, ensure_ascii=False)
    result = mica("crypto", "jwt", "inspect", "--insecure", input=f"e30.{part(payload)}.")
    assert '"sub": "a\\u001b[2J\\u202e\\u009b ü"' in result.stdout


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "stdin: is empty"),
        ("abc", "stdin: is not a JWT: it has 1 parts and not three"),
        ("a.b.c.d.e", "stdin: is not a JWT: it has 5 parts and not three"),
        ("!.e30.", "its header is not base64url"),
        ("e30.e.", "its payload is not base64url"),
        ("e30.e30.=", "its signature is not base64url"),
        ("e30.e30.é", "its signature is not base64url"),
        (part("x") + ".e30.", "its header is not JSON"),
        (part("[]") + ".e30.", "its header is not a JSON object"),
        ("e30." + part(b"\xff") + ".", "its payload is not JSON"),
        ("e30." + part('{"a": NaN}') + ".", "NaN is no number in JSON"),
        ("e30." + part('{"a": 1, "a": 2}') + ".", "a member stands there twice"),
        ("e30." + part("[" * 100_000) + ".", "its payload is not JSON"),
        ("e30." + part('{"a": ' + "9" * 5000 + "}") + ".", "its payload is not JSON"),
    ],
)
def test_what_is_no_token_is_told_in_one_line(mica: Run, token: str, message: str) -> None:
    result = mica("crypto", "jwt", "inspect", "--insecure", input=token)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2
