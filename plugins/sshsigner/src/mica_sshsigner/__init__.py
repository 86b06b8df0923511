"""An SSH signer, ``[signers.ssh]`` with ``type = "sshsigner"``, and what it serves at ``/ssh``."""

from collections.abc import Iterable
from typing import Any

from mica import Kind, SSHSigner, hookimpl, kind
from mica_sshsigner.extension import SSHService, SSHServiceSettings
from mica_sshsigner.signer import SSHKeySigner, SSHSignerSettings


@hookimpl
def register_ssh_signers() -> Iterable[Kind[SSHSigner]]:
    """The kind ``sshsigner``."""
    return [kind("sshsigner", SSHSignerSettings, SSHKeySigner)]


@hookimpl
def register_extensions() -> Iterable[Kind[Any]]:
    """The kind that ``[plugin.sshsigner]`` configures."""
    return [kind("sshsigner", SSHServiceSettings, SSHService)]
