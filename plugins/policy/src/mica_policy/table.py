"""What ``[plugin.policy]`` and a provisioner's ``policy`` hold. A rule that cannot be read is a fault at its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Literal

from mica import ConfigError
from mica_policy import parsing
from mica_policy.parsing import Grammar
from mica_policy.rules import Rules

Listed = tuple[str, ...] | None


def _setting(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of one side, allow or deny. No slots: what they compile to is kept."""

    grammars: ClassVar[Mapping[str, Grammar]] = {}

    def __post_init__(self) -> None:
        _ = self.rules  # a mistake is found while the table is read, where its place is known

    @cached_property
    def rules(self) -> Mapping[str, Rules]:
        """The rules by the kind of name; raises ConfigError with every mistake."""
        given = {f.name: listed for f in fields(self) if (listed := getattr(self, f.name)) is not None}
        found = {name: parsing.compiled(listed, self.grammars[name], name) for name, listed in given.items()}
        faults = [fault for _, each in found.values() for fault in each]
        if not given:
            faults.append(f"must hold a list of rules: {', '.join(self.grammars)}; or leave it out")
        if faults:
            raise ConfigError(faults)
        return {name: rules for name, (rules, _) in found.items()}


@dataclass(frozen=True, kw_only=True)
class X509Lists(Lists):
    """Names of X.509 certificates."""

    grammars = parsing.X509

    cn: Listed = _setting('Common names, whole: "Alice Smith"; case and white space do not matter')
    dns: Listed = _setting('DNS names: "svc.example", or "*.example" for exactly one label more')
    ip: Listed = _setting('IP addresses and networks: "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"')
    email: Listed = _setting('E-mail addresses: "ann@example", or "@example" for all of a host')
    uri: Listed = _setting('Hosts of URIs: "svc.example", "*.example"')


@dataclass(frozen=True, kw_only=True)
class UserLists(Lists):
    """Principals of users' SSH certificates."""

    grammars = parsing.SSH_USER

    email: Listed = _setting('Principals with an @: "ann@example", or "@example" for all of a host')
    principal: Listed = _setting('Principals without an @: "ann", or "*" for any of them')


@dataclass(frozen=True, kw_only=True)
class HostLists(Lists):
    """Principals of hosts' SSH certificates."""

    grammars = parsing.SSH_HOST

    dns: Listed = _setting('DNS names: "build1.example", or "*.example" for exactly one label more')
    ip: Listed = _setting('IP addresses and networks: "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"')
    principal: Listed = _setting('Principals, whole, before they are taken for DNS names or addresses; "*" for any')


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What a certificate may carry, and what it may not. At least one of the two."""

    allow: Lists | None = None
    deny: Lists | None = None

    def __post_init__(self) -> None:
        if self.allow is None and self.deny is None:
            raise ConfigError(["must hold allow or deny; or leave it out"])


@dataclass(frozen=True, slots=True, kw_only=True)
class X509Rules(Sides):
    """The rules for X.509 certificates."""

    allow: X509Lists | None = _setting("What the names may be; then nothing else is allowed")
    deny: X509Lists | None = _setting("What no name may be, whatever is allowed")
    allow_wildcard_names: bool = _setting('Whether a name "*.example" may be allowed, by the very rule', False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRules(Sides):
    """The rules for users' SSH certificates."""

    allow: UserLists | None = _setting("What the principals may be; then nothing else is allowed")
    deny: UserLists | None = _setting("What no principal may be, whatever is allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules(Sides):
    """The rules for hosts' SSH certificates."""

    allow: HostLists | None = _setting("What the principals may be; then nothing else is allowed")
    deny: HostLists | None = _setting("What no principal may be, whatever is allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHRules:
    """The rules for SSH certificates. Where only one kind has any, the other is refused."""

    user: UserRules | None = _setting("For users' certificates; without it they are refused where there is host")
    host: HostRules | None = _setting("For hosts' certificates; without it they are refused where there is user")

    def __post_init__(self) -> None:
        if self.user is None and self.host is None:
            raise ConfigError(["must hold user or host; or leave it out"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """``[plugin.policy]``: what holds for every certificate of the authority."""

    x509: X509Rules | None = _setting("For X.509 certificates")
    ssh: SSHRules | None = _setting("For SSH certificates")
    mode: Literal["enforce", "shadow"] = _setting('"shadow" logs what would be refused, and lets it through', "enforce")
    renewals: bool = _setting("Whether certificates that are renewed are judged as well", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerPolicy(PolicyConfig):
    """``policy = { … }`` of a provisioner: what holds, besides, for the certificates that it vouches for."""
