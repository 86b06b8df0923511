"""What the plugin has: one kind of provisioner, ``type = "sshpop"``."""

from collections.abc import Iterable

from mica import Kind, Provisioner, hookimpl, kind
from mica_sshpop.provisioner import SSHPOPConfig, SSHPOPProvisioner


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    """The kind ``sshpop``."""
    return [kind("sshpop", SSHPOPConfig, SSHPOPProvisioner)]
