"""The CA of this host, in this process: what ``Client`` is over HTTP, without a server in between.

The same requests go along the same line into the same store, and who asks has to prove the same. What is refused is
told with the reason that a client finds in the CA's log only: whoever can read the CA's keys may know.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from mica import __version__, client, logs
from mica.assembly import Assembly, divide
from mica.authority import Authority
from mica.cli.ca.local_ssh import LocalSSH
from mica.cli.ca.quiet import quiet
from mica.cli.console import progress
from mica.cli.errors import FileProblem
from mica.client import Identity, Issued, KeyProblem
from mica.clock import system_clock
from mica.config import Settings, SignerConfig, load
from mica.csr import decode_csr
from mica.errors import AlreadyRevoked, ConfigError, MicaError, Unavailable
from mica.hooks import Hooks
from mica.issuance import IssuedX509, sign_token
from mica.issuers import read_certificates
from mica.keyfiles import load_private_key
from mica.registry import Entry
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.sshissuance import IssuedSSH
from mica.web.errors import generic, status_of

_access = logging.getLogger("mica.access")
_NOT_FOUND = 404

Result = TypeVar("Result")
Verb = Callable[[Authority], Awaitable[Result]]


class Configured:
    """The CA as far as its configuration describes it: enough to make tokens, and no key of its own is opened."""

    def __init__(self, settings: Settings, entries: Iterable[Entry]) -> None:
        self.url = client.normalize(settings.url)
        self._settings = settings
        self._entries = tuple(entries)

    @classmethod
    def read(cls, path: Path) -> "Configured":
        """The CA that the file at ``path`` describes; raises FileProblem with every fault."""
        try:
            settings = load(path)
            assembly = Assembly(settings, Hooks(), system_clock)
            assembly.load_plugins({})
            entries = assembly.entries()
            if faults := [*settings.faults, *assembly.faults]:
                raise ConfigError(dict.fromkeys(faults))
        except ConfigError as error:
            raise _unusable(error, path) from error
        return cls(settings, entries)

    @property
    def root_fingerprint(self) -> str:
        """Hex SHA-256 of the first root; raises FileProblem."""
        try:
            signer, _ = divide(SignerConfig, self._settings.core.signers.get("x509", {}), "signers.x509")
            roots = (self._settings.directory / path for path in signer.roots)
            root, *_ = (root for path in roots for root in read_certificates(self._settings.files, path))
        except ConfigError as error:
            raise _unusable(error, self._settings.path) from error
        return root.fingerprint(hashes.SHA256()).hex()

    def provisioners(self) -> list[dict[str, Any]]:
        """Everybody who can vouch."""
        return [dict(entry.describe()) for entry in self._entries]

    def encrypted_key(self, kid: str) -> str:
        """The private key of a provisioner, encrypted; raises Refused."""
        for one in self.provisioners():
            key = one.get("key")
            if isinstance(key, dict) and key.get("kid") == kid and one.get("encryptedKey"):
                return str(one["encryptedKey"])
        raise client.Refused(f"no key is kept under the key id {kid}", status=_NOT_FOUND, explained=True)


class LocalCA(Configured):
    """The CA whose configuration is at ``path``, its keys open; see ``mica.client.CA``. Raises FileProblem.

    Each verb has the authority assembled and started for itself, and closed before it returns.
    """

    def __init__(self, path: Path, *, password: bytes | None) -> None:
        self._path = path
        self._password = password
        # What is wrong shows now, before anybody is asked for anything else.
        self._assembled: Authority | None = self._assemble()
        super().__init__(self._assembled.settings, self._assembled.provisioners)
        self._roots, self._federated = self._assembled.roots, self._assembled.federated_roots
        self._ssh = self._assembled.ssh

    def sign(
        self,
        csr_pem: str,
        token: str,
        *,
        not_before: datetime | timedelta | None = None,
        not_after: datetime | timedelta | None = None,
    ) -> Issued:
        """A certificate for the key of the CSR, as the one-time ``token`` orders it."""

        async def verb(authority: Authority) -> IssuedX509:
            request = SignRequest(csr=decode_csr(csr_pem), not_before=not_before, not_after=not_after)
            return await sign_token(authority, request, token)

        return _as_client_has_it(self._carry_out("/sign", verb))

    def renew(self, identity: Identity) -> Issued:
        """A certificate that continues ``identity``'s, whose key proves itself."""
        request = RenewRequest(certificate=_proved(identity))
        return _as_client_has_it(self._carry_out("/renew", lambda authority: renew(authority, request)))

    def renew_by_token(self, token: str) -> Issued:
        """A certificate that continues the one in the renew token's header."""
        return _as_client_has_it(self._carry_out("/renew", lambda authority: renew_by_token(authority, token)))

    def rekey(self, identity: Identity, csr_pem: str) -> Issued:
        """A certificate that continues ``identity``'s with the key of the CSR."""
        certificate = _proved(identity)

        async def verb(authority: Authority) -> IssuedX509:
            return await renew(authority, RenewRequest(certificate=certificate, csr=decode_csr(csr_pem)))

        return _as_client_has_it(self._carry_out("/rekey", verb))

    def revoke(
        self,
        serial_number: int,
        *,
        token: str = "",
        identity: Identity | None = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, by a token that orders it or by its own key; raises AlreadyRevoked."""
        request = RevokeRequest(serial_number=serial_number, reason_code=reason_code, reason=reason)
        certificate = None if identity is None else _proved(identity)

        async def verb(authority: Authority) -> None:
            if certificate is None:
                await revoke_by_token(authority, request, token)
            else:
                await revoke_by_certificate(authority, request, certificate)

        self._carry_out("/revoke", verb, serial=str(serial_number), reason_code=reason_code)

    def health(self) -> None:
        """The store opens, and the keys sign."""

        async def verb(_: Authority) -> None:
            return

        self._carry_out("/health", verb)

    def version(self) -> str:
        """The version of this program."""
        return __version__

    def roots(self) -> tuple[str, ...]:
        """The root certificates, PEM."""
        return tuple(map(_pem, self._roots))

    def federation(self) -> tuple[str, ...]:
        """The root certificates, its own and federated, PEM."""
        return tuple(map(_pem, dict.fromkeys((*self._roots, *self._federated))))

    @property
    def ssh(self) -> LocalSSH:
        """Its SSH half."""
        return LocalSSH(self._ssh, self._carry_out)

    def _assemble(self) -> Authority:
        try:
            return Authority.assemble(load(self._path, password=self._password))
        except ConfigError as error:
            raise _unusable(error, self._path) from error

    def _carry_out(self, path: str, verb: Verb[Result], **facts: object) -> Result:
        """What ``verb`` gives, with the request's own id, its line in the log, and its events told."""
        authority, self._assembled = self._assembled or self._assemble(), None
        with quiet(), progress("doing what the CA does"):
            return asyncio.run(_carried_out(authority, path, verb, facts))


async def _carried_out(authority: Authority, path: str, verb: Verb[Result], facts: dict[str, object]) -> Result:
    identifier, started = str(uuid4()), time.perf_counter()
    logs.request_id.set(identifier)
    status = 200
    try:
        await authority.start()
        result = await verb(authority)
        if isinstance(result, IssuedX509 | IssuedSSH):
            facts |= _facts(result)
        return result
    except MicaError as error:
        status = status_of(error).value
        facts["error"] = str(error)
        raise _told(error, identifier, authority.settings.path) from error
    finally:
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        line = logs.fields(method="offline", path=path, status=status, milliseconds=milliseconds, **facts)
        _access.log(logging.INFO if status < 400 else logging.WARNING, "request", extra=line)
        await authority.aclose()


def _facts(issued: IssuedX509 | IssuedSSH) -> dict[str, object]:
    issuance = issued.issuance
    return {
        "serial": str(issuance.id.serial_number),
        "subject": issuance.subject,
        "provisioner": issuance.provisioner.name,
        "names": issuance.names,
        "not_after": issuance.not_after.isoformat(),
    }


def _told(error: MicaError, request_id: str, path: Path) -> Exception:
    """``error`` as whoever asks a CA expects it."""
    if isinstance(error, ConfigError):
        return _unusable(error, path)
    if isinstance(error, Unavailable):
        return client.Unreachable(str(error))
    status = status_of(error)
    kind = client.AlreadyRevoked if isinstance(error, AlreadyRevoked) else client.Refused
    return kind(str(error) or generic(status), status=status.value, request_id=request_id, explained=True)


def _unusable(error: ConfigError, path: Path) -> FileProblem:
    return FileProblem("\n".join(error.faults), hint=f"{path} is the configuration; mica ca check says more")


def _proved(identity: Identity) -> x509.Certificate:
    """The certificate of ``identity``, whose key has signed something for us, as it would have in a TLS handshake."""
    try:
        certificate = x509.load_pem_x509_certificates(identity.certificates)[0]
        key = load_private_key(identity.key, None, where="the key of the certificate")
        theirs = certificate.public_key()
    except (ValueError, ConfigError) as error:
        raise KeyProblem(f"the certificate or its key cannot be read: {error}") from error
    # Ed25519 hashes for itself (RFC 8410 §3): naming a digest is an error.
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    if signed.public_key() != theirs or not signed.is_signature_valid:
        raise KeyProblem("the certificate and the key do not belong together")
    return certificate


def _as_client_has_it(issued: IssuedX509) -> Issued:
    certificates = map(x509.load_der_x509_certificate, (issued.certificate, *issued.chain))
    return Issued(chain=tuple(map(_pem, certificates)))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
