"""What the operator allows a provisioner's certificates to be: durations, renewal, the provisioner extension."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

_MINUTES_5, _HOURS_24 = timedelta(minutes=5), timedelta(hours=24)


def _claim(help: str, json: str) -> Any:
    return field(default=None, metadata={"help": help, "json": json})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsConfig:
    """``[claims]``, and ``claims = {…}`` of a provisioner: what is set overrides what is inherited, key by key."""

    min_tls_cert_duration: timedelta | None = _claim("Shortest lifetime of a TLS certificate", "minTLSCertDuration")
    max_tls_cert_duration: timedelta | None = _claim("Longest lifetime of a TLS certificate", "maxTLSCertDuration")
    default_tls_cert_duration: timedelta | None = _claim("Lifetime when none is asked for", "defaultTLSCertDuration")
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
    disable_renewal: bool = False
    allow_renewal_after_expiry: bool = False
    disable_smallstep_extensions: bool = False

    def overridden(self, config: ClaimsConfig) -> "Claims":
        """These claims with ``config`` over them. A default that alone is set stretches the bound that it exceeds."""
        set_here = {f.name: value for f in fields(config) if (value := getattr(config, f.name)) is not None}
        values = {f.name: getattr(self, f.name) for f in fields(self)} | set_here
        if (default := set_here.get("default_tls_cert_duration")) is not None:
            if "min_tls_cert_duration" not in set_here:
                values["min_tls_cert_duration"] = min(default, values["min_tls_cert_duration"])
            if "max_tls_cert_duration" not in set_here:
                values["max_tls_cert_duration"] = max(default, values["max_tls_cert_duration"])
        return Claims(**values)

    def faults(self, where: str) -> list[str]:
        """What contradicts itself in these claims, each fault with its path."""
        from mica.durations import format_go

        shortest, longest = self.min_tls_cert_duration, self.max_tls_cert_duration
        default = self.default_tls_cert_duration
        faults = []
        if shortest <= timedelta():
            faults.append(f"{where}.min_tls_cert_duration: must be more than 0")
        if not shortest <= default <= longest:
            faults.append(
                f"{where}: min_tls_cert_duration ({format_go(shortest)}) ≤ default_tls_cert_duration "
                f"({format_go(default)}) ≤ max_tls_cert_duration ({format_go(longest)}) must hold"
            )
        return faults
