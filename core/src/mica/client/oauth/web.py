"""HTTPS to an identity provider: answers are JSON objects, and a redirect is no answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from mica.client import transport
from mica.client.errors import Flaw, Unreachable, Untrusted
from mica.errors import MalformedRequest
from mica.tokens import decode_json

if TYPE_CHECKING:  # slow to import
    import ssl

_FORM = "application/x-www-form-urlencoded"
_OK, _REDIRECTS = 200, range(300, 400)
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")  # RFC 3986 §2, without #: RFC 6749 §3.1, §3.2
_UNTRUSTED: dict[Flaw, str] = {
    "wrong-root": "the root of the provider's certificate can be named with --oidc-root",
    "wrong-host": "the provider's URL must have the name that is in its certificate",
    "expired": "this is the identity provider, not the CA; compare the clocks",
    "not-yet-valid": "this is the identity provider, not the CA; compare the clocks",
    "other": "this is the identity provider, not the CA; --oidc-root names a root to trust it by",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A way to the provider; ``trust`` decides who it is."""

    trust: "ssl.SSLContext" = field(repr=False)
    timeout: float = transport.TIMEOUT

    def read(self, url: str) -> dict[str, Any]:
        """The object at ``url``; raises Unreachable when there is none."""
        status, answer = self._call(url, "GET", None)
        if status != _OK:
            raise Unreachable(f"{url} answers with the HTTP status {status}", hint="is it the provider's URL?")
        return answer

    def post(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The status and the object with which ``url`` answers ``form``; raises Unreachable when that is no object."""
        return self._call(url, "POST", urlencode(form).encode())

    def _call(self, url: str, method: str, body: bytes | None) -> tuple[int, dict[str, Any]]:
        check_url(url)
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            answer = transport.call(
                f"https://{parts.netloc}",
                method,
                path,
                trust=self.trust,
                body=body,
                content_type=_FORM,
                timeout=self.timeout,
            )
        except Untrusted as error:
            error.hint = _UNTRUSTED[error.flaw]
            raise
        except Unreachable as error:
            error.hint = "this is the identity provider, not the CA; can this machine reach it?"
            raise
        if answer.status in _REDIRECTS:
            raise Unreachable(f"{url} redirects elsewhere, which is not followed", hint="name the final address")
        return answer.status, _object(answer, url)


def check_url(url: str, *, schemes: tuple[str, ...] = ("https",)) -> str:
    """``url``, which leads to a server by one of ``schemes``; raises Unreachable."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in schemes and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not _CHARACTERS.fullmatch(url):
        raise Unreachable(f"{url!r} is no URL of an identity provider", hint="they begin with https://")
    return url


def _object(answer: transport.Answer, url: str) -> dict[str, Any]:
    try:
        found = decode_json(answer.body)
    except MalformedRequest as error:
        found = error
    if not isinstance(found, dict):
        raise Unreachable(
            f"{url} does not answer as an OpenID provider does: no JSON object, HTTP status {answer.status}",
            hint="is it the provider's URL?",
        )
    return found
