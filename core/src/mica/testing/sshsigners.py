"""What every SSH signer must do: a contract that a plugin's tests subclass.

class TestSSHKeySigner(SSHSignerContract):
    def build(self, context): return SSHKeySigner(SSHSignerSettings(), context)
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import SSHCertificate as PycaCertificate
from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, generate
from mica.roles import Context, SSHKey, SSHSigner, SSHSignerContext, Startable
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshkeys import KeyLine, SSHPublicKey
from mica.sshsignatures import BadSignature, algorithm_of
from mica.testing.contexts import Clock, make_context
from mica.testing.remotekeys import RemoteKey
from mica.testing.secrecy import shows
from mica.testing.signers import beats_while
from mica.testing.suspensions import cancelled_at_every_await
from mica.testing.untried import does_not_concern
from mica.testing.weakkeys import WEAK_PRIVATE_KEYS, weak_private_key


def make_ssh_signer_context(
    keys: Mapping[CertType, CertificateIssuerPrivateKeyTypes],
    directory: Path = Path("/nonexistent"),
    *,
    blocking: bool = False,
) -> SSHSignerContext:
    """What a signer is given, with these keys, in this folder."""
    context = make_context(Clock(), directory)
    outside = {f.name: getattr(context, f.name) for f in fields(Context)}
    held = {cert_type: SSHKey(key=key, blocking=blocking) for cert_type, key in keys.items()}
    return SSHSignerContext(**outside, keys=held)


def make_ssh_tbs(signer: SSHSigner, cert_type: CertType = CertType.USER, serial: int = 1 << 60) -> TBSSSHCertificate:
    """A certificate that only lacks ``signer``'s signature."""
    return TBSSSHCertificate(
        nonce=b"n" * 32,
        public_key=SSHPublicKey.of(generate("Ed25519").public_key()),
        serial=serial,
        cert_type=cert_type,
        key_id="alice@example",
        valid_principals=("alice",),
        valid_after=datetime(2031, 3, 14, tzinfo=UTC),
        valid_before=datetime(2031, 3, 15, tzinfo=UTC),
        signature_key=signer.authority_keys(cert_type)[0],
    )


async def assemble(signer: SSHSigner, tbs: TBSSSHCertificate) -> SSHCertificate:
    """The certificate with ``signer``'s signature."""
    return SSHCertificate.decode(tbs.assemble(await signer.sign(tbs.wire, tbs.cert_type)))


class SSHSignerContract:
    """A signer signs exactly the octets it is given, with the first of the keys that it names for their type."""

    #: The kinds of key that it serves.
    algorithms: ClassVar[tuple[str, ...]] = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519")

    def build(self, context: SSHSignerContext) -> SSHSigner:
        """The signer under test."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "algorithm" in metafunc.fixturenames:
            metafunc.parametrize("algorithm", self.algorithms)
        if "weak" in metafunc.fixturenames:
            metafunc.parametrize("weak", WEAK_PRIVATE_KEYS)

    @pytest.fixture
    def keys(self, algorithm: str) -> dict[CertType, PrivateKey]:
        return {cert_type: _key(algorithm, cert_type) for cert_type in CertType}

    @pytest_asyncio.fixture
    async def signer(self, keys: dict[CertType, PrivateKey]) -> SSHSigner:
        return await _started(self.build(make_ssh_signer_context(keys)))

    @pytest.fixture
    def remote(self) -> RemoteKey:
        """A key that is elsewhere. A signer of other kinds of keys is not asked about it."""
        if "EC-P256" not in self.algorithms:
            does_not_concern("it serves no keys on P-256")
        return RemoteKey()

    @pytest.mark.asyncio
    async def test_the_first_key_of_each_type_is_the_one_it_was_given(
        self, signer: SSHSigner, keys: dict[CertType, PrivateKey]
    ) -> None:
        for cert_type, key in keys.items():
            first = signer.authority_keys(cert_type)[0]
            assert first == SSHPublicKey.of(key.public_key()), (
                f"authority_keys({cert_type}) must begin with its own key"
            )

    @pytest.mark.parametrize("cert_type", CertType)
    @pytest.mark.asyncio
    async def test_what_it_signs_verifies_by_pyca(self, signer: SSHSigner, cert_type: CertType) -> None:
        certificate = await assemble(signer, make_ssh_tbs(signer, cert_type))
        algorithm = algorithm_of(signer.authority_keys(cert_type)[0])
        assert certificate.signature.algorithm == algorithm, f"the signature must say that it is {algorithm}"
        line = KeyLine(key_type=certificate.tbs.type, blob=certificate.blob).format()
        theirs = load_ssh_public_identity(line.encode())
        assert isinstance(theirs, PycaCertificate)
        theirs.verify_cert_signature()

    @pytest.mark.asyncio
    async def test_its_signature_covers_every_octet(self, signer: SSHSigner) -> None:
        tbs = make_ssh_tbs(signer)
        signature = await signer.sign(tbs.wire, tbs.cert_type)
        other = make_ssh_tbs(signer, serial=tbs.serial + 1)
        with pytest.raises(BadSignature):
            SSHCertificate.decode(other.assemble(signature)).check_signature()

    @pytest.mark.asyncio
    async def test_the_key_of_one_type_does_not_sign_for_the_other(self, signer: SSHSigner) -> None:
        tbs = make_ssh_tbs(signer, CertType.USER)
        signature = await signer.sign(tbs.wire, CertType.HOST)
        with pytest.raises(BadSignature):
            SSHCertificate.decode(tbs.assemble(signature)).check_signature()
            pytest.fail("asked to sign for hosts, it signs with the key for users; go by cert_type")

    @pytest.mark.asyncio
    async def test_concurrent_signatures_do_not_mix(self, signer: SSHSigner) -> None:
        orders = [make_ssh_tbs(signer, CertType(1 + n % 2), serial=n + 1) for n in range(20)]
        for certificate in await asyncio.gather(*(assemble(signer, tbs) for tbs in orders)):
            certificate.check_signature()

    @pytest.mark.asyncio
    async def test_a_type_without_a_key_is_not_signed(self, algorithm: str) -> None:
        signer = self.build(make_ssh_signer_context({CertType.HOST: generate(algorithm)}))
        assert signer.authority_keys(CertType.USER) == (), "authority_keys of a type without a key must be empty"
        tbs = make_ssh_tbs(signer, CertType.HOST)
        with pytest.raises(LookupError):
            await signer.sign(tbs.wire, CertType.USER)

    @pytest.mark.asyncio
    async def test_one_key_for_users_and_hosts_is_refused(self, algorithm: str) -> None:
        key = generate(algorithm)
        with pytest.raises(ConfigError):
            self.build(make_ssh_signer_context(dict.fromkeys(CertType, key)))

    @pytest.mark.parametrize("cert_type", CertType)
    @pytest.mark.asyncio
    async def test_a_weak_key_is_no_cas(self, weak: str, cert_type: CertType) -> None:
        with pytest.raises(ConfigError) as caught:
            self.build(make_ssh_signer_context({cert_type: weak_private_key(weak)}))  # type: ignore[dict-item]
        assert not shows(str(caught.value), weak_private_key(weak))

    @pytest.mark.asyncio
    async def test_nothing_that_it_shows_or_logs_is_secret(
        self, keys: dict[CertType, PrivateKey], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            context = make_ssh_signer_context(keys)
            signer = await _started(self.build(context))
            await assemble(signer, make_ssh_tbs(signer))
            with pytest.raises(ConfigError) as caught:
                self.build(make_ssh_signer_context(dict.fromkeys(CertType, keys[CertType.USER])))
        for shown in (repr(context), repr(signer), str(signer), repr(caught.value), caplog.text):
            assert not any(shows(shown, key) for key in keys.values())

    @pytest.mark.asyncio
    async def test_a_key_that_waits_is_asked_in_a_thread_while_the_loop_goes_on(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        remote.threads.clear()
        beats = await beats_while(signer.sign(make_ssh_tbs(signer).wire, CertType.USER))
        assert beats >= 2 and threading.get_ident() not in remote.threads, (
            "a key that waits (context.keys[…].blocking) is asked on the event loop; use asyncio.to_thread"
        )

    @pytest.mark.asyncio
    async def test_concurrent_signatures_of_a_key_that_waits_do_not_mix(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        orders = [make_ssh_tbs(signer, serial=n + 1) for n in range(20)]
        for certificate in await asyncio.gather(*(assemble(signer, tbs) for tbs in orders)):
            certificate.check_signature()

    @pytest.mark.asyncio
    async def test_whoever_leaves_while_it_signs_harms_nobody(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        sign: Callable[[int], Awaitable[bytes]] = lambda at: signer.sign(make_ssh_tbs(signer).wire, CertType.USER)  # noqa: E731
        async for task in cancelled_at_every_await(sign):
            assert task.cancelled() or task.exception() is None
            (await assemble(signer, make_ssh_tbs(signer))).check_signature()

    @pytest.mark.asyncio
    async def test_a_key_that_is_away_for_a_while_signs_again(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        remote.away = True
        with pytest.raises(Exception):  # noqa: B017 — the core takes any for a refusal
            await signer.sign(make_ssh_tbs(signer).wire, CertType.USER)
        remote.away = False
        (await assemble(signer, make_ssh_tbs(signer))).check_signature()

    @pytest.mark.asyncio
    async def test_a_key_whose_signatures_do_not_verify_keeps_it_from_starting(self, remote: RemoteKey) -> None:
        remote.broken = True
        with pytest.raises(Exception):  # noqa: B017 — "any exception means not yet"
            await self._of(remote)

    @pytest.mark.asyncio
    async def test_before_it_is_asked_it_signs_nothing_that_ssh_could_believe(self, remote: RemoteKey) -> None:
        await self._of(remote)
        # Certificates, KRLs and challenges begin with a string, or with the magic word of a file or signature.
        for octets in remote.signed:
            assert int.from_bytes(octets[:4], "big") > len(octets)
            assert not octets.startswith((b"SSHSIG", b"SSHKRL"))

    @pytest.mark.asyncio
    async def test_it_asks_its_key_for_one_signature_over_the_octets_as_they_are(self, remote: RemoteKey) -> None:
        signer = await self._of(remote)
        before, tbs = len(remote.signed), make_ssh_tbs(signer).wire
        await signer.sign(tbs, CertType.USER)
        assert remote.signed[before:] == [tbs], "sign must have its key sign the octets that it is given, once"

    async def _of(self, remote: RemoteKey) -> SSHSigner:
        """The signer, started, of users' certificates whose key is elsewhere."""
        return await _started(self.build(make_ssh_signer_context({CertType.USER: remote}, blocking=True)))


@cache  # to find an RSA key takes longer than all else that is done with it
def _key(algorithm: str, cert_type: CertType) -> PrivateKey:
    return generate(algorithm)


async def _started(signer: SSHSigner) -> SSHSigner:
    if isinstance(signer, Startable):
        await signer.start()
    return signer
