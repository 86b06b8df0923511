"""The server's side of TLS: its context, and its own certificate, which it renews while it serves."""

import asyncio
import logging
import secrets
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from mica.issuance import IssuedX509
from mica.web.answers import pem

_log = logging.getLogger("mica.tls")
_RANDOM = secrets.SystemRandom()

#: The server's key is always on P-256, so these suffice whatever the issuer's algorithm.
_TLS_1_2_SUITES = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
_RETRY = timedelta(minutes=1)
#: The clock is looked at this often, so that a machine that slept notices in time.
_LOOK = 30.0


class AlertingSSLObject(ssl.SSLObject):
    """Tells a client why its handshake failed. Event loops close the connection with the alert still in the buffer."""

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """As the base class; but after a failure it wants to read once, which makes the loop write what is there."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            raise ssl.SSLWantReadError from error


def server_context(clients_trust: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """A context that asks for a client certificate and takes none; one that does not verify ends the handshake.

    Sessions are not resumed in TLS 1.3. In TLS 1.2 they may be, by id; ``protocol`` gives those no identity.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = AlertingSSLObject
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_SUITES)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.load_verify_locations(cadata=b"".join(cert.public_bytes(Encoding.DER) for cert in clients_trust))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate is a trust anchor of its own
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@dataclass(kw_only=True)
class ServerCertificate:
    """The server's own certificate, in ``context`` for every handshake to come."""

    context: ssl.SSLContext
    issue: Callable[[ec.EllipticCurvePrivateKey], Awaitable[IssuedX509]]
    now: Callable[[], datetime]
    due: datetime | None = None
    """When to renew: after two thirds of the lifetime, give or take a twentieth, so that workers do not go together."""

    async def obtain(self) -> None:
        """New handshakes show a new certificate, with a new key; established connections go on."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = await self.issue(key)
        load_certificate(self.context, key, (issued.certificate, *issued.chain))
        issuance = issued.issuance
        lifetime = issuance.not_after - issuance.not_before
        self.due = issuance.not_before + lifetime * (2 / 3 + _RANDOM.uniform(-1, 1) / 20)
        facts = {"serial": str(issuance.id.serial_number), "not_after": issuance.not_after.isoformat()}
        _log.info("the server has a new certificate", extra={"fields": facts})

    async def keep_current(self) -> NoReturn:
        """For ever: the certificate is renewed when due; on failure again each minute, and the old one stays."""
        while True:
            await asyncio.sleep(_LOOK)
            if self.due is not None and self.now() < self.due:
                continue
            try:
                await self.obtain()
            except Exception:  # a plugin's failure as well as ours: the next attempt may succeed
                _log.exception("the server's certificate could not be renewed; trying again in a minute")
                self.due = self.now() + _RETRY


def load_certificate(context: ssl.SSLContext, key: ec.EllipticCurvePrivateKey, chain: Iterable[bytes]) -> None:
    """Handshakes from now on show this key and chain (leaf first, DER).

    OpenSSL reads keys from a file only. It is unlinked at once, and the key in it is encrypted with a password that
    exists in memory only. (memfd would do without a file, but /proc/self is closed to a process that is not dumpable.)
    """
    password = secrets.token_hex(32).encode()
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.NamedTemporaryFile(prefix="mica-tls-") as file:  # mode 0600
        file.write(b"".join((*(pem(der).encode() for der in chain), encrypted)))
        file.flush()
        context.load_cert_chain(file.name, password=password)
