"""The audit log keeps the contracts of every listener and, as it can refuse, of every policy."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mica import ExtensionContext
from mica.testing.listening import ListenerContract
from mica.testing.policies import PolicyContract
from mica.testing.samples import Sample, ssh_sample, x509_sample
from mica_auditlog.listener import AuditConfig, AuditLog, RefusingAuditLog

_TOLD = (b'"event":"issued"', b'"event":"renewed"', b'"event":"revoked"', b'"event":"denied"')


class TestAuditLogListener(ListenerContract):
    """It keeps every event, in a file."""

    def build(self, context: ExtensionContext) -> AuditLog:
        self.log: Path = context.directory / AuditConfig().path
        return AuditLog(AuditConfig(), context)

    async def heard(self, listener: Any) -> int:
        lines = self.log.read_bytes().splitlines() if self.log.exists() else []
        return sum(any(told in line for told in _TOLD) for line in lines)


class TestAuditLogPolicy(PolicyContract):
    """It objects to no certificate; while it cannot write, nothing is judged at all."""

    never_refuses = "it raises Unavailable while the log cannot be written, and has nothing against any certificate"

    def build(self, context: ExtensionContext) -> RefusingAuditLog:
        return RefusingAuditLog(AuditConfig(on_failure="refuse"), context)

    def passing(self) -> Iterable[Sample]:
        return [x509_sample("svc.example"), ssh_sample("user", "ann"), ssh_sample("host", "build1.example")]

    def refused(self) -> Iterable[Sample]:
        return []
