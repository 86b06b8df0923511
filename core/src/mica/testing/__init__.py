"""Contract suites, fixtures and stand-ins for plugin authors: subclass a contract, and pytest says whether it is kept.

The suites are had by name (``from mica.testing import StoreContract``), and so is what tests need most; nothing is
imported before it is asked for. ``pytest_plugins = ["mica.testing"]`` or ``-p mica.testing`` brings the fixtures of
``mica.testing.fixtures``.
"""

import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mica.testing.algorithms import EachAlgorithm as EachAlgorithm
    from mica.testing.ca import TestCA as TestCA
    from mica.testing.contexts import Clock as Clock
    from mica.testing.contexts import make_context as make_context
    from mica.testing.csrs import csr_zoo as csr_zoo
    from mica.testing.keys import KeyBackendContract as KeyBackendContract
    from mica.testing.keys import KeyCreatorContract as KeyCreatorContract
    from mica.testing.keys import make_key_context as make_key_context
    from mica.testing.line import ProvisionerLineContract as ProvisionerLineContract
    from mica.testing.listening import ListenerContract as ListenerContract
    from mica.testing.policies import PolicyContract as PolicyContract
    from mica.testing.provisioners import TokenProvisionerContract as TokenProvisionerContract
    from mica.testing.renewals import RenewalProvisionerContract as RenewalProvisionerContract
    from mica.testing.routes import RoutesContract as RoutesContract
    from mica.testing.service import Service as Service
    from mica.testing.service import free_port as free_port
    from mica.testing.service import served as served
    from mica.testing.signers import X509SignerContract as X509SignerContract
    from mica.testing.signers import make_signer_context as make_signer_context
    from mica.testing.sources import TokenSourceContract as TokenSourceContract
    from mica.testing.sshsigners import SSHSignerContract as SSHSignerContract
    from mica.testing.sshsigners import make_ssh_signer_context as make_ssh_signer_context
    from mica.testing.store import StoreContract as StoreContract
    from mica.testing.store_revocations import RevocationListContract as RevocationListContract
    from mica.testing.tokens import Maker as Maker
    from mica.testing.tokens import hostile_tokens as hostile_tokens

#: What pytest loads with this package, and so registers the fixtures.
pytest_plugins = ("mica.testing.fixtures",)

_MODULES = {
    "algorithms": ("EachAlgorithm",),
    "ca": ("TestCA",),
    "contexts": ("Clock", "make_context"),
    "csrs": ("csr_zoo",),
    "keys": ("KeyBackendContract", "KeyCreatorContract", "make_key_context"),
    "listening": ("ListenerContract",),
    "policies": ("PolicyContract",),
    "line": ("ProvisionerLineContract",),
    "provisioners": ("TokenProvisionerContract",),
    "renewals": ("RenewalProvisionerContract",),
    "routes": ("RoutesContract",),
    "service": ("Service", "free_port", "served"),
    "signers": ("X509SignerContract", "make_signer_context"),
    "sources": ("TokenSourceContract",),
    "sshsigners": ("SSHSignerContract", "make_ssh_signer_context"),
    "store": ("StoreContract",),
    "store_revocations": ("RevocationListContract",),
    "tokens": ("Maker", "hostile_tokens"),
}
_HOMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


if "pytest" in sys.modules:
    # So that a contract's assertion that fails shows what it compared.
    sys.modules["pytest"].register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
