"""The provisioners of the old CA, as tables of ca.toml. Whatever cannot become one is kept as a comment."""

import base64
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mica.assembly import Assembly
from mica.claims import ClaimsConfig
from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import StepFolder
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.notes import note_rest
from mica.cli.ca.migration.ownmembers import own_members
from mica.cli.ca.migration.plan import Taken, Untaken
from mica.clock import system_clock
from mica.config import CoreConfig, Settings
from mica.errors import MicaError
from mica.hooks import GROUP, Hooks
from mica.roles import Kind
from mica.structuring import structure

#: Members that must not be read by others, or whose contents are anybody's guess.
_HIDDEN = re.compile(
    r"secret|password|challenge$|token|credential|decrypterkey|privatekey|template(data)?$|^(pin|d|k|p|q|dp|dq|qi|oth)$"
)
#: What a template of step-ca can say of a certificate.
_TEMPLATE_MEMBERS = (
    "subject", "issuer", "dnsNames", "emailAddresses", "ipAddresses", "uris", "sans", "extensions", "keyUsage",
    "extKeyUsage", "unknownExtKeyUsage", "basicConstraints", "ocspServer", "issuingCertificateURL",
    "crlDistributionPoints", "policyIdentifiers", "nameConstraints", "notBefore", "notAfter", "signatureAlgorithm",
    "keyId", "principals", "criticalOptions", "validAfter", "validBefore",
)  # fmt: skip


class Provisioners:
    """One import's provisioners."""

    def __init__(self, folder: StepFolder, findings: Findings, claims: Mapping[str, Any]) -> None:
        self._folder = folder
        self._findings = findings
        self._claims = claims
        self._names: set[str] = set()
        self.taken: list[Taken] = []
        self.untaken: list[Untaken] = []

    def translate(self, listed: Sequence[Members], source: str) -> None:
        """Each of them is in ``taken`` or in ``untaken``, and what became of it among the findings."""
        for members in listed:
            name, type_ = members.text("name"), members.text("type")
            item = f"{members.where.rstrip('.')} {json.dumps(name)} ({type_ or 'without a type'})"
            origin = f"{item} of {source}"
            reason = self._reason_against(members, name) or self._take(members, item, origin, name, type_)
            self._names.add(name)
            if reason:
                text = json.dumps(_redacted(members.table), separators=(",", ":"))
                self.untaken.append(Untaken(origin=origin, reason=reason, text=text))

    def _reason_against(self, members: Members, name: str) -> str:
        """Why the provisioner is not even tried, told among the findings; empty when it is."""
        item = f"{members.where.rstrip('.')} {json.dumps(name)}"
        if name in self._names:
            reason = "a provisioner before it has the name"
            self._findings.left(item, reason, "give one of them another name in the old CA, or add it by hand")
            return reason
        webhooks = members.members("options").objects("webhooks")
        if any(webhook.text("kind").upper() != "NOTIFYING" for webhook in webhooks):
            reason = "a webhook decides on each of its certificates, and there are no webhooks"
            todo = "it is kept as a comment in ca.toml: add it by hand, if its certificates need no second look"
            self._findings.missing(item, reason, todo)
            return reason
        return ""

    def _take(self, members: Members, item: str, origin: str, name: str, type_: str) -> str:
        """Why the provisioner cannot be taken over; empty when it has been."""
        kind = offered(type_)
        if kind is None:
            reason = "no plugin that is installed offers this type"
            todo = "it is kept as a comment in ca.toml; what it vouched for cannot be renewed"
            self._findings.missing(item, reason, todo)
            return reason
        try:
            table: dict[str, Any] = {"type": kind.name, "name": name, **own_members(kind, members)}
        except ValueError as error:
            self._findings.left(item, str(error), "it is kept as a comment in ca.toml: mend it there")
            return str(error)
        claims = claims_table(members.members("claims"), self._findings)
        if claims:
            table["claims"] = claims
        if faults := _faults(kind, table, self._claims):
            self._findings.left(item, "; ".join(faults), "it is kept as a comment in ca.toml: mend it there")
            return "; ".join(faults)
        self.taken.append(Taken(table=table, origin=origin))
        told = [field for field in table if field not in ("type", "name")]
        self._findings.taken(item, f"with its {', '.join(told)}" if told else "as it is")
        self._note_options(members)
        note_rest(self._findings, members, {})
        return ""

    def _note_options(self, members: Members) -> None:
        """Templates and webhooks of a provisioner that was taken over are among the findings."""
        options = members.members("options")
        for use in ("x509", "ssh"):
            option = options.members(use)
            template, file = option.text("template"), option.text("templateFile")
            if option.take("templateData") is not None or template or file:
                said = ", ".join(_said_by(template or self._read(file))) or "nothing that is known here"
                detail = f"its certificates followed a template{f' ({file})' if file else ''}, which says: {said}"
                self._findings.missing(
                    option.where.rstrip("."), detail, "they get the usual profile now: see what is lost"
                )
            note_rest(self._findings, option, {})
        if webhooks := options.objects("webhooks"):
            named = ", ".join(f"{each.text('name')} ({each.text('kind')})" for each in webhooks)
            self._findings.missing(f"{options.where}webhooks", f"nobody is asked or told: {named}")
        note_rest(self._findings, options, {})

    def _read(self, file: str) -> str:
        try:
            return self._folder.resolve(file).read_text("utf-8", "replace") if file else ""
        except OSError:
            return ""


def offered(type_: str) -> Kind[Any] | None:
    """The kind of provisioner of that type, where the plugin that has its name is installed."""
    name = type_.lower()
    if not any(entry.name == name for entry in entry_points(group=GROUP)):
        return None
    assembly = _assembly(_core(name))
    assembly.load_plugins({})
    return assembly.kinds("register_provisioners").get(name)


def claims_table(members: Members, findings: Findings) -> dict[str, Any]:
    """The claims as ca.toml has them; what is not understood is among the findings."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(ClaimsConfig):
        value = members.take(field.metadata["json"])
        if value is None:
            continue
        try:
            structure(ClaimsConfig, {field.name: value}, members.where.rstrip("."))
        except MicaError as error:
            findings.faults.append(str(error))
        else:
            table[field.name] = value
    note_rest(findings, members, {})
    return table


def _faults(kind: Kind[Any], table: Mapping[str, Any], claims: Mapping[str, Any]) -> list[str]:
    """What the CA would find wrong with the provisioner."""
    assembly = _assembly(_core(kind.name, table, claims))
    assembly.load_plugins({})
    assembly.entries()
    return [fault.replace("provisioners[0].", "") for fault in dict.fromkeys(assembly.faults)]


def _core(plugin: str, table: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None) -> CoreConfig:
    return CoreConfig(
        url="https://localhost",
        address="127.0.0.1:443",
        dns_names=("localhost",),
        plugins=(plugin,),
        claims=structure(ClaimsConfig, claims or {}, "claims"),
        store={},
        signers={},
        provisioners=(table,) if table else (),
    )


def _assembly(core: CoreConfig) -> Assembly:
    return Assembly(Settings(path=Path("/ca.toml"), core=core), Hooks(), system_clock)


def _redacted(value: Any, name: str = "") -> Any:
    """``value`` without what others must not read: ca.toml is no secret."""
    if _HIDDEN.search(name.lower().replace("_", "")) and value not in (None, "", False, True):
        return "…"
    if isinstance(value, dict):
        return {key: _redacted(member, key) for key, member in value.items()}
    return [_redacted(member, name) for member in value] if isinstance(value, list) else value


def _said_by(template: str) -> Iterator[str]:
    """Which members of a certificate the template sets; step takes base64 for a template that begins without ``{``."""
    if not template.lstrip().startswith("{"):
        with suppress(ValueError):
            template = base64.b64decode(template, validate=True).decode("utf-8", "replace")
    for member in _TEMPLATE_MEMBERS:
        if re.search(rf'"{member}"\s*:', template, re.IGNORECASE):
            yield member
