"""The plugin as ``ca.toml`` names it: ``[plugin.auditlog]``."""

from collections.abc import Iterable
from typing import Any

from mica import Kind, hookimpl, kind
from mica_auditlog.listener import AuditConfig, audit_log


@hookimpl
def register_extensions() -> Iterable[Kind[Any]]:
    """The kind that ``[plugin.auditlog]`` configures."""
    return [kind("auditlog", AuditConfig, audit_log)]
