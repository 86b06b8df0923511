"""What every provisioner must do that lets certificates be renewed: a contract that a plugin's tests subclass.

class TestRenewals(RenewalProvisionerContract):
    def build(self, context): return MyProvisioner(MyConfig(name="harbour"), context)

``own`` is overridden where a certificate must be on record in a certain way for the provisioner to know it.
"""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from mica.grants import OneTime, Operation, Renew
from mica.records import CertificateId, CertificateKind, Issuance, ProvisionerRef
from mica.roles import Context, RenewalProvisioner, Startable
from mica.testing.contexts import Clock, make_context
from mica.testing.verdicts import REFUSALS


def make_issuance(provisioner: ProvisionerRef, now: datetime, certificate: bytes = b"") -> Issuance:
    """A certificate for ``svc.example`` on record, which ``provisioner`` vouched for."""
    return Issuance(
        id=CertificateId(kind=CertificateKind.X509, issuer=bytes(32), serial_number=4711),
        certificate=certificate,
        provisioner=provisioner,
        subject="svc.example",
        names=("svc.example",),
        not_before=now - timedelta(hours=1),
        not_after=now + timedelta(hours=23),
        issued_at=now - timedelta(hours=1),
    )


class RenewalProvisionerContract:
    """A provisioner lets the certificates that it vouched for be renewed, as they are, and no others."""

    def build(self, context: Context) -> RenewalProvisioner:
        """The provisioner under test."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest_asyncio.fixture
    async def renewing(self, clock: Clock, tmp_path: Path) -> RenewalProvisioner:
        provisioner = self.build(make_context(clock, tmp_path))
        if isinstance(provisioner, Startable):
            await provisioner.start()
        return provisioner

    def own(self, provisioner: RenewalProvisioner, clock: Clock) -> Issuance:
        """A certificate that the provisioner vouched for."""
        return make_issuance(ProvisionerRef(name=provisioner.name, type=provisioner.type), clock())

    def test_it_fills_the_renewal_role(self, renewing: RenewalProvisioner) -> None:
        assert isinstance(renewing, RenewalProvisioner), (
            "it lacks a member of mica.RenewalProvisioner; see docs/hooks.md"
        )
        assert renewing.operations & {Operation.X509_RENEW, Operation.X509_REKEY}, (
            "it has authorize_renewal, and its ``operations`` have neither x509-renew nor x509-rekey"
        )

    @pytest.mark.asyncio
    async def test_a_renewal_is_granted_for_that_certificate_alone(
        self, renewing: RenewalProvisioner, clock: Clock
    ) -> None:
        issuance = self.own(renewing, clock)
        for operation in renewing.operations & {Operation.X509_RENEW, Operation.X509_REKEY}:
            grant = await renewing.authorize_renewal(issuance, operation)
            assert (grant.provisioner.name, grant.provisioner.type) == (renewing.name, renewing.type), (
                f"grant.provisioner must be its own name and type, not {grant.provisioner}"
            )
            assert grant.operation is operation, f"asked for {operation}, it grants {grant.operation}"
            assert grant.permits == (Renew(certificate=issuance),), "the permits must be (Renew(certificate=issuance),)"
            assert clock() < grant.expires_at <= clock() + timedelta(hours=1), (
                f"grant.expires_at is {grant.expires_at}; it must lie within an hour after context.now(), {clock()}"
            )
            assert isinstance(grant.spend, OneTime) or grant.spend.reason, (
                "say why it may serve again: Reusable(reason=…)"
            )

    @pytest.mark.asyncio
    async def test_a_renewal_is_granted_for_no_other_operation(
        self, renewing: RenewalProvisioner, clock: Clock
    ) -> None:
        for operation in set(Operation) - (renewing.operations & {Operation.X509_RENEW, Operation.X509_REKEY}):
            own = self.own(renewing, clock)
            with pytest.raises(REFUSALS):
                pytest.fail(f"asked for {operation}, it grants {await renewing.authorize_renewal(own, operation)}")

    @pytest.mark.asyncio
    async def test_a_certificate_that_another_vouched_for_is_not_renewed(
        self, renewing: RenewalProvisioner, clock: Clock
    ) -> None:
        for other in (
            ProvisionerRef(name=f"{renewing.name}x", type=renewing.type),
            ProvisionerRef(name=renewing.name, type="OTHER"),
            ProvisionerRef(name="", type=renewing.type),
        ):
            issuance = make_issuance(other, clock())
            with pytest.raises(REFUSALS):
                pytest.fail(
                    f"{other} vouched for it, and it grants "
                    f"{await renewing.authorize_renewal(issuance, Operation.X509_RENEW)}; compare name and type"
                )
