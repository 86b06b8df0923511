"""The composition root: an authority's parts, put together from its settings. The verbs are functions that take it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica import lifecycle
from mica.assembly import Assembly
from mica.audiences import Audiences
from mica.clock import system_clock
from mica.config import Settings
from mica.errors import ConfigError
from mica.hooks import Hooks
from mica.issuers import Issuer
from mica.listeners import Listeners
from mica.pkix import SubjectPublicKey
from mica.punctuality import PunctualStore
from mica.registry import Entry, Registry
from mica.roles import SSHSigner, Store, X509Signer
from mica.spends import InFlight
from mica.sshissuers import SSHIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One generation of a certificate authority."""

    settings: Settings
    hooks: Hooks
    issuers: Mapping[str, Issuer]
    ssh: SSHIssuer | None
    """The SSH issuer, where there is ``[signers.ssh]``."""
    store: Store
    registry: Registry
    in_flight: InFlight
    listeners: Listeners
    extensions: tuple[object, ...]
    """What was built from ``[plugin.<kind>]``: policies, listeners, services."""
    now: Callable[[], datetime]

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        *,
        plugins: Mapping[str, object] | None = None,
        now: Callable[[], datetime] = system_clock,
    ) -> "Authority":
        """The authority that ``settings`` describe, not started; raises ConfigError with every fault.

        ``plugins`` are given as objects by name, instead of being found by entry point: for tests of a plugin.
        """
        hooks = Hooks()
        assembly = Assembly(settings, hooks, now)
        assembly.load_plugins(plugins or {})
        backends = assembly.key_backends()
        store, issuers, ssh = assembly.store(), assembly.issuers(backends), assembly.ssh_issuer(backends)
        entries = assembly.entries()
        faults = [*settings.faults, *assembly.faults, *shared_keys(issuers, entries, ssh)]
        if faults or store is None:
            raise ConfigError(dict.fromkeys(faults))
        punctual = PunctualStore.of(store)
        return cls(
            settings=settings,
            hooks=hooks,
            issuers=issuers,
            ssh=ssh,
            store=punctual,
            registry=Registry(entries),
            in_flight=InFlight(punctual, now),
            listeners=Listeners(hooks),
            extensions=tuple(assembly.extensions.values()),
            now=now,
        )

    async def start(self) -> None:
        """It can issue: the store is open, every signer has proved its key, every extension can serve.

        Provisioners that cannot start yet are tried again in the background.
        """
        for part in (self.store, *self._signers, *self.extensions):
            await lifecycle.start(part)
        await self.registry.start()
        self.listeners.start()

    async def aclose(self) -> None:
        """Everything is given back; what was accepted is on record, and listeners have heard of it."""
        try:
            await self.listeners.aclose()
            await self.registry.aclose()
            for part in (*self.extensions, *self._signers):
                await lifecycle.close(part)
        finally:
            await asyncio.shield(self.store.aclose())

    @property
    def _signers(self) -> list[X509Signer | SSHSigner]:
        return [*(issuer.signer for issuer in self.issuers.values()), *([self.ssh.signer] if self.ssh else [])]

    @property
    def issuer(self) -> Issuer:
        """The default X.509 issuer."""
        return self.issuers["x509"]

    @property
    def audiences(self) -> Audiences:
        """The URLs that mean this authority in a token's ``aud``."""
        return self.settings.audiences

    @property
    def provisioners(self) -> tuple[Entry, ...]:
        """The provisioners, in the order of the configuration."""
        return self.registry.entries

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """The default issuer's chain, without the root."""
        return self.issuer.chain

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The roots that clients trust, each once."""
        return _unique(root for issuer in self.issuers.values() for root in issuer.roots)

    @property
    def federated_roots(self) -> tuple[x509.Certificate, ...]:
        """The roots of other authorities that clients may trust too."""
        return _unique(root for issuer in self.issuers.values() for root in issuer.federated_roots)

    @property
    def clients_trust(self) -> tuple[x509.Certificate, ...]:
        """What client certificates are verified with: roots and intermediates."""
        chains = (certificate for issuer in self.issuers.values() for certificate in issuer.chain)
        return _unique((*self.roots, *chains))


def _unique(certificates: "object") -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(certificates))  # type: ignore[call-overload]


def shared_keys(issuers: Mapping[str, Issuer], entries: tuple[Entry, ...], ssh: SSHIssuer | None = None) -> list[str]:
    """One key must not serve two purposes: what breaks one would break both."""
    owners: dict[bytes, str] = {}
    faults = []
    for spki, owner in _keys(issuers, entries, ssh):
        if owners.setdefault(spki, owner) != owner:
            faults.append(f"{owner}: its key is also that of {owners[spki]}; make a key of its own")
    return faults


def _keys(
    issuers: Mapping[str, Issuer], entries: tuple[Entry, ...], ssh: SSHIssuer | None
) -> Iterator[tuple[bytes, str]]:
    """Every key that something is signed with or believed by: its SubjectPublicKeyInfo, and whose it is."""
    for name, issuer in issuers.items():
        yield _spki(issuer.certificate), f"signers.{name}"
        yield from ((_spki(root), "a root") for root in issuer.roots)
    if ssh is not None:
        for cert_type, ssh_key in ssh.all_keys():
            yield SubjectPublicKey.of(ssh_key.key).spki, f"signers.ssh.{cert_type.name.lower()}_key"
    for index, entry in enumerate(entries):
        yield from ((spki, f"provisioners[{index}]") for spki in entry.public_keys)


def _spki(certificate: x509.Certificate) -> bytes:
    """The certificate's key in the one encoding in which pyca writes it: compressed points are other octets."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
