"""``authority.policy`` of the old CA, as ``[plugin.policy]``. A rule that cannot be taken over stops the import."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from mica.assembly import Assembly
from mica.cli.ca.migration import notes
from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.members import Members
from mica.clock import system_clock
from mica.config import CoreConfig, Settings
from mica.hooks import GROUP, Hooks

PLUGIN = "policy"
_X509 = ("cn", "dns", "ip", "email", "uri")
_SSH = {"user": ("email", "principal"), "host": ("dns", "ip")}


def policy_table(policy: Members, findings: Findings) -> dict[str, Any] | None:
    """The table; None where there are no rules, or no plugin for them. What became of the rules is among the findings.

    Rules that the plugin does not understand are faults.
    """
    if not policy.table:
        return None
    item = policy.where.rstrip(".")
    if not any(entry.name == PLUGIN for entry in entry_points(group=GROUP)):
        findings.missing(item, *notes.AUTHORITY["policy"])
        findings.warnings.append(f"{item} does not hold here: whoever may order, may order any name")
        return None
    x509, ssh = policy.members("x509"), policy.members("ssh")
    sides = _sides(x509, _X509, findings)
    if sides and x509.flag("allowWildcardNames"):
        sides["allow_wildcard_names"] = True
    table: dict[str, Any] = {"x509": sides, "ssh": _ssh(ssh, findings)}
    for members in (policy, x509, ssh):
        notes.note_rest(findings, members, {})
    table = {name: value for name, value in table.items() if value}
    if not table:
        return None
    table["renewals"] = False
    findings.faults.extend(_faults(table, item))
    findings.taken(
        item,
        f"[plugin.policy]: {', '.join(_told(table))}; renewals are not judged, as step-ca does not judge them",
        "set renewals to true, if what the policy forbids must not be renewed either",
    )
    return table


def _ssh(ssh: Members, findings: Findings) -> dict[str, Any]:
    """The policies for users and hosts. step-ca never looks at the principals that it is given for hosts.

    But where they are all that is allowed, it refuses every host.
    """
    table = {}
    for kind, lists in _SSH.items():
        members = ssh.members(kind)
        sides = _sides(members, lists, findings)
        if kind == "host" and (
            idle := [side for side in ("allow", "deny") if members.members(side).texts("principal")]
        ):
            findings.left(
                f"{members.where}{idle[0]}.principal",
                "step-ca looks at no principals of hosts but as DNS names and IP addresses",
                "write dns and ip for hosts, or plugin.policy.ssh.host.allow.principal, which holds here",
            )
            if "allow" in idle and "allow" not in sides:
                sides["deny"] = {**sides.get("deny", {}), "principal": ["*"]}
        notes.note_rest(findings, members, {})
        if sides:
            table[kind] = sides
    return table


def _sides(members: Members, lists: tuple[str, ...], findings: Findings) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for side in ("allow", "deny"):
        given = members.members(side)
        found = {name: [_REWRITTEN.get(name, str)(text) for text in given.texts(name)] for name in lists}
        if found := {name: listed for name, listed in found.items() if listed}:
            table[side] = found
        if "principal" not in lists:
            given.take("principal")  # told by itself
        notes.note_rest(findings, given, {})
    if table.get("allow"):
        for name in sorted(table.get("deny", {}).keys() - table["allow"].keys()):
            findings.left(
                f"{members.where}deny.{name}",
                f"step-ca allows what this list of {name} does not deny; here nothing is allowed but what allow names",
                f"write {members.where.replace('authority.', 'plugin.')}allow.{name}, if any is wanted",
            )
    return table


def _network(text: str) -> str:
    """The network without the bits behind its prefix, which Go drops."""
    try:
        return str(ip_network(text, strict=False)) if "/" in text else text
    except ValueError:
        return text


def _mailbox(text: str) -> str:
    """The rule with the @ that step-ca lets people leave out before a host."""
    return text if "@" in text else f"@{text}"


_REWRITTEN: Mapping[str, Callable[[str], str]] = {"ip": _network, "email": _mailbox}


def _told(table: Mapping[str, Any]) -> Iterator[str]:
    """How many rules there are, by their places."""
    for place, lists in (("x509", table.get("x509", {})), *((f"ssh.{k}", v) for k, v in table.get("ssh", {}).items())):
        for side in ("allow", "deny"):
            for name, listed in lists.get(side, {}).items():
                yield f"{place}.{side}.{name} ({len(listed)})"


def _faults(table: Mapping[str, Any], item: str) -> list[str]:
    """What the plugin finds wrong with the rules."""
    core = CoreConfig(
        url="https://localhost",
        address="127.0.0.1:443",
        dns_names=("localhost",),
        plugins=(PLUGIN,),
        store={},
        signers={},
        plugin={PLUGIN: table},
    )
    assembly = Assembly(Settings(path=Path("/ca.toml"), core=core), Hooks(), system_clock)
    assembly.load_plugins({})
    return [fault.replace("plugin.policy", item) for fault in assembly.faults]
