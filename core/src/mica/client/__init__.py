"""A client of the CA's HTTP API, synchronous and small: for the command line, and for programs.

For example:

    ca = Client("https://ca.example:8443", roots_pem=Path("root_ca.crt").read_bytes())
    issued = ca.sign(csr_pem, token)
"""

from mica.client.api import Client as Client
from mica.client.api import Issued as Issued
from mica.client.errors import ClientError as ClientError
from mica.client.errors import IdentityRejected as IdentityRejected
from mica.client.errors import KeyProblem as KeyProblem
from mica.client.errors import NotTheCA as NotTheCA
from mica.client.errors import Refused as Refused
from mica.client.errors import Unreachable as Unreachable
from mica.client.errors import Untrusted as Untrusted
from mica.client.sources import Desk as Desk
from mica.client.sources import ReadingDesk as ReadingDesk
from mica.client.sources import TableDesk as TableDesk
from mica.client.sources import TableMaker as TableMaker
from mica.client.sources import TableOption as TableOption
from mica.client.sources import TokenOrder as TokenOrder
from mica.client.sources import TokenSource as TokenSource
from mica.client.tls import Identity as Identity
from mica.client.urls import normalize as normalize
