"""The policy keeps the contract of every policy: with rules that allow, with rules that deny, and a provisioner's."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mica import ExtensionContext
from mica.structuring import structure
from mica.testing.contexts import Clock
from mica.testing.policies import PolicyContract
from mica.testing.samples import Sample, ssh_sample, x509_sample
from mica_policy.policy import Policy
from mica_policy.table import PolicyConfig, ProvisionerPolicy

ALLOW: dict[str, Any] = {
    "x509": {
        "allow": {"dns": ["*.example"], "ip": ["10.0.0.0/8"], "email": ["@harbour.example"], "uri": ["*.example"]},
        "deny": {"dns": ["root.example"], "ip": ["10.9.0.0/16"]},
    },
    "ssh": {
        "user": {"allow": {"email": ["@harbour.example"], "principal": ["ann", "bob"]}},
        "host": {"allow": {"dns": ["*.example"]}, "deny": {"dns": ["root.example"]}},
    },
}
DENY: dict[str, Any] = {
    "x509": {"deny": {"dns": ["root.example", "*.evil.example"], "ip": ["127.0.0.0/8"], "cn": ["root"]}},
    "ssh": {"user": {"deny": {"principal": ["root"]}}, "host": {"deny": {"dns": ["root.example"]}}},
}


class TestAllowed(PolicyContract):
    """What is not allowed is refused."""

    def build(self, context: ExtensionContext) -> Policy:
        return Policy(structure(PolicyConfig, ALLOW, "plugin.policy"), context)

    def passing(self) -> Iterable[Sample]:
        return [
            x509_sample("svc.example", "10.1.2.3"),
            x509_sample("ann@harbour.example"),
            x509_sample("https://svc.example/x"),
            ssh_sample("user", "ann"),
            ssh_sample("host", "build1.example"),
        ]

    def refused(self) -> Iterable[Sample]:
        return [
            x509_sample("svc.test"),
            x509_sample("a.b.example"),
            x509_sample("root.example"),
            x509_sample("11.0.0.1"),
            x509_sample("10.9.1.1"),
            x509_sample("ann@evil.example"),
            x509_sample("https://svc.test/"),
            ssh_sample("user", "root"),
            ssh_sample("host", "root.example"),
            ssh_sample("host", "svc.test"),
        ]


class TestDenied(PolicyContract):
    """What is denied is refused, however it is spelled."""

    def build(self, context: ExtensionContext) -> Policy:
        return Policy(structure(PolicyConfig, DENY, "plugin.policy"), context)

    def passing(self) -> Iterable[Sample]:
        return [x509_sample("svc.example"), ssh_sample("user", "ann"), ssh_sample("host", "build1.example")]

    def refused(self) -> Iterable[Sample]:
        return [
            x509_sample("root.example"),
            x509_sample("a.evil.example"),
            x509_sample("127.0.0.1"),
            x509_sample("svc.example", common_name="root"),
            ssh_sample("user", "root"),
            ssh_sample("host", "root.example"),
        ]


class TestAtAProvisioner(TestAllowed):
    """A provisioner's own policy binds what it vouches for."""

    def make_context(self, clock: Clock, directory: Path) -> ExtensionContext:
        return replace(
            super().make_context(clock, directory),
            tables={"admin": structure(ProvisionerPolicy, ALLOW, "provisioners[0].policy")},
        )

    def build(self, context: ExtensionContext) -> Policy:
        return Policy(PolicyConfig(), context)
