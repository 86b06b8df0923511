"""Whether rules let a certificate carry its names. Deny wins; where anything is allowed, all else is not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mica import CertType
from mica_policy.presented import Named, Presented
from mica_policy.rules import Rules
from mica_policy.table import PolicyConfig, Sides

_NO_RULES: Mapping[str, Rules] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRules:
    """The rules for one kind of certificate."""

    place: str
    """Where they stand: ``plugin.policy.x509``."""
    allow: Mapping[str, Rules]
    deny: Mapping[str, Rules]
    allow_wildcard_names: bool = False

    @classmethod
    def of(cls, sides: Sides, place: str, *, allow_wildcard_names: bool = False) -> "NameRules":
        """The rules that a table holds."""
        allow, deny = (side.rules if side is not None else _NO_RULES for side in (sides.allow, sides.deny))
        return cls(place=place, allow=allow, deny=deny, allow_wildcard_names=allow_wildcard_names)

    def objections(self, presented: Iterable[Presented]) -> list[str]:
        """A reason for each name that the rules do not let pass."""
        return [reason for each in presented if (reason := self._objection(each)) is not None]

    def _objection(self, each: Presented) -> str | None:
        if each.own is not None:
            if reason := self._denied(each, each.own):
                return reason
            if self._allows(each.own):
                # A common name that cn names is allowed whatever it means, as step-ca has it. It never looks at the
                # principals of hosts, so what they mean may still be denied: above all where "*" allows any.
                return self._denied(each, each.meant) if each.meant and each.own.kind == "principal" else None
        if each.again:
            return None
        if each.never:
            return f"{each.shown} is refused: {each.never} ({self.place})"
        if each.meant is None:
            return f"{each.shown} is allowed by no rule ({self.place}.allow)" if self.allow else None
        return self._denied(each, each.meant) or self._unallowed(each, each.meant)

    def _denied(self, each: Presented, named: Named) -> str | None:
        rules = self.deny.get(named.kind)
        if rules is None:
            return None
        place = f"{self.place}.deny.{named.kind}"
        if named.value is None:
            return f"{each.shown} is refused: it cannot be compared with the rules ({place})"
        rule = rules.touching(named.value)
        return None if rule is None else f'{each.shown} is denied by "{rule}" ({place})'

    def _allows(self, named: Named) -> bool:
        rules = self.allow.get(named.kind)
        return rules is not None and named.value is not None and rules.covering(named.value) is not None

    def _unallowed(self, each: Presented, named: Named) -> str | None:
        """Why no rule allows it. A list of what is denied opens nothing: another rule there must never allow."""
        kind = named.kind
        if not self.allow:
            return None
        if kind not in self.allow:
            return f"{each.shown} is allowed by no rule ({self.place}.allow has no {kind})"
        if named.value is None:
            return f"{each.shown} is refused: it cannot be compared with the rules ({self.place}.allow.{kind})"
        if kind == "dns" and named.value.startswith("*.") and not self.allow_wildcard_names:
            return f"{each.shown} is allowed by no rule ({self.place}.allow_wildcard_names is not set)"
        return None if self._allows(named) else f"{each.shown} is allowed by no rule ({self.place}.allow.{kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """One policy, the authority's or a provisioner's, as it is applied."""

    place: str
    x509: NameRules | None
    ssh: Mapping[CertType, NameRules]
    shadow: bool
    renewals: bool

    @classmethod
    def of(cls, config: PolicyConfig, place: str) -> "Ruleset":
        """The policy in a table."""
        ssh: dict[CertType, NameRules] = {}
        if config.ssh is not None:
            sides = {CertType.USER: config.ssh.user, CertType.HOST: config.ssh.host}
            ssh = {
                cert_type: NameRules.of(each, f"{place}.ssh.{cert_type.name.lower()}")
                for cert_type, each in sides.items()
                if each is not None
            }
        x509 = None
        if config.x509 is not None:
            wildcards = config.x509.allow_wildcard_names
            x509 = NameRules.of(config.x509, f"{place}.x509", allow_wildcard_names=wildcards)
        return cls(place=place, x509=x509, ssh=ssh, shadow=config.mode == "shadow", renewals=config.renewals)

    @property
    def is_empty(self) -> bool:
        """Whether it has no rule at all."""
        return self.x509 is None and not self.ssh

    def objections(self, cert_type: CertType | None, presented: Iterable[Presented]) -> list[str]:
        """The reasons against a certificate with these names; ``cert_type`` is None for X.509."""
        if cert_type is None:
            return self.x509.objections(presented) if self.x509 else []
        if cert_type in self.ssh:
            return self.ssh[cert_type].objections(presented)
        if not self.ssh:
            return []
        kind, other = cert_type.name.lower(), next(iter(self.ssh)).name.lower()
        return [f"an SSH certificate for a {kind} is allowed by no rule ({self.place}.ssh has {other}, and no {kind})"]
