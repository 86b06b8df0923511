"""Every hook that mica calls: the whole extension surface on one page.

A plugin is a module (or an object) named by an entry point of the group ``mica`` and by ``plugins`` in ``ca.toml``.
It marks its functions with ``mica.hookimpl``. ``mica.hooks`` calls each implementation by itself and judges its answer.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

from mica.events import Event
from mica.grants import Grant
from mica.pkix import TBSCertificate
from mica.requests import SignRequest, SSHSignRequest
from mica.roles import KeyBackend, Kind, Provisioner, SSHSigner, Store, X509Signer
from mica.sshcert import TBSSSHCertificate

if TYPE_CHECKING:  # only the server has routes
    from mica.services import Services
    from mica.web.routing import Route

hookspec = pluggy.HookspecMarker("mica")
hookimpl = pluggy.HookimplMarker("mica")


# What a plugin has. Asked once, when it is loaded.


@hookspec
def register_provisioners() -> Iterable[Kind[Provisioner]]:  # type: ignore[empty-body]
    """The kinds of provisioner that the plugin offers to ``[[provisioners]]``."""


@hookspec
def register_key_backends() -> Iterable[Kind[KeyBackend]]:  # type: ignore[empty-body]
    """The kinds of key backend that the plugin offers to ``[keys.<kind>]``."""


@hookspec
def register_x509_signers() -> Iterable[Kind[X509Signer]]:  # type: ignore[empty-body]
    """The kinds of X.509 signer that the plugin offers to ``[signers.<name>]``."""


@hookspec
def register_ssh_signers() -> Iterable[Kind[SSHSigner]]:  # type: ignore[empty-body]
    """The kinds of SSH signer that the plugin offers to ``[signers.ssh]``."""


@hookspec
def register_stores() -> Iterable[Kind[Store]]:  # type: ignore[empty-body]
    """The kinds of store that the plugin offers to ``[store]``."""


@hookspec
def register_extensions() -> Iterable[Kind[Any]]:  # type: ignore[empty-body]
    """Objects built from ``[plugin.<kind>]`` whose methods are hooks: policies, listeners and routes with settings."""


# What a plugin serves. Asked once, when the server is put together.


@hookspec
def routes(services: "Services") -> Iterable["Route"]:  # type: ignore[empty-body]
    """The plugin's own endpoints. The first segment of their paths is the plugin's alone."""


# What a plugin thinks. Asked for every certificate; any answer but None, and any failure, is an objection.
# One that cannot judge now raises mica.Unavailable: then nothing is issued, and the client may try again.


@hookspec
def refuse_x509(request: SignRequest | None, tbs: TBSCertificate, grant: Grant) -> str | None:
    """Why this certificate must not be issued, or None. ``request`` is None on renewal. May be ``async``."""


@hookspec
def refuse_ssh(request: SSHSignRequest | None, tbs: TBSSSHCertificate, grant: Grant) -> str | None:
    """Why this SSH certificate must not be issued, or None. ``request`` is None on renewal. May be ``async``.

    Where an order makes a user's account as well, it is asked of both certificates; ``[signers.ssh]`` says whom the
    second one is for (``add_user_principal``).
    """


# What a plugin hears. Told after the event is on record, through a bounded queue; failures are logged.


@hookspec
def notify(event: Event) -> None:
    """Something has happened. May be ``async``."""
