"""What every X.509 signer must do: a contract that a plugin's tests subclass.

class TestX509KeySigner(X509SignerContract):
    def build(self, context): return X509KeySigner(X509SignerConfig(), context)
"""

import asyncio
import logging
import subprocess
import threading
from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from mica.errors import ConfigError
from mica.pkix import SubjectPublicKey, TBSCertificate, encode_common_name, tbs_parts
from mica.roles import Context, SignerContext, Startable, X509Signer
from mica.testing.contexts import Clock, make_context
from mica.testing.issuers import Issuer, key_usage, make_ca
from mica.testing.remotekeys import RemoteKey
from mica.testing.secrecy import shows
from mica.testing.suspensions import cancelled_at_every_await
from mica.testing.untried import does_not_concern
from mica.testing.weakkeys import WEAK_PRIVATE_KEYS, weak_private_key


def make_signer_context(
    key: CertificateIssuerPrivateKeyTypes, *chain: x509.Certificate, blocking: bool = False
) -> SignerContext:
    """What a signer is given, with this key and chain."""
    context = make_context(Clock(), Path("/nonexistent"))
    outside = {f.name: getattr(context, f.name) for f in fields(Context)}
    return SignerContext(**outside, key=key, chain=chain, blocking=blocking)


def make_tbs(signer: X509Signer, serial_number: int = 1 << 100) -> TBSCertificate:
    """A certificate that only lacks ``signer``'s signature."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return TBSCertificate(
        serial_number=serial_number,
        signature=signer.algorithm,
        issuer=tbs_parts(signer.chain[0])[5],
        not_before=datetime(2031, 3, 14, tzinfo=UTC),
        not_after=datetime(2031, 3, 15, tzinfo=UTC),
        subject=encode_common_name("svc.example"),
        subject_public_key=SubjectPublicKey.of(key),
        extensions=(),
    )


async def assemble(signer: X509Signer, tbs: TBSCertificate) -> x509.Certificate:
    """The certificate with ``signer``'s signature, as pyca reads it."""
    return x509.load_der_x509_certificate(tbs.assemble(await signer.sign(tbs.der)))


async def beats_while(work: Awaitable[object]) -> int:
    """How often the event loop comes round, every five milliseconds, while ``work`` is done."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    heart = asyncio.create_task(beat())
    try:
        await work
    finally:
        heart.cancel()
    return beats


class X509SignerContract:
    """A signer signs exactly the octets it is given, as its algorithm says, with the key of its first certificate."""

    #: The kinds of issuer that it serves.
    algorithms: ClassVar[tuple[str, ...]] = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519")

    def build(self, context: SignerContext) -> X509Signer:
        """The signer under test."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "algorithm" in metafunc.fixturenames:
            metafunc.parametrize("algorithm", self.algorithms)
        if "weak" in metafunc.fixturenames:
            metafunc.parametrize("weak", [name for name in WEAK_PRIVATE_KEYS if name not in ("DSA", "Ed448")])

    @pytest.fixture
    def issuer(self, algorithm: str) -> Issuer:
        return make_ca("Intermediate", algorithm=algorithm, issuer=make_ca("Root", algorithm=algorithm))

    @pytest_asyncio.fixture
    async def signer(self, issuer: Issuer) -> X509Signer:
        return await _started(self.build(make_signer_context(issuer.key, issuer.certificate)))

    @pytest.fixture
    def remote(self) -> RemoteKey:
        """A key that is elsewhere. A signer of other kinds of keys is not asked about it."""
        if "EC-P256" not in self.algorithms:
            does_not_concern("it serves no keys on P-256")
        return RemoteKey()

    @pytest.mark.asyncio
    async def test_its_chain_is_the_one_it_was_given(self, signer: X509Signer, issuer: Issuer) -> None:
        assert signer.chain == (issuer.certificate,)

    @pytest.mark.asyncio
    async def test_what_it_signs_verifies_under_its_first_certificate(self, signer: X509Signer) -> None:
        (await assemble(signer, make_tbs(signer))).verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_its_signature_covers_every_octet(self, signer: X509Signer) -> None:
        tbs = make_tbs(signer)
        signature = await signer.sign(tbs.der)
        other = make_tbs(signer, serial_number=tbs.serial_number + 1)
        forged = x509.load_der_x509_certificate(other.assemble(signature))
        with pytest.raises(InvalidSignature):
            forged.verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_its_algorithm_is_the_one_that_pyca_names(self, signer: X509Signer, issuer: Issuer) -> None:
        # pyca's builder signed the issuer's certificate with a key of the same kind.
        assert signer.algorithm == tbs_parts(issuer.certificate)[2]

    @pytest.mark.asyncio
    async def test_concurrent_signatures_do_not_mix(self, signer: X509Signer) -> None:
        orders = [make_tbs(signer, serial_number=(1 << 100) + n) for n in range(20)]
        for certificate in await asyncio.gather(*(assemble(signer, tbs) for tbs in orders)):
            certificate.verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_a_key_that_is_not_the_certificates_is_refused(self, algorithm: str, issuer: Issuer) -> None:
        stranger = make_ca("Stranger", algorithm=algorithm)
        with pytest.raises(ConfigError):
            self.build(make_signer_context(stranger.key, issuer.certificate))

    @pytest.mark.asyncio
    async def test_a_key_of_another_kind_is_refused(self, algorithm: str, issuer: Issuer) -> None:
        stranger = make_ca("Stranger", algorithm="Ed25519" if algorithm != "Ed25519" else "EC-P256")
        with pytest.raises(ConfigError):
            self.build(make_signer_context(stranger.key, issuer.certificate))

    @pytest.mark.asyncio
    async def test_a_certificate_that_is_no_ca_is_refused(self, algorithm: str) -> None:
        leaf = make_ca(algorithm=algorithm, basic_constraints=x509.BasicConstraints(ca=False, path_length=None))
        with pytest.raises(ConfigError):
            self.build(make_signer_context(leaf.key, leaf.certificate))

    @pytest.mark.asyncio
    async def test_a_ca_that_may_not_sign_certificates_is_refused(self, algorithm: str) -> None:
        ca = make_ca(algorithm=algorithm, usage=key_usage("crl_sign"))
        with pytest.raises(ConfigError):
            self.build(make_signer_context(ca.key, ca.certificate))

    @pytest.mark.asyncio
    async def test_a_chain_out_of_order_is_refused(self, algorithm: str) -> None:
        root = make_ca("Root", algorithm=algorithm)
        upper = make_ca("Upper", algorithm=algorithm, issuer=root)
        lower = make_ca("Lower", algorithm=algorithm, issuer=upper)
        assert self.build(make_signer_context(lower.key, lower.certificate, upper.certificate)).chain[1:]
        for chain in (
            (upper.certificate, lower.certificate),
            (lower.certificate, root.certificate),
            (lower.certificate, make_ca("Upper", key=root.key, issuer=root).certificate),
            (),
        ):
            with pytest.raises(ConfigError):
                self.build(make_signer_context(lower.key, *chain))

    @pytest.mark.asyncio
    async def test_openssl_believes_its_signatures(self, signer: X509Signer, issuer: Issuer, tmp_path: Path) -> None:
        for name, certificate in {
            "issuer": issuer.certificate,
            "leaf": await assemble(signer, make_tbs(signer)),
        }.items():
            (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
        command = ["openssl", "verify", "-partial_chain", "-no_check_time", "-trusted", "issuer", "leaf"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.endswith("leaf: OK\n"), done.stderr

    @pytest.mark.asyncio
    async def test_a_weak_key_is_no_issuers(self, weak: str) -> None:
        ca = make_ca(key=weak_private_key(weak))  # type: ignore[arg-type]
        with pytest.raises(ConfigError) as caught:
            self.build(make_signer_context(ca.key, ca.certificate))
        assert not shows(str(caught.value), ca.key)

    @pytest.mark.asyncio
    async def test_nothing_that_it_shows_or_logs_is_secret(
        self, issuer: Issuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            context = make_signer_context(issuer.key, issuer.certificate)
            signer = await _started(self.build(context))
            await signer.sign(make_tbs(signer).der)
            with pytest.raises(ConfigError) as caught:
                self.build(make_signer_context(issuer.key, make_ca("Another").certificate))
        for shown in (repr(context), repr(signer), str(signer), repr(caught.value), caplog.text):
            assert not shows(shown, issuer.key)

    @pytest.mark.asyncio
    async def test_a_key_that_waits_is_asked_in_a_thread_while_the_loop_goes_on(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        remote.threads.clear()
        assert await beats_while(signer.sign(make_tbs(signer).der)) >= 2
        assert threading.get_ident() not in remote.threads

    @pytest.mark.asyncio
    async def test_concurrent_signatures_of_a_key_that_waits_do_not_mix(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        orders = [make_tbs(signer, serial_number=(1 << 100) + n) for n in range(20)]
        for certificate in await asyncio.gather(*(assemble(signer, tbs) for tbs in orders)):
            certificate.verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_whoever_leaves_while_it_signs_harms_nobody(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        sign: Callable[[int], Awaitable[bytes]] = lambda at: signer.sign(make_tbs(signer).der)  # noqa: E731
        async for task in cancelled_at_every_await(sign):
            assert task.cancelled() or task.exception() is None
            (await assemble(signer, make_tbs(signer))).verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_a_key_that_is_away_for_a_while_signs_again(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        remote.away = True
        with pytest.raises(Exception):  # noqa: B017 — the core takes any for a refusal
            await signer.sign(make_tbs(signer).der)
        remote.away = False
        (await assemble(signer, make_tbs(signer))).verify_directly_issued_by(signer.chain[0])

    @pytest.mark.asyncio
    async def test_a_key_whose_signatures_do_not_verify_keeps_it_from_starting(self, remote: RemoteKey) -> None:
        remote.broken = True
        with pytest.raises(Exception):  # noqa: B017 — "any exception means not yet"
            await self._of(remote)

    @pytest.mark.asyncio
    async def test_before_it_is_asked_it_signs_nothing_that_could_be_a_certificate(self, remote: RemoteKey) -> None:
        await self._of(remote)
        # TBSCertificate and TBSCertList are SEQUENCEs (RFC 5280 §4.1, §5.1), ResponseData too (RFC 6960 §4.2.1).
        assert [octets for octets in remote.signed if octets[:1] == b"\x30"] == []

    @pytest.mark.asyncio
    async def test_it_asks_its_key_for_one_signature_over_the_octets_as_they_are(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        before, tbs = len(remote.signed), make_tbs(signer).der
        await signer.sign(tbs)
        assert remote.signed[before:] == [tbs]

    async def _of(self, remote: RemoteKey) -> X509Signer:
        """The signer, started, of an issuer whose key is elsewhere."""
        ca = make_ca(key=remote, issuer=make_ca("Root"))
        return await _started(self.build(make_signer_context(remote, ca.certificate, blocking=True)))


async def _started(signer: X509Signer) -> X509Signer:
    if isinstance(signer, Startable):
        await signer.start()
    return signer
