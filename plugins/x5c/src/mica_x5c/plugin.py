"""What the plugin has: one kind of provisioner, ``type = "x5c"``."""

from collections.abc import Iterable

from mica import Kind, Provisioner, hookimpl, kind
from mica_x5c.provisioner import X5CConfig, X5CProvisioner


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    """The kind ``x5c``."""
    return [kind("x5c", X5CConfig, X5CProvisioner)]
