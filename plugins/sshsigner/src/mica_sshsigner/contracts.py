"""The SSH signer keeps the contract of every such signer, with each kind of key it serves; its routes keep theirs."""

from typing import Any, ClassVar

import mica_sshsigner
from mica import SSHSignerContext
from mica.testing.routes import RoutesContract
from mica.testing.sshsigners import SSHSignerContract
from mica_sshsigner.signer import SSHKeySigner, SSHSignerSettings


class TestSSHKeySigner(SSHSignerContract):
    """It signs with the keys that it is given, one for users' certificates and one for hosts'."""

    def build(self, context: SSHSignerContext) -> SSHKeySigner:
        return SSHKeySigner(SSHSignerSettings(), context)


class TestSSHRoutes(RoutesContract):
    """What the SSH half of the API answers to strangers."""

    name = "sshsigner"
    plugin: ClassVar[Any] = mica_sshsigner
    ssh = True
