"""What the operator allows a provisioner's certificates to be: durations, SSH, renewal, the provisioner extension."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mica.sshcert import CertType

_MINUTES_5, _HOURS_16 = timedelta(minutes=5), timedelta(hours=16)
_HOURS_24, _DAYS_30 = timedelta(hours=24), timedelta(days=30)
#: What is bounded: the fields ``min_…``, ``max_…`` and ``default_…`` of each belong together.
_BOUNDED = ("tls_cert_duration", "user_ssh_cert_duration", "host_ssh_cert_duration")


def _claim(help: str, json: str) -> Any:
    return field(default=None, metadata={"help": help, "json": json})


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long certificates of one sort may last."""

    min: timedelta
    max: timedelta
    default: timedelta
    """When none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsConfig:
    """``[claims]``, and ``claims = {…}`` of a provisioner: what is set overrides what is inherited, key by key."""

    min_tls_cert_duration: timedelta | None = _claim("Shortest lifetime of a TLS certificate", "minTLSCertDuration")
    max_tls_cert_duration: timedelta | None = _claim("Longest lifetime of a TLS certificate", "maxTLSCertDuration")
    default_tls_cert_duration: timedelta | None = _claim(
        "Lifetime of a TLS certificate when none is asked for", "defaultTLSCertDuration"
    )
    min_user_ssh_cert_duration: timedelta | None = _claim(
        "Shortest lifetime of a user's SSH certificate", "minUserSSHCertDuration"
    )
    max_user_ssh_cert_duration: timedelta | None = _claim(
        "Longest lifetime of a user's SSH certificate", "maxUserSSHCertDuration"
    )
    default_user_ssh_cert_duration: timedelta | None = _claim(
        "Lifetime of a user's SSH certificate when none is asked for", "defaultUserSSHCertDuration"
    )
    min_host_ssh_cert_duration: timedelta | None = _claim(
        "Shortest lifetime of a host's SSH certificate", "minHostSSHCertDuration"
    )
    max_host_ssh_cert_duration: timedelta | None = _claim(
        "Longest lifetime of a host's SSH certificate", "maxHostSSHCertDuration"
    )
    default_host_ssh_cert_duration: timedelta | None = _claim(
        "Lifetime of a host's SSH certificate when none is asked for", "defaultHostSSHCertDuration"
    )
    enable_ssh_ca: bool | None = _claim(
        "SSH certificates are issued; with [signers.ssh], mica ca provisioner add sets it unless told otherwise",
        "enableSSHCA",
    )
    disable_renewal: bool | None = _claim("Certificates cannot be renewed", "disableRenewal")
    allow_renewal_after_expiry: bool | None = _claim(
        "An expired certificate can be renewed by token", "allowRenewalAfterExpiry"
    )
    disable_smallstep_extensions: bool | None = _claim(
        "Certificates do not name their provisioner", "disableSmallstepExtensions"
    )

    def describe(self) -> dict[str, Any]:
        """The claims that are set, as ``GET /provisioners`` shows them."""
        from mica.durations import format_go  # flags are made of the fields, and help must be quick

        values = ((f.metadata["json"], getattr(self, f.name)) for f in fields(self))
        return {
            name: format_go(value) if isinstance(value, timedelta) else value
            for name, value in values
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims in force, nothing left open."""

    min_tls_cert_duration: timedelta = _MINUTES_5
    max_tls_cert_duration: timedelta = _HOURS_24
    default_tls_cert_duration: timedelta = _HOURS_24
    min_user_ssh_cert_duration: timedelta = _MINUTES_5
    max_user_ssh_cert_duration: timedelta = _HOURS_24
    default_user_ssh_cert_duration: timedelta = _HOURS_16
    min_host_ssh_cert_duration: timedelta = _MINUTES_5
    max_host_ssh_cert_duration: timedelta = _DAYS_30
    default_host_ssh_cert_duration: timedelta = _DAYS_30
    enable_ssh_ca: bool = False
    disable_renewal: bool = False
    allow_renewal_after_expiry: bool = False
    disable_smallstep_extensions: bool = False

    def ssh_durations(self, cert_type: "CertType") -> Durations:
        """How long a user's or a host's SSH certificate may last."""
        return self._durations(f"{cert_type.name.lower()}_ssh_cert_duration")

    def overridden(self, config: ClaimsConfig) -> "Claims":
        """These claims with ``config`` over them. A default that alone is set stretches the bound that it exceeds."""
        set_here = {f.name: value for f in fields(config) if (value := getattr(config, f.name)) is not None}
        values = {f.name: getattr(self, f.name) for f in fields(self)} | set_here
        for bounded in _BOUNDED:
            default = set_here.get(f"default_{bounded}")
            for bound, stretched in ((f"min_{bounded}", min), (f"max_{bounded}", max)):
                if default is not None and bound not in set_here:
                    values[bound] = stretched(default, values[bound])
        return Claims(**values)

    def faults(self, where: str) -> list[str]:
        """What contradicts itself in these claims, each fault with its path."""
        return [fault for bounded in _BOUNDED for fault in self._faults(bounded, where)]

    def _faults(self, bounded: str, where: str) -> list[str]:
        from mica.durations import format_go

        durations = self._durations(bounded)
        faults = []
        if durations.min <= timedelta():
            faults.append(f"{where}.min_{bounded}: must be more than 0")
        if not durations.min <= durations.default <= durations.max:
            faults.append(
                f"{where}: min_{bounded} ({format_go(durations.min)}) ≤ default_{bounded} "
                f"({format_go(durations.default)}) ≤ max_{bounded} ({format_go(durations.max)}) must hold"
            )
        return faults

    def _durations(self, bounded: str) -> Durations:
        shortest, longest, default = (getattr(self, f"{which}_{bounded}") for which in ("min", "max", "default"))
        return Durations(min=shortest, max=longest, default=default)
