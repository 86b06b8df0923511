"""The CA's HTTP API as methods. Each call is one request over a connection of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mica.client import tls, transport
from mica.client.calls import Calls, time_or_duration
from mica.client.errors import NotTheCA
from mica.client.tls import Identity

if TYPE_CHECKING:
    from mica.client.ssh import SSHClient

_PAGE = 100
_MAX_PAGES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate fresh from the CA."""

    chain: tuple[str, ...]
    """PEM: the certificate, then its issuers, without the root. Each ends with a newline."""

    @property
    def certificate(self) -> str:
        """The certificate itself."""
        return self.chain[0]

    @property
    def pem(self) -> bytes:
        """The whole chain as a file holds it."""
        return "".join(self.chain).encode()


class Client:
    """The CA at ``url``, which proves itself by one of ``roots_pem``; without roots, by those of the system.

    Every method raises Unreachable (Untrusted, NotTheCA) and Refused. ``url`` is normalised; raises ValueError.
    """

    def __init__(self, url: str, roots_pem: bytes | None = None, *, timeout: float = transport.TIMEOUT) -> None:
        self._calls = Calls(url, roots_pem, timeout)
        self.url = self._calls.url

    def health(self) -> None:
        """The CA is well."""
        if self._calls.get("/health").get("status") != "ok":
            raise NotTheCA(f"{self.url}/health does not say that the CA is well")

    def version(self) -> str:
        """The version of the CA's software."""
        return self._calls.text(self._calls.get("/version"), "version")

    def root(self, fingerprint: str) -> str:
        """The root certificate, PEM, whose SHA-256 is ``fingerprint`` (hex; case and dashes do not matter).

        The server need not be trusted yet: the fingerprint alone proves the certificate.
        """
        wanted = fingerprint.replace("-", "").replace(":", "").lower()
        answer = self._calls.get_unverified(f"/root/{quote(wanted, safe='')}")
        pem = self._certificate(self._calls.text(answer, "ca"))
        found = tls.fingerprint(pem)
        if found != wanted:
            raise NotTheCA(
                f"{self.url} sends another root certificate: its fingerprint is {found}, not {wanted}",
                hint="do not trust it; ask whoever runs the CA for the fingerprint",
            )
        return pem

    def roots(self) -> tuple[str, ...]:
        """The root certificates, PEM."""
        return self._certificates(self._calls.get("/roots"), "crts")

    def federation(self) -> tuple[str, ...]:
        """The root certificates, its own and federated, PEM."""
        return self._certificates(self._calls.get("/federation"), "crts")

    def provisioners(self) -> list[dict[str, Any]]:
        """Everybody who can vouch, as the CA lists them."""
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(_MAX_PAGES):
            page = self._calls.get(
                f"/provisioners?limit={_PAGE}" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
            )
            rows = page.get("provisioners") or []
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise NotTheCA(f"{self.url}/provisioners is not a list of provisioners")
            found += rows
            cursor = page.get("nextCursor") or ""
            if not isinstance(cursor, str) or not cursor:
                return found
        raise NotTheCA(f"{self.url}/provisioners has no last page")

    def encrypted_key(self, kid: str) -> str:
        """The private key of a provisioner, encrypted: a JWE."""
        return self._calls.text(self._calls.get(f"/provisioners/{quote(kid, safe='')}/encrypted-key"), "key")

    def sign(
        self,
        csr_pem: str,
        token: str,
        *,
        not_before: datetime | timedelta | None = None,
        not_after: datetime | timedelta | None = None,
    ) -> Issued:
        """A certificate for the key of the CSR, as the one-time ``token`` orders it."""
        body: dict[str, Any] = {"csr": csr_pem, "ott": token}
        for name, value in (("notBefore", not_before), ("notAfter", not_after)):
            if value is not None:
                body[name] = time_or_duration(value)
        return self._issued(self._calls.post("/sign", body))

    def renew(self, identity: Identity) -> Issued:
        """A certificate that continues ``identity``'s, over mutual TLS."""
        return self._issued(self._calls.post("/renew", None, identity=identity))

    def renew_by_token(self, token: str) -> Issued:
        """A certificate that continues the one in the renew token's header: for expired ones, and behind proxies."""
        return self._issued(self._calls.post("/renew", None, bearer=token))

    def rekey(self, identity: Identity, csr_pem: str) -> Issued:
        """A certificate that continues ``identity``'s with the key of the CSR, over mutual TLS."""
        return self._issued(self._calls.post("/rekey", {"csr": csr_pem}, identity=identity))

    def revoke(
        self,
        serial_number: int,
        *,
        token: str = "",
        identity: Identity | None = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, by a token that orders it or by its own key over mutual TLS.

        Raises AlreadyRevoked when it was.
        """
        body = {"serial": str(serial_number), "ott": token, "reasonCode": reason_code, "reason": reason}
        self._calls.revoke("/revoke", body, identity=identity)

    @property
    def ssh(self) -> "SSHClient":
        """Its SSH half."""
        from mica.client.ssh import SSHClient  # most calls need none of it

        return SSHClient(self._calls)

    def _certificates(self, members: Mapping[str, Any], name: str) -> tuple[str, ...]:
        values = members.get(name)
        if not isinstance(values, list) or not values or not all(isinstance(pem, str) for pem in values):
            raise NotTheCA(f"{self.url}: the answer lacks {name!r}, a list of certificates")
        return tuple(map(self._certificate, values))

    def _certificate(self, pem: str) -> str:
        """The one certificate in ``pem``, written anew: what else stood there has been proved by nothing."""
        from ssl import DER_cert_to_PEM_cert

        try:
            return DER_cert_to_PEM_cert(tls.first_certificate(pem))
        except ValueError as error:
            raise NotTheCA(f"{self.url} sends something else than a certificate") from error

    def _issued(self, members: Mapping[str, Any]) -> Issued:
        if not members.get("certChain"):  # CAs from before 2019 send the two apart
            return Issued(chain=tuple(self._certificate(self._calls.text(members, name)) for name in ("crt", "ca")))
        return Issued(chain=self._certificates(members, "certChain"))
