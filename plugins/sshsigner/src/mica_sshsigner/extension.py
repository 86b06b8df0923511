"""What ``[plugin.sshsigner]`` holds, and the routes below ``/ssh`` that come of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mica import CertType, ConfigError, Context, Route, Services, SSHPublicKey, hookimpl
from mica_sshsigner.faults import noting
from mica_sshsigner.patterns import Pattern, PatternSettings, read_patterns
from mica_sshsigner.publickeys import read_keys, repeated
from mica_sshsigner.templates import HOST_NAMES, USER_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class BastionSettings:
    """``[plugin.sshsigner.bastion]``: through what hosts are reached."""

    hostname: str = field(metadata={"help": "The bastion's host name"})
    user: str = field(default="", metadata={"help": "The account there; the user's own when empty"})
    port: int | None = field(default=None, metadata={"help": "The port there; 22 when absent"})
    cmd: str = field(default="", metadata={"help": "What runs there, such as nc %h %p"})
    flags: str = field(default="", metadata={"help": "Further flags for ssh to the bastion"})

    def faults(self) -> list[str]:
        """What keeps a client from using it."""
        texts = {name: getattr(self, name) for name in ("hostname", "user", "cmd", "flags")}
        faults = [
            f"bastion.{name}: must not contain line ends or control characters"
            for name, value in texts.items()
            if not value.isprintable()
        ]
        faults += [
            f"bastion.{name}: must be one word that is no option; ssh takes it from its command line"
            for name in ("hostname", "user")
            if texts[name].startswith("-") or " " in texts[name]
        ]
        if not self.hostname:
            faults.append("bastion.hostname: must name the bastion")
        if self.port is not None and not 0 < self.port < 65536:
            faults.append(f"bastion.port: must be from 1 to 65535, not {self.port}")
        return faults

    def describe(self) -> dict[str, str]:
        """Its JSON members in the answer to ``/ssh/bastion``."""
        port = "" if self.port is None else str(self.port)
        members = {"user": self.user, "port": port, "cmd": self.cmd, "flags": self.flags}
        return {"hostname": self.hostname, **{name: value for name, value in members.items() if value}}


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHServiceSettings:
    """``[plugin.sshsigner]``."""

    federated_user_keys: tuple[Path, ...] = field(
        default=(), metadata={"help": ".pub files of other CAs' keys, by which hosts may believe in users"}
    )
    federated_host_keys: tuple[Path, ...] = field(
        default=(), metadata={"help": ".pub files of other CAs' keys, by which users may believe in hosts"}
    )
    bastion: BastionSettings | None = field(default=None, metadata={"help": "Through what hosts are reached"})
    user_templates: tuple[PatternSettings, ...] = field(
        default=(), metadata={"help": "What users' machines are sent besides"}
    )
    host_templates: tuple[PatternSettings, ...] = field(default=(), metadata={"help": "What hosts are sent besides"})
    list_hosts: bool = field(
        default=True, metadata={"help": "Anybody who reaches the CA may list the hosts that have a certificate"}
    )


class SSHService:
    """Serves ``/ssh/*``; it holds no secret."""

    def __init__(self, config: SSHServiceSettings, context: Context) -> None:
        paths = {CertType.USER: config.federated_user_keys, CertType.HOST: config.federated_host_keys}
        tables = {CertType.USER: config.user_templates, CertType.HOST: config.host_templates}
        names = {CertType.USER: USER_NAMES, CertType.HOST: HOST_NAMES}
        federated: dict[CertType, tuple[SSHPublicKey, ...]] = dict.fromkeys(CertType, ())
        patterns: dict[CertType, tuple[Pattern, ...]] = dict.fromkeys(CertType, ())
        faults: list[str] = []
        for each in CertType:
            with noting(faults):
                federated[each] = read_keys(context, self._setting(each), paths[each])
            with noting(faults):
                patterns[each] = read_patterns(context, f"{each.name.lower()}_templates", tables[each], names[each])
        faults += repeated((self._setting(each), each, keys) for each, keys in federated.items())
        faults += config.bastion.faults() if config.bastion else []
        if faults:
            raise ConfigError(faults)
        self.settings = config
        self.federated: Mapping[CertType, tuple[SSHPublicKey, ...]] = federated
        self.patterns: Mapping[CertType, tuple[Pattern, ...]] = patterns

    @hookimpl
    def routes(self, services: Services) -> Iterable[Route]:
        """Everything below ``/ssh``, and ``/sign-ssh`` for old clients."""
        from mica_sshsigner import directory, orders, revocations  # a CA that is not served needs no web

        own = [("signers.ssh", each, services.ssh_keys(each)) for each in CertType]
        federated = [(self._setting(each), each, keys) for each, keys in self.federated.items()]
        if faults := list(repeated([*own, *federated])):
            raise ConfigError(faults)
        hosts, krl = directory.kept_hosts(services), revocations.kept_list(services)
        return [
            *orders.routes(services, hosts, krl),
            *directory.routes(services, self, hosts),
            *revocations.routes(services, krl),
        ]

    @staticmethod
    def _setting(cert_type: CertType) -> str:
        return f"federated_{cert_type.name.lower()}_keys"
