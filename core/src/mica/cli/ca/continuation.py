"""A certificate that continues another: what the CA is asked, and which files come of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cryptography import x509

from mica.cli.ca import csrs
from mica.cli.ca.connection import Connection
from mica.cli.ca.delivery import accept
from mica.cli.ca.diagnosis import diagnosed_renewal
from mica.cli.ca.identities import Holder
from mica.cli.ca.pairs import Opened
from mica.cli.errors import FileProblem
from mica.cli.keys import key_pem, same_kind
from mica.cli.renewal import pairfiles
from mica.client import IdentityRejected, Issued, renewtoken
from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """A new certificate that is in no file yet."""

    leaf: x509.Certificate
    pem: bytes
    certificate: Path
    key: Path | None = None
    key_pem: bytes = field(default=b"", repr=False)
    """What ``key`` is to hold, when there is a new key."""

    def save(self) -> None:
        """The files hold it; raises FileProblem."""
        if self.key is None:
            pairfiles.replace_certificate(self.certificate, self.pem)
        else:
            pairfiles.replace(self.certificate, self.pem, self.key, self.key_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The same key in a new certificate."""

    target: Path
    mtls: bool
    done: ClassVar[str] = "renewed"

    @property
    def outputs(self) -> list[Path]:
        """The certificate."""
        return [self.target]

    def check(self, opened: Opened) -> None:
        """It is a client's certificate; raises FileProblem."""
        opened.check_fit()

    def make(self, connection: Connection, opened: Opened) -> Continued:
        """By mutual TLS where that can be, else by token; raises ClientError."""
        issued = ask(connection, opened.holder, mtls=self.mtls)
        leaf = accept(issued, opened.holder.certificate.public_key())
        return Continued(leaf=leaf, pem=issued.pem, certificate=self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeying:
    """A new key in a new certificate; or, with ``brought``, a key that somebody else made and keeps."""

    certificate: Path
    key: Path
    algorithm: str | None = None
    """What to make, as ``keyfiles.generate`` calls it; else a key of the old one's kind."""
    password: bytes | None = field(default=None, repr=False)
    """What to encrypt the new key with; else it is as the old one."""
    brought: PrivateKey | None = field(default=None, repr=False)
    done: ClassVar[str] = "rekeyed"

    @property
    def outputs(self) -> list[Path]:
        """Both files; the certificate alone when the key is somebody else's."""
        return [self.certificate] if self.brought else [self.key, self.certificate]

    def check(self, opened: Opened) -> None:
        """It is a client's certificate, and alive: there is no token for a new key. Raises FileProblem."""
        opened.check_fit()
        if opened.holder.expired:
            raise FileProblem(
                f"{opened.holder.path}: cannot rekey an expired certificate", hint="get one with mica ca certificate"
            )

    def make(self, connection: Connection, opened: Opened) -> Continued:
        """By mutual TLS; raises ClientError."""
        key = self.brought or generate(self.algorithm or same_kind(opened.holder.key))
        request = csrs.make(key, "", ())
        issued = ask(connection, opened.holder, request=request)
        leaf = accept(issued, request.public_key)
        if self.brought is not None:
            return Continued(leaf=leaf, pem=issued.pem, certificate=self.certificate)
        secret = key_pem(key, self.password or opened.password)
        return Continued(leaf=leaf, pem=issued.pem, certificate=self.certificate, key=self.key, key_pem=secret)


def ask(connection: Connection, holder: Holder, *, request: csrs.Request | None = None, mtls: bool = True) -> Issued:
    """What continues ``holder``'s certificate, for the key of ``request`` or for its own; raises ClientError."""
    with diagnosed_renewal():
        if request is not None:
            return connection.client.rekey(holder.identity, request.pem)
        # An expired certificate fails in the TLS handshake, be it by the CA's clock; by token, the CA may accept it.
        if mtls and not holder.expired:
            try:
                return connection.client.renew(holder.identity)
            except IdentityRejected:
                pass
        token = renewtoken.make(connection.url, holder.chain, holder.key, not_before=system_clock())
        return connection.client.renew_by_token(token)
