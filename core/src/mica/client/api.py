"""The CA's HTTP API as methods. Each call is one request over a connection of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from mica.client import tls, transport
from mica.client.errors import AlreadyRevoked, NotTheCA, Refused
from mica.client.tls import Identity
from mica.client.transport import Answer
from mica.client.urls import normalize
from mica.errors import MalformedRequest

_PAGE = 100
_MAX_PAGES = 1_000
# The protocol has no other sign: any refusal that the CA words itself has the status 400.
_ALREADY_REVOKED = re.compile(r"certificate with serial number '[^']*' is already revoked")


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
        self.url = normalize(url)
        self._roots_pem = roots_pem
        self._timeout = timeout

    def health(self) -> None:
        """The CA is well."""
        if self._get("/health").get("status") != "ok":
            raise NotTheCA(f"{self.url}/health does not say that the CA is well")

    def version(self) -> str:
        """The version of the CA's software."""
        return self._text(self._get("/version"), "version")

    def root(self, fingerprint: str) -> str:
        """The root certificate, PEM, whose SHA-256 is ``fingerprint`` (hex; case and dashes do not matter).

        The server need not be trusted yet: the fingerprint alone proves the certificate.
        """
        wanted = fingerprint.replace("-", "").replace(":", "").lower()
        answer = transport.call(
            self.url, "GET", f"/root/{quote(wanted, safe='')}", trust=tls.unverified_context(), timeout=self._timeout
        )
        pem = self._certificate(self._text(self._members(answer), "ca"))
        found = tls.fingerprint(pem)
        if found != wanted:
            raise NotTheCA(
                f"{self.url} sends another root certificate: its fingerprint is {found}, not {wanted}",
                hint="do not trust it; ask whoever runs the CA for the fingerprint",
            )
        return pem

    def roots(self) -> tuple[str, ...]:
        """The root certificates, PEM."""
        return self._certificates(self._get("/roots"), "crts")

    def federation(self) -> tuple[str, ...]:
        """The root certificates, its own and federated, PEM."""
        return self._certificates(self._get("/federation"), "crts")

    def provisioners(self) -> list[dict[str, Any]]:
        """Everybody who can vouch, as the CA lists them."""
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(_MAX_PAGES):
            page = self._get(f"/provisioners?limit={_PAGE}" + (f"&cursor={quote(cursor, safe='')}" if cursor else ""))
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
        return self._text(self._get(f"/provisioners/{quote(kid, safe='')}/encrypted-key"), "key")

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
                body[name] = _time_or_duration(value)
        return self._issued(self._post("/sign", body))

    def renew(self, identity: Identity) -> Issued:
        """A certificate that continues ``identity``'s, over mutual TLS."""
        return self._issued(self._post("/renew", None, identity=identity))

    def renew_by_token(self, token: str) -> Issued:
        """A certificate that continues the one in the renew token's header: for expired ones, and behind proxies."""
        return self._issued(self._post("/renew", None, bearer=token))

    def rekey(self, identity: Identity, csr_pem: str) -> Issued:
        """A certificate that continues ``identity``'s with the key of the CSR, over mutual TLS."""
        return self._issued(self._post("/rekey", {"csr": csr_pem}, identity=identity))

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
        body = {
            "serial": str(serial_number),
            "ott": token,
            "reasonCode": reason_code,
            "reason": reason,
            "passive": True,
        }
        try:
            answer = self._post("/revoke", body, identity=identity)
        except Refused as error:
            if not _ALREADY_REVOKED.search(str(error)):
                raise
            raise AlreadyRevoked(str(error), status=error.status, request_id=error.request_id) from error
        if answer.get("status") != "ok":  # whoever believes in a revocation that was none looks no further
            raise NotTheCA(f"{self.url}/revoke does not say that the certificate is revoked")

    def _get(self, path: str) -> dict[str, Any]:
        return self._members(
            transport.call(self.url, "GET", path, trust=tls.context(self._roots_pem), timeout=self._timeout)
        )

    def _post(
        self, path: str, members: Mapping[str, Any] | None, *, identity: Identity | None = None, bearer: str = ""
    ) -> dict[str, Any]:
        import json  # slow to import, and help needs none of it

        answer = transport.call(
            self.url,
            "POST",
            path,
            trust=tls.context(self._roots_pem, identity),
            identified=identity is not None,
            body=b"" if members is None else json.dumps(members, separators=(",", ":")).encode(),
            bearer=bearer,
            timeout=self._timeout,
        )
        return self._members(answer)

    def _members(self, answer: Answer) -> dict[str, Any]:
        """The JSON object in the answer; raises Refused for a status of 400 and more, NotTheCA for anything else."""
        from mica.tokens import decode_json

        try:
            members = decode_json(answer.body, max_bytes=len(answer.body))
        except MalformedRequest as error:
            raise self._strange(answer) from error
        if not isinstance(members, dict):
            raise self._strange(answer)
        if answer.status < 300:
            return members
        message = members.get("message")
        if answer.status < 400 or not isinstance(message, str):
            raise self._strange(answer)
        message = " ".join(message.split())  # what a stranger says stays on its line
        raise Refused(message, status=answer.status, request_id=answer.request_id, date=answer.date)

    def _strange(self, answer: Answer) -> NotTheCA:
        """An answer that is none of a CA's, described: a proxy's page, a redirection, another service."""
        what = {"text/html": "a web page", "text/plain": "plain text", "": "nothing that is named"}.get(
            answer.content_type, answer.content_type
        )
        return NotTheCA(
            f"{self.url} answers with status {answer.status} and {what}, not as a CA does",
            hint="a proxy in between, or a wrong address or port?",
        )

    def _text(self, members: Mapping[str, Any], name: str) -> str:
        value = members.get(name)
        if not isinstance(value, str) or not value:
            raise NotTheCA(f"{self.url}: the answer lacks {name!r}")
        return value

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
            return Issued(chain=tuple(self._certificate(self._text(members, name)) for name in ("crt", "ca")))
        return Issued(chain=self._certificates(members, "certChain"))


def _time_or_duration(value: datetime | timedelta) -> str:
    from mica.durations import format_go  # most requests ask for no dates

    if isinstance(value, timedelta):
        return format_go(value)
    return value.isoformat(timespec="seconds").replace("+00:00", "Z")
