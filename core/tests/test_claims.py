"""The claims in force: what is inherited, what overrides it, what contradicts itself."""

from datetime import timedelta

import pytest

from mica.claims import Claims, ClaimsConfig, Durations
from mica.sshcert import CertType

KINDS = ("tls_cert_duration", "user_ssh_cert_duration", "host_ssh_cert_duration")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def claims(**values: timedelta | bool) -> Claims:
    return Claims().overridden(ClaimsConfig(**values))  # type: ignore[arg-type]


def test_what_nobody_claims_is_as_in_step_ca() -> None:
    assert Claims().ssh_durations(CertType.USER) == Durations(min=5 * MINUTE, max=24 * HOUR, default=16 * HOUR)
    assert Claims().ssh_durations(CertType.HOST) == Durations(min=5 * MINUTE, max=720 * HOUR, default=720 * HOUR)
    assert not Claims().enable_ssh_ca
    assert Claims().faults("claims") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_default_alone_stretches_its_own_bound_and_no_other(kind: str) -> None:
    longer, shorter = claims(**{f"default_{kind}": 1000 * HOUR}), claims(**{f"default_{kind}": MINUTE})
    assert getattr(longer, f"max_{kind}") == 1000 * HOUR
    assert getattr(longer, f"min_{kind}") == 5 * MINUTE
    assert getattr(shorter, f"min_{kind}") == MINUTE
    assert getattr(shorter, f"max_{kind}") == getattr(Claims(), f"max_{kind}")
    for other in set(KINDS) - {kind}:
        for bound in ("min", "max", "default"):
            assert getattr(longer, f"{bound}_{other}") == getattr(Claims(), f"{bound}_{other}")
    assert longer.faults("claims") == shorter.faults("claims") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_that_is_set_is_not_stretched(kind: str) -> None:
    (fault,) = claims(**{f"default_{kind}": 1000 * HOUR, f"max_{kind}": HOUR}).faults("here")
    assert fault.startswith(f"here: min_{kind} (5m0s) ≤ default_{kind} (1000h0m0s) ≤ max_{kind} (1h0m0s) must hold")
    (fault,) = claims(**{f"default_{kind}": MINUTE, f"min_{kind}": HOUR}).faults("here")
    assert "(1h0m0s) ≤" in fault


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortest_lifetime_of_nothing_is_refused(kind: str) -> None:
    assert claims(**{f"min_{kind}": timedelta()}).faults("here") == [f"here.min_{kind}: must be more than 0"]


def test_every_fault_is_told() -> None:
    said = claims(**{f"min_{kind}": 9999 * HOUR for kind in KINDS}).faults("here")
    assert [fault.split()[1] for fault in said] == [f"min_{kind}" for kind in KINDS]


def test_what_is_overridden_again_keeps_the_rest() -> None:
    authority = claims(max_host_ssh_cert_duration=24 * HOUR, default_host_ssh_cert_duration=HOUR, enable_ssh_ca=True)
    provisioner = authority.overridden(ClaimsConfig(enable_ssh_ca=False, min_host_ssh_cert_duration=MINUTE))
    assert provisioner.ssh_durations(CertType.HOST) == Durations(min=MINUTE, max=24 * HOUR, default=HOUR)
    assert not provisioner.enable_ssh_ca


def test_clients_are_shown_the_names_that_they_know() -> None:
    config = ClaimsConfig(
        min_user_ssh_cert_duration=MINUTE,
        max_user_ssh_cert_duration=2 * HOUR,
        default_user_ssh_cert_duration=HOUR,
        min_host_ssh_cert_duration=MINUTE,
        max_host_ssh_cert_duration=2 * HOUR,
        default_host_ssh_cert_duration=HOUR,
        enable_ssh_ca=True,
    )
    assert config.describe() == {
        "minUserSSHCertDuration": "1m0s",
        "maxUserSSHCertDuration": "2h0m0s",
        "defaultUserSSHCertDuration": "1h0m0s",
        "minHostSSHCertDuration": "1m0s",
        "maxHostSSHCertDuration": "2h0m0s",
        "defaultHostSSHCertDuration": "1h0m0s",
        "enableSSHCA": True,
    }
    assert ClaimsConfig(enable_ssh_ca=False).describe() == {"enableSSHCA": False}
