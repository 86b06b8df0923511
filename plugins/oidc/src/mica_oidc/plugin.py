"""What the plugin has: one kind of provisioner, ``type = "oidc"``."""

from collections.abc import Iterable

from mica import Kind, Provisioner, hookimpl, kind
from mica_oidc.config import OIDCConfig
from mica_oidc.provisioner import OIDCProvisioner


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    """The kind ``oidc``."""
    return [kind("oidc", OIDCConfig, OIDCProvisioner)]
