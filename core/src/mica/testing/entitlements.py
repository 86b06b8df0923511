"""What a token entitles to: a grant says no more than its token does, once, and nothing of the token gets out."""

import asyncio
import base64
import logging
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mica.grants import (
    TLS_USAGES,
    AddUser,
    AsRequested,
    Operation,
    RenewSSH,
    Reusable,
    Revoke,
    RevokeAny,
    RevokeHeld,
    RevokeKeyId,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
)
from mica.names import classify
from mica.roles import TokenProvisioner
from mica.testing.contexts import Clock
from mica.testing.heartbeat import LONGEST, standstill
from mica.testing.makers import ABSENT, Maker, encode
from mica.testing.verdicts import REFUSALS, verdict


class EntitlementContract:
    """What a provisioner grants is in its token; a part of ``provisioners.TokenProvisionerContract``."""

    ordered: ClassVar[tuple[Operation, ...]]
    #: Operations whose tokens may serve again. Whoever writes one here has thought of replay.
    reusable: ClassVar[frozenset[Operation]] = frozenset()

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """Somebody with the rightful key, whose good token orders ``operation`` and has not been made before."""
        raise NotImplementedError

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere: private keys, passwords."""
        yield from ()

    def names(self, maker: Maker) -> frozenset[x509.GeneralName] | None:
        """The names that the good token entitles to in an X.509 certificate; None: those of the request."""
        return frozenset(map(classify, maker.payload.get("sans") or (maker.payload["sub"],)))

    def principals(self, maker: Maker) -> frozenset[str] | None:
        """Those that the good token entitles to in an SSH certificate; None: those of the request."""
        return frozenset(maker.payload["step"]["ssh"]["principals"])

    @pytest.mark.asyncio
    async def test_a_grant_permits_what_the_token_says_and_no_more(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in self.ordered:
            maker = self.maker(operation, clock())
            for permit in (await verdict(provisioner, maker.good(), operation)).permits:
                beyond = self._beyond(permit, maker) or _beyond_leaf(permit, maker)
                assert not beyond, f"{operation} is granted beyond the token: {beyond}; grant what the token says"

    def _beyond(self, permit: Any, maker: Maker) -> object:
        """What ``permit`` has that the token does not say; nothing when all is in order."""
        subject = str(maker.payload.get("sub", ""))
        match permit:
            case SignX509():
                return self._beyond_x509(permit, subject, self.names(maker))
            case SignSSH():
                return _beyond_ssh(permit, maker, self.principals(maker))
            case AddUser(account=account):
                return {account} - (self.principals(maker) or {account})
            case SignSSHAsRequested():
                return self.principals(maker) is not None and permit
            case Revoke(serial_numbers=numbers):
                return set(numbers) - {int(subject, 0)}
            case RevokeKeyId(key_id=key_id):
                return {key_id} - {subject}
            case RevokeAny():
                return self.names(maker) is not None and permit
            case RenewSSH(certificate=certificate) | RevokeHeld(certificate=certificate):
                return base64.b64encode(certificate).decode() not in maker.header.values() and permit
        return permit

    def _beyond_x509(
        self, permit: SignX509, subject: str, entitled: frozenset[x509.GeneralName] | None
    ) -> set[object] | bool:
        usages = {usage for usage in permit.extended_key_usages if usage not in TLS_USAGES}
        if entitled is None or isinstance(permit.names, AsRequested):
            return bool(usages) or entitled is not None
        texts = {"", subject, *(str(name.value) for name in entitled)}
        common_names = {permit.subject_common_name, *(permit.common_names or ())} - texts
        return {*(set(permit.names.names) - entitled), *common_names, *usages}

    @pytest.mark.asyncio
    async def test_a_token_serves_once_unless_the_suite_says_otherwise(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in set(self.ordered) - self.reusable:
            spend = (await verdict(provisioner, self.maker(operation, clock()).good(), operation)).spend
            assert not isinstance(spend, Reusable), (
                f"a token for {operation} may serve again ({spend.reason}); grant OneTime, or name it in ``reusable``"
            )

    @pytest.mark.asyncio
    async def test_a_signature_in_its_other_form_makes_no_new_token(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        # Whoever has an ECDSA signature, (r, s), can write (r, n - s), which verifies as well.
        for operation in set(self.ordered) - self.reusable:
            maker = self.maker(operation, clock())
            for raw in (maker.good(), maker.token(jti=ABSENT)):
                if isinstance(maker.key, ec.EllipticCurvePrivateKey) and maker.alg.startswith("ES"):
                    ids = [await _spend_id(provisioner, text, operation) for text in (raw, _mirrored(raw, maker.key))]
                    assert ids[0] == ids[1] or "" in ids, "one token is spent under two ids: leave the signature out"

    @pytest.mark.asyncio
    async def test_a_token_that_confirms_a_request_is_good_for_no_other(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        maker = self.maker(self.ordered[0], clock())
        if self.ordered[0] is not Operation.X509_SIGN or "sans" not in maker.payload:
            return
        digest = bytes(range(32))
        raw = maker.token(cnf={"x5rt#S256": encode(digest)})
        try:
            (permit,) = (await verdict(provisioner, raw, Operation.X509_SIGN)).permits
        except REFUSALS:
            return
        assert isinstance(permit, SignX509)
        assert permit.confirmation == digest, "the claim cnf is dropped: keep it in the permit, or refuse it"

    @pytest.mark.asyncio
    async def test_no_token_and_no_secret_is_logged_or_granted(
        self, provisioner: TokenProvisioner, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        shown, tokens = [], []
        with caplog.at_level(logging.DEBUG):
            for operation in self.ordered:
                maker = self.maker(operation, clock())
                tokens += [maker.good(), maker.stranger().good()]
                shown.append(repr(await verdict(provisioner, tokens[-2], operation)))
                with pytest.raises(REFUSALS) as caught:
                    await verdict(provisioner, tokens[-1], operation)
                shown.append(repr(caught.value))
        for text in (*shown, caplog.text):
            for secret in (*tokens, *self.secrets()):
                assert secret not in text, "a token or a secret is logged, granted or told: leave it out"

    @pytest.mark.asyncio
    async def test_it_holds_nobody_up(self, provisioner: TokenProvisioner, clock: Clock) -> None:
        for operation in self.ordered:
            stood = await standstill(partial(self._asked, provisioner, operation, clock))
            assert stood < LONGEST, (
                f"the CA stands still for {stood:.2f} s while a token is judged; let what waits run in a thread"
            )

    async def _asked(self, provisioner: TokenProvisioner, operation: Operation, clock: Clock) -> None:
        raw = self.maker(operation, clock()).good()
        await asyncio.sleep(0)  # the making is the test's, and takes time of its own
        await verdict(provisioner, raw, operation)


def _beyond_leaf(permit: Any, maker: Maker) -> str:
    """A token that a certificate's key has signed gets nothing that is good for longer than that certificate."""
    chain = maker.header.get("x5c")
    if not chain or not isinstance(permit, SignX509 | SignSSH):
        return ""
    last = x509.load_der_x509_certificate(base64.b64decode(chain[0])).not_valid_after_utc
    is_within = permit.not_after is not None and permit.not_after <= last
    return "" if is_within else f"it may last until {permit.not_after}, after its signer's end, {last}"


def _beyond_ssh(permit: SignSSH, maker: Maker, entitled: frozenset[str] | None) -> set[str]:
    said = str(maker.payload.get("step", {}).get("ssh", {}).get("certType") or "user")
    types = {permit.cert_type.name.lower()} - {said}
    return types | (set(permit.principals.names) - entitled if entitled is not None else set())


async def _spend_id(provisioner: TokenProvisioner, raw: str, operation: Operation) -> str:
    """What the token is spent under; empty when it is refused."""
    try:
        return str(getattr((await verdict(provisioner, raw, operation)).spend, "id", ""))
    except REFUSALS:
        return ""


def _mirrored(raw: str, key: ec.EllipticCurvePrivateKey) -> str:
    """The token with the other form of its signature."""
    signed, _, text = raw.rpartition(".")
    signature = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    half = len(signature) // 2
    s = key.curve.group_order - int.from_bytes(signature[half:], "big")
    return f"{signed}.{encode(signature[:half] + s.to_bytes(half, 'big'))}"
