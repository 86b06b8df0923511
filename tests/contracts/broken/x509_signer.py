"""Broken copies of the X.509 signer: other keys, other octets, other chains than those that it was given."""

import asyncio
import logging
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.contracts.broken.breaking import Turned

from mica import ConfigError, SignerContext
from mica.testing.issuers import make_ca
from mica_x509signer import schemes
from mica_x509signer.contracts import TestX509KeySigner
from mica_x509signer.signer import X509KeySigner, X509SignerConfig

_log = logging.getLogger(__name__)


class Broken(Turned, TestX509KeySigner):
    """The suite of the plugin with one kind of key, turned on another signer."""

    algorithms = ("EC-P256",)
    config = X509SignerConfig()


class Careless(X509KeySigner):
    """A signer that examines neither its chain nor its key."""

    def __init__(self, config: X509SignerConfig, context: SignerContext) -> None:
        if not context.chain:
            raise ConfigError(["certificate: must hold the issuer's certificate"])
        try:
            self._scheme = schemes.scheme_of(context.key, context.chain[0])
        except KeyError as error:
            raise ConfigError(["key: unknown curve"]) from error
        self._sign = self._scheme.sign
        self._blocking = context.blocking
        self.chain = context.chain
        self.algorithm = self._scheme.algorithm


@pytest.mark.caught(by="test_what_it_signs_verifies_under_its_first_certificate", because="InvalidSignature")
class TestSignsWithAnotherKey(Broken):
    """Certificates are signed with a key that is not the issuer's."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            right = await super().sign(tbs)
            if tbs[:1] != b"\x30":  # what it signs when it starts, it signs rightly
                return right
            return ec.generate_private_key(ec.SECP256R1()).sign(tbs, ec.ECDSA(hashes.SHA256()))


@pytest.mark.caught(by="test_what_it_signs_verifies_under_its_first_certificate", because="InvalidSignature")
class TestSignsOtherOctets(Broken):
    """What is signed is not what was given: a byte is left out at the end."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            return await super().sign(tbs if tbs[:1] != b"\x30" else tbs[:-1])


@pytest.mark.caught(by="test_concurrent_signatures_do_not_mix", because="InvalidSignature")
class TestGivesOutASignatureAgain(Broken):
    """The first signature is given to everyone who asks: a cache without a key."""

    class Part(X509KeySigner):
        kept: bytes = b""

        async def sign(self, tbs: bytes) -> bytes:
            if tbs[:1] == b"\x30":
                self.kept = self.kept or await super().sign(tbs)
                return self.kept
            return await super().sign(tbs)


@pytest.mark.caught(by="test_concurrent_signatures_do_not_mix", because="InvalidSignature")
class TestMixesUpWhoAsked(Broken):
    """What is to be signed lies in an attribute while the loop has its turn: the last one is signed for all."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            self.pending = tbs
            await asyncio.sleep(0)
            return await super().sign(self.pending)


@pytest.mark.caught(by="test_concurrent_signatures_of_a_key_that_waits_do_not_mix", because="InvalidSignature")
class TestMixesUpWhoWaitsForTheKey(Broken):
    """The same, where the key waits in a thread and nowhere else."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            self.pending = tbs
            if not self._blocking:
                return await super().sign(tbs)
            return await asyncio.to_thread(lambda: self._sign(self.pending))


@pytest.mark.caught(by="test_its_algorithm_is_the_one_that_pyca_names", because="assert b")
class TestNamesAnotherAlgorithm(Broken):
    """It says that it signs with SHA-384, and signs with SHA-256."""

    class Part(X509KeySigner):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.algorithm = bytes.fromhex("300a06082a8648ce3d040303")


@pytest.mark.caught(by="test_its_chain_is_the_one_it_was_given", because="assert")
class TestHasAnotherChain(Broken):
    """The chain is another certificate of the same key, made anew."""

    class Part(X509KeySigner):
        def __init__(self, config: X509SignerConfig, context: SignerContext) -> None:
            super().__init__(config, context)
            self.chain = (make_ca(key=context.key).certificate,)


@pytest.mark.caught(by="test_a_chain_out_of_order_is_refused", because="Failed: ")
class TestTakesAChainInAnyOrder(Broken):
    """The certificates after the first are whatever they are."""

    class Part(X509KeySigner):
        def __init__(self, config: X509SignerConfig, context: SignerContext) -> None:
            first = SignerContext.__dataclass_fields__
            parts = {name: getattr(context, name) for name in first} | {"chain": context.chain[:1]}
            super().__init__(config, SignerContext(**parts))
            self.chain = context.chain


@pytest.mark.caught(by="test_a_key_that_is_not_the_certificates_is_refused", because="Failed: ")
class TestTakesAKeyOfAnotherCertificate(Broken):
    """Whether the key is the certificate's is not looked at."""

    class Part(Careless):
        pass


@pytest.mark.caught(by="test_a_certificate_that_is_no_ca_is_refused", because="Failed: ")
class TestTakesALeafForAnIssuer(Broken):
    """Whether the issuer is a CA is not looked at (never, 10)."""

    class Part(Careless):
        pass


@pytest.mark.caught(by="test_a_ca_that_may_not_sign_certificates_is_refused", because="Failed: ")
class TestTakesACAThatMayNotSignCertificates(Broken):
    """keyUsage is not looked at (RFC 5280 §4.2.1.3)."""

    class Part(Careless):
        pass


@pytest.mark.caught(by="test_a_weak_key_is_no_issuers", because="Failed: ")
class TestSignsWithAWeakKey(Broken):
    """How good the issuer's key is, is not looked at (threat 25)."""

    class Part(Careless):
        pass


@pytest.mark.caught(by="test_nothing_that_it_shows_or_logs_is_secret", because="show")
class TestLogsItsKey(Broken):
    """Whoever debugs has the issuer's private number in the log (threat 27)."""

    class Part(X509KeySigner):
        def __init__(self, config: X509SignerConfig, context: SignerContext) -> None:
            super().__init__(config, context)
            if type(context.key).__module__.startswith("cryptography"):
                _log.debug("key %x", context.key.private_numbers().private_value)  # type: ignore[union-attr]


@pytest.mark.caught(by="test_a_key_that_waits_is_asked_in_a_thread_while_the_loop_goes_on", because="assert")
class TestStopsTheLoopWhileItsKeyWaits(Broken):
    """A key that is elsewhere is waited for on the event loop, and every other request with it."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            return self._sign(tbs)


@pytest.mark.caught(by="test_whoever_leaves_while_it_signs_harms_nobody", because="Error|assert")
class TestDiesWithWhoeverLeaves(Broken):
    """A request that is cancelled while the key waits takes the signer along (threat 42)."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            try:
                return await super().sign(tbs)
            except asyncio.CancelledError:
                self._sign = self._unable
                raise

        def _unable(self, tbs: bytes) -> bytes:
            raise RuntimeError("the session with the key has ended")


@pytest.mark.caught(by="test_a_key_that_is_away_for_a_while_signs_again", because="Error")
class TestGivesUpOnAKeyThatWasAway(Broken):
    """A key that could not be reached once is never asked again."""

    class Part(X509KeySigner):
        lost: bool = False

        async def sign(self, tbs: bytes) -> bytes:
            if self.lost:
                raise RuntimeError("the key has gone")
            try:
                return await super().sign(tbs)
            except ConnectionError:
                self.lost = True
                raise


@pytest.mark.caught(by="test_a_key_whose_signatures_do_not_verify_keeps_it_from_starting", because="Failed: ")
class TestStartsWithAKeyThatDoesNotWork(Broken):
    """Nothing is signed at the start: certificates that nobody believes are the first to tell."""

    class Part(X509KeySigner):
        async def start(self) -> None:
            return None


@pytest.mark.caught(by="test_before_it_is_asked_it_signs_nothing_that_could_be_a_certificate", because="assert")
class TestTriesItsKeyOnACertificate(Broken):
    """To see whether the key works, it signs a certificate: the CA key signs what the core did not write (never, 9)."""

    class Part(X509KeySigner):
        async def start(self) -> None:
            await self.sign(x509.Certificate.tbs_certificate_bytes.__get__(self.chain[0]))


@pytest.mark.caught(by="test_it_asks_its_key_for_one_signature_over_the_octets_as_they_are", because="assert")
class TestSignsSomethingElseBesides(Broken):
    """Along with each certificate the key signs something of the signer's own."""

    class Part(X509KeySigner):
        async def sign(self, tbs: bytes) -> bytes:
            await super().sign(b"\x30" + tbs)
            return await super().sign(tbs)
