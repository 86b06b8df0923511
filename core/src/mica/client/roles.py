"""What a CA is to whoever asks it: reached by HTTP (``Client``), or in this process, on the CA's own host.

Every method raises Unreachable and Refused.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mica.client.api import Issued
    from mica.client.ssh import SSHCA
    from mica.client.tls import Identity


class Vouching(Protocol):
    """Knows whose tokens count."""

    @property
    def url(self) -> str:
        """Where the CA is, normalised; what its tokens are for."""

    def provisioners(self) -> list[dict[str, Any]]:
        """Everybody who can vouch, as ``GET /provisioners`` lists them."""

    def encrypted_key(self, kid: str) -> str:
        """The private key of a provisioner, encrypted: a JWE."""


class Certifying(Protocol):
    """Makes and ends certificates."""

    def sign(
        self,
        csr_pem: str,
        token: str,
        *,
        not_before: datetime | timedelta | None = None,
        not_after: datetime | timedelta | None = None,
    ) -> "Issued":
        """A certificate for the key of the CSR, as the one-time ``token`` orders it."""

    def renew(self, identity: "Identity") -> "Issued":
        """A certificate that continues ``identity``'s, whose key proves itself."""

    def renew_by_token(self, token: str) -> "Issued":
        """A certificate that continues the one in the renew token's header."""

    def rekey(self, identity: "Identity", csr_pem: str) -> "Issued":
        """A certificate that continues ``identity``'s with the key of the CSR."""

    def revoke(
        self,
        serial_number: int,
        *,
        token: str = "",
        identity: "Identity | None" = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, by a token that orders it or by its own key; raises AlreadyRevoked."""


class Publishing(Protocol):
    """Tells what anybody may know."""

    def health(self) -> None:
        """The CA is well."""

    def version(self) -> str:
        """The version of the CA's software."""

    def roots(self) -> tuple[str, ...]:
        """The root certificates, PEM."""

    def federation(self) -> tuple[str, ...]:
        """The root certificates, its own and federated, PEM."""


class CA(Vouching, Certifying, Publishing, Protocol):
    """All of it."""

    @property
    def ssh(self) -> "SSHCA":
        """Its SSH half."""
