"""What the plugin has: one extension, ``[plugin.policy]``, with settings at each provisioner too."""

from collections.abc import Iterable
from typing import Any

from mica import Kind, hookimpl, kind
from mica_policy.policy import Policy
from mica_policy.table import PolicyConfig, ProvisionerPolicy


@hookimpl
def register_extensions() -> Iterable[Kind[Any]]:
    """The kind ``policy``."""
    return [kind("policy", PolicyConfig, Policy, provisioners=ProvisionerPolicy)]
