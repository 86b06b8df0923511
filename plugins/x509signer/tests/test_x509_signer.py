"""The X.509 signer keeps the contract, and openssl believes its signatures."""

import asyncio
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mica import ConfigError, SignerContext, Startable, Unavailable
from mica.testing.issuers import Digest, Issuer, make_ca
from mica.testing.signers import X509SignerContract, assemble, make_signer_context, make_tbs
from mica_x509signer import register_x509_signers
from mica_x509signer.signer import X509KeySigner, X509SignerConfig


def build(issuer: Issuer) -> X509KeySigner:
    return X509KeySigner(X509SignerConfig(), make_signer_context(issuer.key, issuer.certificate))


class TestX509KeySigner(X509SignerContract):
    def build(self, context: SignerContext) -> X509KeySigner:
        (kind,) = register_x509_signers()
        signer = kind.build(kind.config(), context)
        assert isinstance(signer, X509KeySigner)
        return signer

    async def test_openssl_verifies_its_certificates(self, issuer: Issuer, tmp_path: Path) -> None:
        signer = build(issuer)
        certificate = await assemble(signer, make_tbs(signer))
        (tmp_path / "issuer").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
        (tmp_path / "leaf").write_bytes(certificate.public_bytes(Encoding.PEM))
        command: list[str | Path] = [
            "openssl",
            "verify",
            "-partial_chain",
            "-no_check_time",
            "-trusted",
            tmp_path / "issuer",
            tmp_path / "leaf",
        ]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.endswith("leaf: OK\n")


class RemoteKey(ec.EllipticCurvePrivateKey):
    """A key of a backend that waits for another machine: it subclasses pyca's ABC and forwards ``sign``."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.key = key
        self.threads: set[int] = set()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self.threads.add(threading.get_ident())
        time.sleep(0.05)
        return self.key.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.key.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.key.curve

    @property
    def key_size(self) -> int:
        return self.key.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise PermissionError("this key signs only")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise PermissionError("this key does not leave its machine")

    def private_bytes(self, *arguments: Any) -> bytes:
        raise PermissionError("this key does not leave its machine")

    def __copy__(self) -> "RemoteKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "RemoteKey":
        return self


def remote(issuer: Issuer, key: ec.EllipticCurvePrivateKey) -> tuple[X509KeySigner, RemoteKey]:
    key = RemoteKey(key)
    return X509KeySigner(X509SignerConfig(), make_signer_context(key, issuer.certificate, blocking=True)), key


@pytest.fixture
def issuer() -> Issuer:
    return make_ca()


def ec_key(issuer: Issuer) -> ec.EllipticCurvePrivateKey:
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    return issuer.key


async def test_a_key_that_blocks_is_asked_in_a_thread_while_the_loop_goes_on(issuer: Issuer) -> None:
    signer, key = remote(issuer, ec_key(issuer))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    heart = asyncio.create_task(beat())
    certificate = await assemble(signer, make_tbs(signer))
    heart.cancel()
    certificate.verify_directly_issued_by(issuer.certificate)
    assert beats >= 2
    assert threading.get_ident() not in key.threads


async def test_a_key_in_the_process_is_asked_on_the_loop(issuer: Issuer) -> None:
    key = RemoteKey(ec_key(issuer))
    signer = X509KeySigner(X509SignerConfig(), make_signer_context(key, issuer.certificate))
    await signer.sign(b"octets")
    assert key.threads == {threading.get_ident()}


async def test_a_key_whose_signatures_do_not_verify_keeps_it_from_starting(issuer: Issuer) -> None:
    signer, key = remote(issuer, ec_key(issuer))
    assert isinstance(signer, Startable)
    await signer.start()
    key.key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Unavailable, match="do not verify"):
        await signer.start()


async def test_the_probe_can_never_be_a_certificate(issuer: Issuer) -> None:
    signed: list[bytes] = []

    class Recorder(RemoteKey):
        def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
            signed.append(bytes(data))
            return super().sign(data, signature_algorithm)

    context = make_signer_context(Recorder(ec_key(issuer)), issuer.certificate)
    await X509KeySigner(X509SignerConfig(), context).start()
    assert [octets[0] for octets in signed] != [0x30]


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
async def test_an_rsa_issuer_signs_with_the_hash_that_signed_it(digest: Digest) -> None:
    signer = build(make_ca(algorithm="RSA-2048", digest=digest))
    certificate = await assemble(signer, make_tbs(signer))
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == digest.name


async def test_an_rsa_issuer_below_an_ec_root_signs_with_sha256() -> None:
    signer = build(make_ca(algorithm="RSA-2048", issuer=make_ca(algorithm="EC-P384"), digest=hashes.SHA384()))
    certificate = await assemble(signer, make_tbs(signer))
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"


def test_a_short_rsa_issuer_is_refused() -> None:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ConfigError, match="2048 bits"):
        build(make_ca(key=key))


def test_an_issuer_on_another_curve_is_refused() -> None:
    with pytest.raises(ConfigError, match="P-256"):
        build(make_ca(key=ec.generate_private_key(ec.SECP256K1())))


def test_every_fault_of_a_chain_is_reported() -> None:
    leaf = make_ca("Leaf", basic_constraints=x509.BasicConstraints(ca=False, path_length=None))
    with pytest.raises(ConfigError) as caught:
        X509KeySigner(X509SignerConfig(), make_signer_context(leaf.key, leaf.certificate, make_ca("Other").certificate))
    assert len(caught.value.faults) == 2
