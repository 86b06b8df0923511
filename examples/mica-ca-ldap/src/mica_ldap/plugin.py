"""What the plugin has: one kind of provisioner, ``type = "ldap"``."""

from collections.abc import Iterable

from mica import Kind, Provisioner, hookimpl, kind
from mica_ldap.config import LDAPConfig
from mica_ldap.provisioner import LDAPProvisioner


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    """The kind ``ldap``."""
    return [kind("ldap", LDAPConfig, LDAPProvisioner)]
