"""The SSH half of the CA's HTTP API. Keys and certificates are the blobs that SSH carries."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from mica.client.calls import Calls, time_or_duration
from mica.client.errors import NotTheCA


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHOrder:
    """What an SSH certificate is to be. What is left open, the token says."""

    public_key: bytes
    cert_type: str = ""
    """``user`` or ``host``."""
    key_id: str = ""
    principals: tuple[str, ...] = ()
    valid_after: datetime | timedelta | None = None
    valid_before: datetime | timedelta | None = None
    add_user_public_key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHIssued:
    """Certificates fresh from the CA; ``add_user`` is the one that makes the account, where one was ordered."""

    certificate: bytes
    add_user: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHKeys:
    """The CA's public keys, the current one first. Hosts believe in users by one list, users in hosts by the other."""

    user: tuple[bytes, ...]
    host: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigTemplate:
    """A piece of configuration that the CA has filled in."""

    name: str
    type: str
    """``snippet``, ``prepend-line``, ``file`` or ``directory``."""
    path: str
    comment: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bastion:
    """Through what a host is reached."""

    hostname: str
    user: str = ""
    port: str = ""
    command: str = ""
    flags: str = ""


class SSHCA(Protocol):
    """What a CA does for SSH, reached by HTTP or in this process. Every method raises Unreachable and Refused."""

    def sign(self, order: SSHOrder, token: str) -> SSHIssued:
        """A certificate as the one-time ``token`` orders it."""

    def renew(self, token: str) -> SSHIssued:
        """A certificate that continues the one whose key has signed the token."""

    def rekey(self, token: str, public_key: bytes) -> SSHIssued:
        """A certificate that continues it with another key."""

    def revoke(
        self,
        token: str,
        *,
        serial: int | None = None,
        key_id: str | None = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, or every live one with the key id; raises AlreadyRevoked."""

    def roots(self) -> SSHKeys:
        """The CA's own keys."""


class SSHClient:
    """The SSH half of a ``Client``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def sign(self, order: SSHOrder, token: str) -> SSHIssued:
        """A certificate as the one-time ``token`` orders it."""
        body: dict[str, Any] = {
            "publicKey": _encoded(order.public_key),
            "ott": token,
            "certType": order.cert_type,
            "keyID": order.key_id,
            "principals": list(order.principals),
            "validAfter": "" if order.valid_after is None else time_or_duration(order.valid_after),
            "validBefore": "" if order.valid_before is None else time_or_duration(order.valid_before),
        }
        if order.add_user_public_key is not None:
            body["addUserPublicKey"] = _encoded(order.add_user_public_key)
        return self._issued(self._calls.post("/ssh/sign", body))

    def renew(self, token: str) -> SSHIssued:
        """A certificate that continues the one whose key has signed the token."""
        return self._issued(self._calls.post("/ssh/renew", {"ott": token}))

    def rekey(self, token: str, public_key: bytes) -> SSHIssued:
        """A certificate that continues it with another key."""
        return self._issued(self._calls.post("/ssh/rekey", {"ott": token, "publicKey": _encoded(public_key)}))

    def revoke(
        self,
        token: str,
        *,
        serial: int | None = None,
        key_id: str | None = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, or every live one with the key id; raises AlreadyRevoked."""
        which = {"serial": str(serial)} if key_id is None else {"keyID": key_id}
        self._calls.revoke("/ssh/revoke", {**which, "ott": token, "reasonCode": reason_code, "reason": reason})

    def roots(self) -> SSHKeys:
        """The CA's own keys. A CA without SSH refuses with 404."""
        return self._keys("/ssh/roots")

    def federation(self) -> SSHKeys:
        """The keys of the CA and of those that it is federated with."""
        return self._keys("/ssh/federation")

    def config(self, cert_type: str, data: Mapping[str, str]) -> tuple[ConfigTemplate, ...]:
        """The configuration of a ``user``'s or ``host``'s machine, filled in with ``data``."""
        answer = self._calls.post("/ssh/config", {"type": cert_type, "data": dict(data)})
        return tuple(map(self._template, self._rows(answer, f"{cert_type}Templates")))

    def check_host(self, principal: str) -> bool:
        """Whether the CA has certified a host of this name."""
        answer = self._calls.post("/ssh/check-host", {"type": "host", "principal": principal})
        exists = answer.get("exists")
        if not isinstance(exists, bool):
            raise NotTheCA(f"{self._calls.url}: the answer lacks 'exists'")
        return exists

    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts that have a certificate now."""
        return tuple(self._calls.text(row, "hostname") for row in self._rows(self._calls.get("/ssh/hosts"), "hosts"))

    def bastion(self, user: str, hostname: str) -> Bastion | None:
        """Through what ``hostname`` is reached; None is directly."""
        answer = self._calls.post("/ssh/bastion", {"user": user, "hostname": hostname}).get("bastion")
        if answer is None:
            return None
        if not isinstance(answer, dict):
            raise NotTheCA(f"{self._calls.url}: the answer has no usable 'bastion'")
        more = {name: str(answer.get(key) or "") for name, key in _BASTION.items()}
        return Bastion(hostname=self._calls.text(answer, "hostname"), **more)

    def krl(self) -> bytes:
        """OpenSSH's key revocation list of everything that is revoked."""
        answer = self._calls.get_raw("/ssh/krl")
        if answer.status >= 300:
            self._calls.members(answer)
        if answer.status != 200 or not answer.body.startswith(b"SSHKRL\n\0"):
            raise self._calls.strange(answer)
        return answer.body

    def _issued(self, members: Mapping[str, Any]) -> SSHIssued:
        add_user = members.get("addUserCrt")
        return SSHIssued(
            certificate=self._blob(members.get("crt"), "crt"),
            add_user=None if not add_user else self._blob(add_user, "addUserCrt"),
        )

    def _keys(self, path: str) -> SSHKeys:
        members = self._calls.get(path)
        return SSHKeys(
            user=tuple(self._blob(each, "userKey") for each in members.get("userKey") or ()),
            host=tuple(self._blob(each, "hostKey") for each in members.get("hostKey") or ()),
        )

    def _rows(self, members: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        rows = members.get(name) or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NotTheCA(f"{self._calls.url}: the answer has no usable {name!r}")
        return rows

    def _template(self, row: Mapping[str, Any]) -> ConfigTemplate:
        texts = {name: str(row.get(name) or "") for name in ("name", "type", "path", "comment")}
        return ConfigTemplate(content=self._blob(row.get("content") or "", "content"), **texts)

    def _blob(self, value: object, name: str) -> bytes:
        try:
            return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
        except binascii.Error as error:
            raise NotTheCA(f"{self._calls.url}: {name!r} in the answer is not base64") from error


_BASTION = {"user": "user", "port": "port", "command": "cmd", "flags": "flags"}


def _encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()
