"""Calls to one CA: a path and JSON there, a JSON object back."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mica.client import tls, transport
from mica.client.errors import AlreadyRevoked, NotTheCA, Refused
from mica.client.tls import Identity
from mica.client.transport import Answer
from mica.client.urls import normalize
from mica.errors import MalformedRequest

# The protocol has no other sign: any refusal that the CA words itself has the status 400.
_ALREADY_REVOKED = re.compile(r"certificate with serial number '[^']*' is already revoked")


class Calls:
    """The CA at ``url``, which proves itself by one of ``roots_pem``; without roots, by those of the system.

    Every method raises Unreachable (Untrusted, NotTheCA) and Refused. ``url`` is normalised; raises ValueError.
    """

    def __init__(self, url: str, roots_pem: bytes | None, timeout: float) -> None:
        self.url = normalize(url)
        self._roots_pem = roots_pem
        self._timeout = timeout

    def get(self, path: str) -> dict[str, Any]:
        """What ``GET`` gives."""
        return self.members(self.get_raw(path))

    def get_raw(self, path: str) -> Answer:
        """What ``GET`` gives, whatever it is."""
        return transport.call(self.url, "GET", path, trust=tls.context(self._roots_pem), timeout=self._timeout)

    def get_unverified(self, path: str) -> dict[str, Any]:
        """What ``GET`` gives, from whoever answers: the contents must prove themselves."""
        trust = tls.unverified_context()
        return self.members(transport.call(self.url, "GET", path, trust=trust, timeout=self._timeout))

    def post(
        self, path: str, members: Mapping[str, Any] | None, *, identity: Identity | None = None, bearer: str = ""
    ) -> dict[str, Any]:
        """What ``POST`` of this JSON object gives; with ``identity``, over mutual TLS."""
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
        return self.members(answer)

    def revoke(self, path: str, members: Mapping[str, Any], *, identity: Identity | None = None) -> None:
        """What ``members`` name is revoked; raises AlreadyRevoked when it was."""
        try:
            answer = self.post(path, {**members, "passive": True}, identity=identity)
        except Refused as error:
            if not _ALREADY_REVOKED.search(str(error)):
                raise
            raise AlreadyRevoked(str(error), status=error.status, request_id=error.request_id) from error
        if answer.get("status") != "ok":  # whoever believes in a revocation that was none looks no further
            raise NotTheCA(f"{self.url}{path} does not say that the certificate is revoked")

    def members(self, answer: Answer) -> dict[str, Any]:
        """The JSON object in the answer; raises Refused for a status of 400 and more, NotTheCA for anything else."""
        from mica.tokens import decode_json

        try:
            members = decode_json(answer.body, max_bytes=len(answer.body))
        except MalformedRequest as error:
            raise self.strange(answer) from error
        if not isinstance(members, dict):
            raise self.strange(answer)
        if answer.status < 300:
            return members
        message = members.get("message")
        if answer.status < 400 or not isinstance(message, str):
            raise self.strange(answer)
        message = " ".join(message.split())  # what a stranger says stays on its line
        raise Refused(message, status=answer.status, request_id=answer.request_id, date=answer.date)

    def strange(self, answer: Answer) -> NotTheCA:
        """An answer that is none of a CA's, described: a proxy's page, a redirection, another service."""
        what = {"text/html": "a web page", "text/plain": "plain text", "": "nothing that is named"}.get(
            answer.content_type, answer.content_type
        )
        return NotTheCA(
            f"{self.url} answers with status {answer.status} and {what}, not as a CA does",
            hint="a proxy in between, or a wrong address or port?",
        )

    def text(self, members: Mapping[str, Any], name: str) -> str:
        """The text that ``members`` have under ``name``; raises NotTheCA."""
        value = members.get(name)
        if not isinstance(value, str) or not value:
            raise NotTheCA(f"{self.url}: the answer lacks {name!r}")
        return value


def time_or_duration(value: datetime | timedelta) -> str:
    """The moment or duration as requests have it."""
    from mica.durations import format_go  # most requests ask for no dates

    if isinstance(value, timedelta):
        return format_go(value)
    return value.isoformat(timespec="seconds").replace("+00:00", "Z")
