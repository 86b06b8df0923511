"""The server's own certificate: renewed in time, kept when renewal fails, its key never in the clear on disk."""

import asyncio
import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from mica.errors import Unavailable
from mica.issuance import IssuedX509
from mica.records import MICA, CertificateId, CertificateKind, Issuance
from mica.web import tls
from mica.web.tls import ServerCertificate, load_certificate, server_context

DAY = timedelta(days=1)


class Issuer:
    """Issues self-signed certificates for a day, while it works."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.works = True
        self.issued: list[x509.Certificate] = []

    async def issue(self, key: ec.EllipticCurvePrivateKey) -> IssuedX509:
        if not self.works:
            raise Unavailable("the store does not answer")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca.example")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + DAY)
            .sign(key, hashes.SHA256())
        )
        self.issued.append(certificate)
        der = certificate.public_bytes(Encoding.DER)
        issuance = Issuance(
            id=CertificateId(kind=CertificateKind.X509, issuer=bytes(32), serial_number=certificate.serial_number),
            certificate=der,
            provisioner=MICA,
            subject="CN=ca.example",
            names=(),
            not_before=self.now,
            not_after=self.now + DAY,
            issued_at=self.now,
        )
        return IssuedX509(certificate=der, chain=(), issuance=issuance)


def shown(context: ssl.SSLContext) -> x509.Certificate:
    """The certificate that a handshake shows, both ends in memory."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = client_context.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    der = client.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


@pytest.fixture
async def certificate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tls, "_LOOK", 0.001)
    issuer = Issuer()
    trust = (await issuer.issue(ec.generate_private_key(ec.SECP256R1()))).certificate
    issuer.issued.clear()
    context = server_context([x509.load_der_x509_certificate(trust)])
    certificate = ServerCertificate(context=context, issue=issuer.issue, now=lambda: issuer.now)
    await certificate.obtain()
    keeping = asyncio.create_task(certificate.keep_current())
    yield certificate, issuer
    keeping.cancel()


async def looks() -> None:
    """The clock has been looked at several times."""
    await asyncio.sleep(0.1)


async def test_it_is_renewed_after_two_thirds_of_its_lifetime_give_or_take_a_twentieth(certificate: Any) -> None:
    server, issuer = certificate
    first = shown(server.context)
    assert DAY * (2 / 3 - 1 / 20) <= server.due - issuer.now <= DAY * (2 / 3 + 1 / 20)
    issuer.now += DAY * 0.6
    await looks()
    assert len(issuer.issued) == 1
    issuer.now += DAY * 0.12
    await looks()
    assert len(issuer.issued) == 2
    second = shown(server.context)
    assert second == issuer.issued[1] and second.public_key() != first.public_key()


async def test_a_renewal_that_fails_keeps_the_old_one_and_is_tried_again(certificate: Any, caplog: Any) -> None:
    server, issuer = certificate
    first = shown(server.context)
    issuer.works = False
    issuer.now += DAY * 0.8
    await looks()
    assert shown(server.context) == first
    assert caplog.messages.count("the server's certificate could not be renewed; trying again in a minute") == 1
    issuer.works = True
    await looks()
    assert len(issuer.issued) == 1
    issuer.now += timedelta(minutes=1)
    await looks()
    assert shown(server.context) == issuer.issued[1]


def test_the_key_is_on_disk_for_a_moment_encrypted_and_for_its_owner() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    seen = []

    class Watching(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
            path = Path(certfile)
            seen.append((path, path.stat(), path.read_bytes(), password))

    load_certificate(Watching(ssl.PROTOCOL_TLS_SERVER), key, [b"certificate"])
    ((path, status, contents, password),) = seen
    assert not path.exists()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in contents and b"PRIVATE KEY" not in contents.replace(b"ENCRYPTED PRIVATE", b"")
    read = load_pem_private_key(contents[contents.index(b"-----BEGIN ENCRYPTED") :], password)
    assert read.public_key() == key.public_key()
