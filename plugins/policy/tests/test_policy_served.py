"""A served CA refuses over HTTPS what the policy refuses, with its reasons, and ``mica ca policy`` says the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mica.testing.ca import TestCA, csr_pem
from mica.testing.commands import Commands
from mica.testing.exchange import ask, token
from mica.testing.plugins import append, enable
from mica.testing.service import free_port, served

RULES = """
[plugin.policy]
x509 = { allow = { dns = ["*.harbour.example"] }, deny = { dns = ["root.harbour.example"] } }
ssh = { user = { allow = { principal = ["ann"] } } }
"""
CASES = """
[[cases]]
kind = "x509"
names = ["svc.harbour.example"]
expected = "allow"

[[cases]]
kind = "x509"
provisioner = "admin"
common_name = "Root"
names = ["root.harbour.example"]
expected = "deny"
reason = "plugin.policy.x509.deny.dns"

[[cases]]
kind = "ssh user"
principals = ["ann"]
expected = "allow"

[[cases]]
kind = "ssh host"
principals = ["gate.harbour.example"]
expected = "deny"
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    ca = TestCA.found(tmp_path, port=free_port())
    enable(ca, "policy")
    append(ca, RULES)
    return ca


@pytest.fixture
def mica(ca: TestCA, commands: Commands) -> Run:
    """Runs ``mica`` in the folder of the CA, whose keys nobody can read."""
    for file in (ca.directory / "secrets").iterdir():
        file.unlink()

    def mica(*arguments: str, code: int = 0, input: str = "") -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
        ran = commands.run(
            arguments,
            folder=ca.directory,
            environment={**clean, "MICAPATH": str(ca.directory)},
            input=input.encode(),
        )
        assert ran.returncode == code, ran.stderr.decode()
        return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    return mica


def test_a_client_is_told_every_reason_over_https(ca: TestCA) -> None:
    with served(ca, workers=1) as service:
        order = {"csr": csr_pem(common_name="svc.harbour.example")}
        good = token(service, "svc.harbour.example")
        bad = token(service, "svc.harbour.example", sans=["root.harbour.example", "evil.example"])
        refused = ask(service, "POST", "/1.0/sign", {**order, "ott": bad})
        assert refused.status == 403
        assert 'DNS name root.harbour.example is denied by "root.harbour.example"' in refused.message
        assert "DNS name evil.example is allowed by no rule (plugin.policy.x509.allow.dns)" in refused.message
        assert ask(service, "POST", "/1.0/sign", {**order, "ott": good}).status == 201


def test_cases_that_come_out_as_expected_end_with_0(mica: Run) -> None:
    ran = mica("ca", "policy", "test", "-", input=CASES)
    lines = ran.stdout.splitlines()
    assert [line[0] for line in lines if not line.startswith(" ")] == ["✔", "✔", "✔", "✔", "4"]
    assert "✔ x509 CN Root, root.harbour.example by admin: denied" in lines
    assert '  DNS name root.harbour.example is denied by "root.harbour.example" (plugin.policy.x509.deny.dns)' in lines
    assert lines[-1] == "4 of 4 cases are as expected"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('expected = "allow"', 'expected = "deny"'),
        ('reason = "plugin.policy.x509.deny.dns"', 'reason = "allow.dns that is not there"'),
    ],
)
def test_a_case_that_comes_out_otherwise_ends_with_1(mica: Run, ca: TestCA, old: str, new: str) -> None:
    (ca.directory / "cases.toml").write_text(CASES.replace(old, new, 1))
    assert "✘" in mica("ca", "policy", "test", "cases.toml", code=1).stdout
    report = json.loads(mica("ca", "policy", "test", "cases.toml", "--json", code=1).stdout)
    assert report["passed"] is False
    assert [case["passed"] for case in report["cases"]].count(False) == 1
    assert {"case", "expected", "passed", "allowed", "reasons", "shadow"} == report["cases"][0].keys()


def test_rules_in_shadow_mode_are_judged_and_it_is_told_that_they_let_through(mica: Run, ca: TestCA) -> None:
    append(ca, 'mode = "shadow"\nrenewals = false\n')
    cases = '[[cases]]\nkind = "x509"\nnames = ["evil.example"]\nexpected = "deny"\n'
    assert "denied, and let through in shadow mode" in mica("ca", "policy", "test", "-", input=cases).stdout
    renewal = cases.replace('"deny"', '"allow"') + "renewal = true\n"
    assert "(renewal): allowed" in mica("ca", "policy", "test", "-", input=renewal).stdout


@pytest.mark.parametrize(
    ("cases", "complaint"),
    [
        ("[[cases]", "is not TOML"),
        ("", "cases: is missing"),
        ("cases = []", "holds no case"),
        ('[[cases]]\nkind = "tls"\nexpected = "allow"', 'cases[0].kind: must be one of "x509", "ssh user", "ssh host"'),
        ('[[cases]]\nkind = "x509"\nexpected = "allow"', "cases[0].names: must hold at least one name"),
        ('[[cases]]\nkind = "x509"\nnames = ["a b"]\nexpected = "allow"', "cases[0].names[0]: 'a b' is not a DNS name"),
        (
            '[[cases]]\nkind = "x509"\nnames = ["a"]\nprincipals = ["a"]\nexpected = "deny"',
            "cases[0].principals: are for",
        ),
        ('[[cases]]\nkind = "ssh user"\nnames = ["a"]\nexpected = "deny"', "cases[0].names: and common_name are for"),
        ('[[cases]]\nkind = "x509"\nnames = ["a"]\nexpected = "allow"\nreason = "x"', "cases[0].reason: there is none"),
        ('[[cases]]\nkind = "ssh user"\nprincipals = ["a,b"]\nexpected = "allow"', "'a,b' must be one plain name"),
        ("cases = " + "[" * 5000, "is nested too deeply"),
    ],
    ids=range(11),
)
def test_what_is_wrong_with_a_file_of_cases_is_told_with_its_place(mica: Run, cases: str, complaint: str) -> None:
    assert complaint in mica("ca", "policy", "test", "-", input=cases, code=5).stderr


def test_a_provisioner_that_is_not_there_is_no_case(mica: Run) -> None:
    ran = mica("ca", "policy", "ask", "--provisioner", "adnim", "svc.harbour.example", code=1)
    assert "has no provisioner 'adnim'" in ran.stderr
    assert "provisioners: admin" in ran.stderr


def test_a_policy_that_is_not_enabled_is_no_policy(mica: Run, ca: TestCA) -> None:
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text().replace(', "policy"', ""))
    assert "the plugin policy is not enabled" in mica("ca", "policy", "ask", "svc.harbour.example", code=5).stderr


def test_a_policy_with_a_mistake_is_not_asked(mica: Run, ca: TestCA) -> None:
    append(ca, 'mod = "shadow"\n')
    assert 'plugin.policy: extra field "mod"' in mica("ca", "policy", "ask", "svc.harbour.example", code=5).stderr


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["svc.harbour.example"], True),
        (["svc.harbour.example", "10.0.0.1"], False),
        (["--common-name", "Alice", "svc.harbour.example"], False),
        (["--kind", "ssh user", "ann"], True),
        (["--kind", "ssh user", "ann", "root"], False),
        (["--kind", "ssh host", "gate.harbour.example"], False),
    ],
    ids=str,
)
def test_one_question_has_one_answer(mica: Run, arguments: list[str], allowed: bool) -> None:
    ran = mica("ca", "policy", "ask", *arguments, "--json", code=0 if allowed else 1)
    answer: dict[str, Any] = json.loads(ran.stdout)
    assert answer["allowed"] is allowed
    assert bool(answer["reasons"]) is not allowed
    told = mica("ca", "policy", "ask", *arguments, code=0 if allowed else 1).stdout.splitlines()
    assert told == (["allowed"] if allowed else ["denied", *(f"  {reason}" for reason in answer["reasons"])])


def test_a_question_about_what_no_such_certificate_has_is_none(mica: Run) -> None:
    ran = mica("ca", "policy", "ask", "--kind", "ssh user", "--common-name", "Alice", "ann", code=5)
    assert "common_name are for X.509" in ran.stderr


def test_the_commands_stand_in_the_help_of_their_group(mica: Run) -> None:
    told = mica("ca", "policy", "--help").stdout
    assert "Which names this CA's certificates may carry." in told
    assert "test  Hold the cases in FILE" in told


def test_help_loads_neither_the_server_nor_the_rules(tmp_path: Path) -> None:
    script = "import sys; import mica_policy.commands; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "mica_policy.commands" in loaded
    assert not {"cryptography", "cattrs", "pluggy", "mica.assembly", "mica_policy.policy", "mica_policy.rules"} & set(
        loaded
    )
