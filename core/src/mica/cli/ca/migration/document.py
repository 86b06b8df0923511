"""The text of the new ca.toml, with comments that tell where everything comes from."""

from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
from tomlkit.items import Table

from mica.cli.ca.migration.plan import Plan, Setting
from mica.cli.kit import printable
from mica.foundation import DATABASE

_UNRECORDED = (
    "Certificates of the old CA are not on record here. They are renewed all the same, once their signature verifies,",
    "they are not revoked here, and their provisioner is one of those below. Set this to false when the last of them",
    "has expired or has been renewed, and always before you serve from a restored backup.",
)


def text(plan: Plan) -> str:
    """ca.toml."""
    document = tomlkit.document()
    document.add(_comment(f"Imported from {plan.source} by mica ca import-step."))
    document.add(_comment("After a change: mica ca check, then SIGHUP."))
    _top(document, plan)
    if plan.claims:
        claims = tomlkit.table()
        claims.add(_comment("authority.claims"))
        _fill(claims, plan.claims)
        document.add("claims", claims)
    store = tomlkit.table()
    store.add(_comment("It begins empty: the old database cannot be read."))
    _fill(store, {"type": "storage_sqlite", "path": str(DATABASE)})
    document.add("store", store)
    signers = tomlkit.table(is_super_table=True)
    signers.add("x509", _signer(plan))
    if plan.ssh:
        signers.add("ssh", _settings({"type": "sshsigner"}, plan.ssh.signer))
    document.add("signers", signers)
    if plugin := _plugin(plan):
        document.add("plugin", plugin)
    if plan.provisioners:
        document.add("provisioners", _provisioners(plan))
    return tomlkit.dumps(document) + _untaken(plan)


def _top(document: tomlkit.TOMLDocument, plan: Plan) -> None:
    values = [
        ("url", plan.url, plan.url_origin),
        ("address", plan.address, "address"),
        ("dns_names", list(plan.dns_names), "dnsNames"),
        ("plugins", list(plan.plugins), "only these are imported"),
    ]
    if plan.common_name:
        values.append(("common_name", plan.common_name, "commonName"))
    for name, value, origin in values:
        document.add(name, tomlkit.item(value).comment(printable(origin)))


def _signer(plan: Plan) -> Table:
    signer, table = plan.signer, tomlkit.table()
    _fill(table, {"type": "x509signer"})
    for name, value, origin in (
        ("roots", list(signer.roots), "root"),
        ("federated_roots", list(signer.federated_roots), "federatedRoots"),
        ("certificate", signer.certificate, "crt"),
        ("key", signer.key.uri, "key; its password is the old one"),
        ("backdate", signer.backdate, "authority.backdate"),
    ):
        if value:
            table.add(name, tomlkit.item(value).comment(origin))
    for line in _UNRECORDED:
        table.add(_comment(line))
    table.add("renew_unrecorded", tomlkit.item(True))
    return table


def _plugin(plan: Plan) -> Table:
    """What is said to extensions."""
    plugin = tomlkit.table(is_super_table=True)
    if plan.ssh and plan.ssh.service:
        plugin.add("sshsigner", _settings({}, plan.ssh.service))
    if plan.policy:
        policy = tomlkit.table()
        policy.add(_comment("authority.policy; step-ca does not judge renewals"))
        _fill(policy, plan.policy)
        plugin.add("policy", policy)
    return plugin


def _settings(own: Mapping[str, Any], settings: Iterable[Setting]) -> Table:
    """What is ``own`` to the table, and then what was taken over."""
    table = tomlkit.table()
    _fill(table, own)
    for setting in settings:
        table.add(setting.name, _inline(setting.value).comment(setting.origin))
    return table


def _provisioners(plan: Plan) -> Any:
    array = tomlkit.aot()
    for taken in plan.provisioners:
        table = tomlkit.table()
        table.add(_comment(taken.origin))
        _fill(table, taken.table)
        array.append(table)
    return array


def _untaken(plan: Plan) -> str:
    """The provisioners that were not taken over, as comments behind everything else."""
    return "".join(
        f"\n# Not taken over: {printable(each.origin)}: {printable(each.reason)}\n# {printable(each.text)}\n"
        for each in plan.untaken
    )


def _fill(table: Table, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        table.add(name, _inline(value))


def _inline(value: Any) -> Any:
    """``value`` as TOML; a table stands in one line, a text of several lines in its own."""
    if isinstance(value, str) and "\n" in value and "\r" not in value:
        return tomlkit.string(value, multiline=True)
    if not isinstance(value, Mapping):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    for name, member in value.items():
        table.add(name, _inline(member))
    return table


def _comment(text: str) -> Any:
    return tomlkit.comment(printable(text))
