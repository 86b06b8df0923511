"""Certificates only for names in the zones that the operator named."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from mica import (
    MICA,
    CertType,
    ConfigError,
    Context,
    Event,
    Grant,
    Issued,
    Kind,
    TBSCertificate,
    TBSSSHCertificate,
    hookimpl,
    kind,
)

_log = logging.getLogger("mica_zones")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesConfig:
    """``[plugin.zones]``."""

    allow: tuple[str, ...] = field(metadata={"help": "DNS zones whose names may be certified, the zones' own included"})


class Zones:
    """The policy, and a listener that tells what became of it."""

    def __init__(self, config: ZonesConfig, context: Context) -> None:
        self._zones = tuple(zone.lower().strip(".") for zone in config.allow)
        if not all(self._zones):
            raise ConfigError(["allow: a zone must have a name, such as harbour.example"])

    @hookimpl
    def refuse_x509(self, tbs: TBSCertificate, grant: Grant) -> str | None:
        """Why the certificate must not be issued: its first name that lies outside of every zone."""
        if grant.provisioner == MICA:  # the names of the authority's own certificate stand in ca.toml, as the zones do
            return None
        outside = [str(name.value) for name in tbs.names if not self._holds(name)]
        common_names = tbs.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)  # some still go by them
        outside += [str(name.value) for name in common_names if not self._covers(str(name.value))]
        return f"{outside[0]} is in none of the zones {', '.join(self._zones)}" if outside else None

    @hookimpl
    def refuse_ssh(self, tbs: TBSSSHCertificate) -> str | None:
        """The same for the names of hosts; those of users are no domain names."""
        if tbs.cert_type is not CertType.HOST:
            return None
        outside = [name for name in tbs.valid_principals if not self._covers(name)]
        return f"{outside[0]} is in none of the zones {', '.join(self._zones)}" if outside else None

    @hookimpl
    def notify(self, event: Event) -> None:
        """A line in the log for each certificate."""
        if isinstance(event, Issued):
            _log.info("issued for %s", ", ".join(event.issuance.names))

    def _holds(self, name: x509.GeneralName) -> bool:
        return isinstance(name, x509.DNSName) and self._covers(name.value)

    def _covers(self, name: str) -> bool:
        host = name.lower().removesuffix(".")
        return any(host == zone or host.endswith(f".{zone}") for zone in self._zones)


@hookimpl
def register_extensions() -> Iterable[Kind[Any]]:
    """The kind that ``[plugin.zones]`` configures."""
    return [kind("zones", ZonesConfig, Zones)]
