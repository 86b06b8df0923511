"""A client of the CA's HTTP API, synchronous and small: for the command line, and for programs.

For example:

    ca = Client("https://ca.example:8443", roots_pem=Path("root_ca.crt").read_bytes())
    issued = ca.sign(csr_pem, token)

The Protocols, and what makes tokens, are imported when they are first used (PEP 562): most calls need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mica.client.api import Client as Client
from mica.client.api import Issued as Issued
from mica.client.errors import AlreadyRevoked as AlreadyRevoked
from mica.client.errors import ClientError as ClientError
from mica.client.errors import IdentityRejected as IdentityRejected
from mica.client.errors import KeyProblem as KeyProblem
from mica.client.errors import NotTheCA as NotTheCA
from mica.client.errors import Refused as Refused
from mica.client.errors import Unreachable as Unreachable
from mica.client.errors import Untrusted as Untrusted
from mica.client.tls import Identity as Identity
from mica.client.urls import normalize as normalize

if TYPE_CHECKING:
    from mica.client.openedkeys import OpenedKey as OpenedKey
    from mica.client.openedkeys import open_key as open_key
    from mica.client.roles import CA as CA
    from mica.client.roles import Certifying as Certifying
    from mica.client.roles import Publishing as Publishing
    from mica.client.roles import Vouching as Vouching
    from mica.client.sources import Desk as Desk
    from mica.client.sources import ReadingDesk as ReadingDesk
    from mica.client.sources import TableDesk as TableDesk
    from mica.client.sources import TableMaker as TableMaker
    from mica.client.sources import TableOption as TableOption
    from mica.client.sources import TokenOrder as TokenOrder
    from mica.client.sources import TokenSource as TokenSource

_LATER = {
    "OpenedKey": "mica.client.openedkeys",
    "open_key": "mica.client.openedkeys",
    "CA": "mica.client.roles",
    "Certifying": "mica.client.roles",
    "Publishing": "mica.client.roles",
    "Vouching": "mica.client.roles",
    "Desk": "mica.client.sources",
    "ReadingDesk": "mica.client.sources",
    "TableDesk": "mica.client.sources",
    "TableMaker": "mica.client.sources",
    "TableOption": "mica.client.sources",
    "TokenOrder": "mica.client.sources",
    "TokenSource": "mica.client.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mica.client' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
