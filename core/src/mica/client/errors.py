"""What a client of the CA can meet.

ClientError
├── Unreachable           nobody answers, or not in time
│   ├── Untrusted         what answers cannot prove that it is the CA
│   └── NotTheCA          what answers does not speak as a CA does
├── Refused               the CA answered no
│   ├── AlreadyRevoked    the certificate that was to be revoked has been
│   └── IdentityRejected  it would not even shake hands with this client certificate
└── KeyProblem            the key that signs tokens cannot be used
"""

from datetime import datetime
from typing import Literal

Flaw = Literal["wrong-root", "wrong-host", "expired", "not-yet-valid", "other"]


class ClientError(Exception):
    """The root. The message gives rule and place, ``hint`` the remedy."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class Unreachable(ClientError):
    """Nobody answers at that address, or not in time."""


class Untrusted(Unreachable):
    """The server's certificate does not prove that it is the CA; ``flaw`` tells what is wrong with it."""

    def __init__(self, message: str, *, flaw: Flaw, hint: str = "") -> None:
        self.flaw = flaw
        super().__init__(message, hint=hint)


class NotTheCA(Unreachable):
    """Something answers, but not as a CA does: a proxy's page, another service."""


class Refused(ClientError):
    """The CA answered no, with a ``status`` and a message, under ``request_id``; ``date`` is its clock's time.

    ``explained`` means that the message has the whole reason, as the CA's log has it; by HTTP it often has not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request_id: str = "",
        date: datetime | None = None,
        hint: str = "",
        explained: bool = False,
    ) -> None:
        self.status = status
        self.request_id = request_id
        self.date = date
        self.explained = explained
        super().__init__(message, hint=hint)


class AlreadyRevoked(Refused):
    """The certificate that was to be revoked has been revoked before: what was wanted is so."""


class IdentityRejected(Refused):
    """The TLS handshake failed on the client certificate, so that no request was made; ``status`` is 0."""


class KeyProblem(ClientError):
    """The key that signs tokens cannot be read, decrypted or used."""
