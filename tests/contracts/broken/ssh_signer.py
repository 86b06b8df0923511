"""Broken copies of the SSH signer: the host key signs for users, other octets are signed, keys are mixed up."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.broken.breaking import Turned

from mica import SSHKey, SSHSignerContext
from mica.keyfiles import generate
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey
from mica_sshsigner.contracts import TestSSHKeySigner
from mica_sshsigner.signer import SSHKeySigner, SSHSignerSettings

_log = logging.getLogger(__name__)
_OTHER = {CertType.USER: CertType.HOST, CertType.HOST: CertType.USER}


class Broken(Turned, TestSSHKeySigner):
    """The suite of the plugin with one kind of key, turned on another signer."""

    algorithms = ("EC-P256",)
    config = SSHSignerSettings()


def _is_certificate(tbs: bytes) -> bool:
    """It begins with the length of a string, below 256 (PROTOCOL.certkeys); what is signed at the start does not."""
    return tbs[:3] == b"\x00\x00\x00"


@pytest.mark.caught(by="test_what_it_signs_verifies_by_pyca", because="Signature|verif")
class TestTheHostKeySignsForUsers(Broken):
    """Each type's certificates are signed with the other type's key: a host's CA makes users."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            return await super().sign(tbs, _OTHER[cert_type] if _is_certificate(tbs) else cert_type)


@pytest.mark.caught(by="test_the_key_of_one_type_does_not_sign_for_the_other", because="Failed: ")
class TestSignsWhateverItIsToldForUsers(Broken):
    """One key signs for users and for hosts, and it names that one for both."""

    class Part(SSHKeySigner):
        def authority_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
            return super().authority_keys(CertType.USER)

        async def start(self) -> None:
            return None

        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            return await super().sign(tbs, CertType.USER)


@pytest.mark.caught(by="test_the_first_key_of_each_type_is_the_one_it_was_given", because="assert SSHPublicKey")
class TestNamesAnotherKeyFirst(Broken):
    """What it says certificates are believed by is the other type's key."""

    class Part(SSHKeySigner):
        def authority_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
            return super().authority_keys(_OTHER[cert_type])


@pytest.mark.caught(by="test_what_it_signs_verifies_by_pyca", because="Signature")
class TestSignsWithAKeyOfItsOwn(Broken):
    """It signs with a key that it has made for itself."""

    class Part(SSHKeySigner):
        def __init__(self, config: SSHSignerSettings, context: SSHSignerContext) -> None:
            super().__init__(config, context)
            mine = {cert_type: SSHKey(key=generate("EC-P256")) for cert_type in context.keys}
            self._mine = SSHKeySigner(config, replace(context, keys=mine))

        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            signer = self._mine if _is_certificate(tbs) else super()
            return await signer.sign(tbs, cert_type)


@pytest.mark.caught(by="test_what_it_signs_verifies_by_pyca", because="Signature")
class TestSignsOtherOctets(Broken):
    """What is signed is not what was given: the last octet is another."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            changed = tbs[:-1] + bytes([tbs[-1] ^ 1])
            return await super().sign(changed if _is_certificate(tbs) else tbs, cert_type)


@pytest.mark.caught(by="test_concurrent_signatures_do_not_mix", because="Signature")
class TestGivesOutASignatureAgain(Broken):
    """The first signature for a type is given to everyone who asks."""

    class Part(SSHKeySigner):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.kept: dict[CertType, bytes] = {}

        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            if not _is_certificate(tbs):
                return await super().sign(tbs, cert_type)
            if cert_type not in self.kept:
                self.kept[cert_type] = await super().sign(tbs, cert_type)
            return self.kept[cert_type]


@pytest.mark.caught(by="test_concurrent_signatures_do_not_mix", because="Signature")
class TestMixesUpWhoAsked(Broken):
    """What is to be signed lies in an attribute while the loop has its turn: the last one is signed for all."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            self.pending = tbs
            await asyncio.sleep(0)
            return await super().sign(self.pending, cert_type)


@pytest.mark.caught(by="test_a_type_without_a_key_is_not_signed", because="Failed: |assert")
class TestSignsForATypeThatHasNoKey(Broken):
    """Where users have no key, that of hosts serves."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            return await super().sign(tbs, cert_type if cert_type in self._signing else next(iter(self._signing)))


@pytest.mark.caught(by="test_one_key_for_users_and_hosts_is_refused", because="Failed: ")
class TestTakesOneKeyForUsersAndHosts(Broken):
    """One key for two purposes is not noticed (threat 32)."""

    class Part(SSHKeySigner):
        def _faults(self, further: Any) -> list[str]:
            return []


@pytest.mark.caught(by="test_a_weak_key_is_no_cas", because="Failed: ")
class TestSignsWithAWeakKey(Broken):
    """How good a CA's key is, is not looked at (threat 25)."""

    class Part(SSHKeySigner):
        def __init__(self, config: SSHSignerSettings, context: SSHSignerContext) -> None:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("mica.keyrules.check_public_key", lambda key: [])
                super().__init__(config, context)


@pytest.mark.caught(by="test_nothing_that_it_shows_or_logs_is_secret", because="show")
class TestLogsItsKeys(Broken):
    """Whoever debugs has the CA's private numbers in the log (threat 27)."""

    class Part(SSHKeySigner):
        def __init__(self, config: SSHSignerSettings, context: SSHSignerContext) -> None:
            for held in context.keys.values():
                _log.debug("key %x", held.key.private_numbers().private_value)  # type: ignore[union-attr]
            super().__init__(config, context)


@pytest.mark.caught(by="test_a_key_that_waits_is_asked_in_a_thread_while_the_loop_goes_on", because="assert")
class TestStopsTheLoopWhileItsKeyWaits(Broken):
    """A key that is elsewhere is waited for on the event loop, and every other request with it."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            return self._signing[cert_type].sign(tbs)


@pytest.mark.caught(by="test_concurrent_signatures_of_a_key_that_waits_do_not_mix", because="Signature")
class TestMixesUpWhoWaitsForTheKey(Broken):
    """What is to be signed lies in an attribute while the key waits in its thread."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            self.pending = tbs
            signing = self._signing[cert_type]
            if not signing.blocking:
                return signing.sign(tbs)
            return await asyncio.to_thread(lambda: signing.sign(self.pending))


@pytest.mark.caught(by="test_whoever_leaves_while_it_signs_harms_nobody", because="Error|assert")
class TestDiesWithWhoeverLeaves(Broken):
    """A request that is cancelled while the key waits takes the signer along (threat 42)."""

    class Part(SSHKeySigner):
        lost: bool = False

        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            if self.lost:
                raise RuntimeError("the session with the key has ended")
            try:
                return await super().sign(tbs, cert_type)
            except asyncio.CancelledError:
                self.lost = True
                raise


@pytest.mark.caught(by="test_a_key_that_is_away_for_a_while_signs_again", because="Error")
class TestGivesUpOnAKeyThatWasAway(Broken):
    """A key that could not be reached once is never asked again."""

    class Part(SSHKeySigner):
        lost: bool = False

        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            if self.lost:
                raise RuntimeError("the key has gone")
            try:
                return await super().sign(tbs, cert_type)
            except ConnectionError:
                self.lost = True
                raise


@pytest.mark.caught(by="test_a_key_whose_signatures_do_not_verify_keeps_it_from_starting", because="Failed: ")
class TestStartsWithAKeyThatDoesNotWork(Broken):
    """Nothing is signed at the start: certificates that nobody believes are the first to tell."""

    class Part(SSHKeySigner):
        async def start(self) -> None:
            return None


@pytest.mark.caught(by="test_before_it_is_asked_it_signs_nothing_that_ssh_could_believe", because="assert")
class TestTriesItsKeyOnWhatSSHBelieves(Broken):
    """To see whether the key works, it signs what OpenSSH takes for a file's signature (PROTOCOL.sshsig)."""

    class Part(SSHKeySigner):
        async def start(self) -> None:
            for cert_type in self._signing:
                await self.sign(b"SSHSIG\0\0\0\4file", cert_type)


@pytest.mark.caught(by="test_it_asks_its_key_for_one_signature_over_the_octets_as_they_are", because="assert")
class TestSignsSomethingElseBesides(Broken):
    """Along with each certificate the key signs something of the signer's own (never, 9)."""

    class Part(SSHKeySigner):
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            await super().sign(b"\xff" + tbs, cert_type)
            return await super().sign(tbs, cert_type)
