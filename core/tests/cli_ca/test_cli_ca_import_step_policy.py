"""``authority.policy`` of a step-ca becomes ``[plugin.policy]``, and nothing of it is lost in silence."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca import step_folder
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ca.step_folder import CA_PASSWORD

from mica.cli.ca.migration import policies
from mica.cli.ca.migration.findings import Findings, Outcome
from mica.cli.ca.migration.members import Members

FULL = {
    "x509": {
        "allow": {"dns": ["*.example"], "ip": ["10.0.0.1/8"], "email": ["harbour.example", "@other.example"], "cn": []},
        "deny": {"dns": ["root.example"], "uri": None},
        "allowWildcardNames": True,
    },
    "ssh": {
        "user": {"allow": {"principal": ["*"], "email": ["ann@example"]}, "deny": {"principal": ["root"]}},
        "host": {"allow": {"dns": ["*.example"]}},
    },
}
TABLE = {
    "x509": {
        "allow": {"dns": ["*.example"], "ip": ["10.0.0.0/8"], "email": ["@harbour.example", "@other.example"]},
        "deny": {"dns": ["root.example"]},
        "allow_wildcard_names": True,
    },
    "ssh": {
        "user": {"allow": {"email": ["ann@example"], "principal": ["*"]}, "deny": {"principal": ["root"]}},
        "host": {"allow": {"dns": ["*.example"]}},
    },
    "renewals": False,
}


def translated(policy: dict[str, Any]) -> tuple[dict[str, Any] | None, Findings]:
    findings = Findings()
    return policies.policy_table(Members(policy, "authority.policy.", findings.faults), findings), findings


def test_a_whole_policy_is_taken_over_and_holds_in_the_new_ca(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path / "mica")
    machine.write("ca-password", CA_PASSWORD + "\n")
    old = step_folder.make(tmp_path / "step", rounds={"ops": 1000})
    old.change(authority__policy=FULL)
    told = machine.mica("ca", "import-step", old.home, "--password-file", "ca-password").err
    assert "authority.policy: [plugin.policy]: x509.allow.dns (1)" in told
    assert "authority.policy does not hold here" not in told
    document = tomllib.loads((machine.home / "ca.toml").read_text())
    assert document["plugin"]["policy"] == TABLE
    assert "policy" in document["plugins"]
    assert "refuse_x509: policy" in machine.mica("ca", "check", "--password-file", "ca-password").err
    machine.mica("ca", "policy", "ask", "svc.example")
    machine.mica("ca", "policy", "ask", "root.example", code=1)


@pytest.mark.parametrize(
    "policy", [{}, {"x509": {}}, {"x509": {"allow": {"dns": []}, "allowWildcardNames": True}}], ids=str
)
def test_a_policy_without_rules_is_none(policy: dict[str, Any]) -> None:
    table, findings = translated(policy)
    assert table is None
    assert findings.warnings == findings.faults == []


def test_a_rule_that_cannot_be_taken_over_stops_the_import() -> None:
    _, findings = translated({"x509": {"deny": {"dns": ["a.example", "*.*.example"]}}})
    (fault,) = findings.faults
    assert fault.startswith("authority.policy.x509.deny.dns[1]: '*.*.example' ")


def test_principals_of_hosts_which_step_ca_never_looks_at_leave_every_host_refused() -> None:
    table, findings = translated({"ssh": {"host": {"allow": {"principal": ["*"]}}}})
    assert table == {"ssh": {"host": {"deny": {"principal": ["*"]}}}, "renewals": False}
    assert [f.item for f in findings.found if f.outcome is Outcome.TO_DO] == [
        "authority.policy.ssh.host.allow.principal"
    ]


def test_a_kind_that_is_only_denied_where_others_are_allowed_is_told() -> None:
    _, findings = translated({"x509": {"allow": {"dns": ["*.example"]}, "deny": {"ip": ["10.0.0.0/8"]}}})
    (todo,) = [finding for finding in findings.found if finding.outcome is Outcome.TO_DO]
    assert todo.item == "authority.policy.x509.deny.ip"
    assert todo.to_do == "write plugin.policy.x509.allow.ip, if any is wanted"


def test_what_nobody_knows_in_a_policy_is_told() -> None:
    _, findings = translated({"x509": {"allow": {"dns": ["*.example"], "vex": ["x"]}}, "other": 1})
    gone = {finding.item for finding in findings.found if finding.outcome is Outcome.NO_COUNTERPART}
    assert gone == {"authority.policy.x509.allow.vex", "authority.policy.other"}


def test_without_the_plugin_it_is_told_that_the_policy_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "entry_points", lambda *, group: ())
    table, findings = translated(FULL)
    assert table is None
    assert findings.warnings == ["authority.policy does not hold here: whoever may order, may order any name"]
    assert [finding.outcome for finding in findings.found] == [Outcome.NO_COUNTERPART]
