"""From settings to parts: every table finds its plugin's kind, is read into its dataclass, and built.

Faults are collected, not raised, so that one run of ``mica ca check`` names them all.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from mica import hooks, pins
from mica.config import ProvisionerConfig, Settings, SignerConfig, SSHSignerConfig, Table
from mica.containment import contained
from mica.errors import ConfigError, MicaError, told
from mica.issuers import Issuer, read_certificates, verify_chain
from mica.registry import Entry, of_one_name
from mica.roles import (
    Context,
    ExtensionContext,
    KeyBackend,
    KeyContext,
    Kind,
    Provisioner,
    SignerContext,
    SSHKey,
    SSHSigner,
    SSHSignerContext,
    Store,
    X509Signer,
)
from mica.sshcert import CertType
from mica.sshissuers import SSHIssuer
from mica.structuring import structure

_FIELD = re.compile(r"[a-z_]+([.\[][\w\].\[]*)?: ")
Kinds = Mapping[str, Kind[Any]]
Backends = Mapping[str, KeyBackend]
#: The name of the SSH signer's table.
SSH = "ssh"


@dataclass(slots=True)
class Assembly:
    """The work of putting one authority together."""

    settings: Settings
    hooks: hooks.Hooks
    now: Callable[[], datetime]
    faults: list[str] = field(default_factory=list)
    extensions: dict[str, object] = field(default_factory=dict)
    """What was built from the tables ``plugin``, by kind."""
    _shared: dict[str, Kind[Any]] = field(default_factory=dict)
    """The extensions that have settings at provisioners as well, by the member that holds them."""

    @contextmanager
    def noting(self, where: str = "") -> Any:
        """What is raised inside is a fault at ``where``; a plugin may raise anything."""
        try:
            with contained:
                yield
        except ConfigError as error:
            self.faults += [_placed(fault, where) for fault in error.faults]
        except MicaError as error:
            self.faults.append(f"{where}: {told(error)}")
        except Exception as error:
            self.faults.append(f"{where}: its plugin failed: {told(error, repr)}")

    def load_plugins(self, given: Mapping[str, object]) -> None:
        """The enabled plugins, and those ``given`` as objects, answer hooks."""
        plugins = self.settings.core.plugins
        missing = [text for text, name in zip(plugins, pins.names(plugins), strict=True) if name not in given]
        modules, faults = hooks.load(missing)
        self.faults += faults
        for name, plugin in {**modules, **given}.items():
            with self.noting(f"plugin {name}"):
                self.hooks.register(name, plugin)
        for where, kind, table in self.tables("register_extensions", "plugin", self.settings.core.plugin):
            with self.noting(where):
                self._extend(kind, table, where)

    def _extend(self, kind: Kind[Any], table: Table, where: str) -> None:
        """The extension answers hooks; what provisioners' tables say to it has been read."""
        if kind.provisioners is not None:
            self._shared[kind.name] = kind
        tables = self._at_provisioners(kind)
        extension = kind.build(structure(kind.config, table, where), self.context(ExtensionContext, tables=tables))
        self.hooks.register(kind.name, extension, part=" (extension)")
        self.extensions[kind.name] = extension

    def _at_provisioners(self, kind: Kind[Any]) -> dict[str, Any]:
        """What each provisioner's table holds under the kind's name, by the provisioner's name."""
        tables = {}
        for index, table in enumerate(self.settings.core.provisioners):
            if kind.provisioners is not None and kind.name in table:
                where = f"provisioners[{index}].{kind.name}"
                with self.noting(where):
                    tables[str(table.get("name"))] = structure(kind.provisioners, table[kind.name], where)
        return tables

    def kinds(self, hook: str) -> dict[str, Kind[Any]]:
        """What the plugins offer through ``hook``, by name."""
        offered: dict[str, Kind[Any]] = {}
        with self.noting():
            for kind in self.hooks.kinds(hook):
                if kind.name in offered:
                    self.faults.append(f"plugins: the kind {kind.name} is offered twice")
                offered[kind.name] = kind
        return offered

    def tables(self, hook: str, section: str, tables: Mapping[str, Table]) -> list[tuple[str, Kind[Any], Table]]:
        """Each kind that is offered, with its own table or an empty one; a table without a kind is a fault."""
        kinds = self.kinds(hook)
        known = ", ".join(sorted(kinds)) or "none"
        self.faults += [
            f"{section}.{name}: no enabled plugin offers it; offered: {known}"
            for name in sorted(set(tables) - set(kinds))
        ]
        return [(f"{section}.{name}", kind, tables.get(name, {})) for name, kind in kinds.items()]

    def context(self, extended: type[Any] = Context, **more: Any) -> Any:
        """What a plugin is given when it is built."""
        settings = self.settings
        return extended(
            url=settings.url,
            audiences=settings.audiences,
            directory=settings.directory,
            now=self.now,
            random=os.urandom,
            read=settings.files.read,
            read_secret=settings.files.read_secret,
            **more,
        )

    def key_backends(self) -> dict[str, KeyBackend]:
        """The key backends by URI scheme."""
        backends: dict[str, KeyBackend] = {}
        for where, kind, table in self.tables("register_key_backends", "keys", self.settings.core.keys):
            with self.noting(where):
                own = structure(kind.config, table, where)
                context = self.context(KeyContext, password=self.settings.password)
                backend: KeyBackend = _built(kind, own, context, KeyBackend)
                if backend.scheme in backends:
                    raise ConfigError([f"another key backend serves the scheme {backend.scheme}:"])
                backends[backend.scheme] = backend
        return backends

    def issuers(self, backends: Backends) -> dict[str, Issuer]:
        """The X.509 issuers by the names of their tables, which is every table of ``signers`` but ``ssh``."""
        kinds = self.kinds("register_x509_signers")
        issuers: dict[str, Issuer] = {}
        for name, table in self.settings.core.signers.items():
            if name == SSH:
                continue
            with self.noting(f"signers.{name}"):
                issuers[name] = self._issuer(name, table, kinds, backends)
        if "x509" not in self.settings.core.signers:
            self.faults.append("signers.x509: is missing; it is the default signer")
        return issuers

    def ssh_issuer(self, backends: Backends) -> SSHIssuer | None:
        """The SSH issuer; None where there is no ``[signers.ssh]``, or when it cannot be built."""
        kinds, table = self.kinds("register_ssh_signers"), self.settings.core.signers.get(SSH)
        if table is None:
            return None
        where = f"signers.{SSH}"
        with self.noting(where):
            common, rest = divide(SSHSignerConfig, table, where)
            kind = _pick(kinds, common.type, where)
            own = structure(kind.config, rest, where)
            keys = _ssh_keys(common, backends, where)
            return SSHIssuer.of(_built(kind, own, self.context(SSHSignerContext, keys=keys), SSHSigner), common)
        return None

    def _issuer(self, name: str, table: Table, kinds: Kinds, backends: Backends) -> Issuer:
        where, files = f"signers.{name}", self.settings.files
        common, rest = divide(SignerConfig, table, where)
        kind = _pick(kinds, common.type, where)
        own = structure(kind.config, rest, where)
        directory = self.settings.directory
        roots = tuple(root for path in common.roots for root in read_certificates(files, directory / path))
        federated = tuple(r for path in common.federated_roots for r in read_certificates(files, directory / path))
        chain = read_certificates(files, directory / common.certificate)
        if chain_faults := verify_chain(chain, roots):
            raise ConfigError(f"{where}.certificate: {fault}" for fault in chain_faults)
        backend = _backend(backends, common.key, f"{where}.key")
        key = backend.load(common.key)
        context = self.context(SignerContext, key=key, chain=chain, blocking=backend.blocking)
        signer: X509Signer = _built(kind, own, context, X509Signer)
        return Issuer.of(
            name,
            signer,
            roots=roots,
            federated_roots=federated,
            backdate=common.backdate,
            renew_unrecorded=common.renew_unrecorded,
        )

    def store(self) -> Store | None:
        """The store, None when it cannot be built."""
        kinds = self.kinds("register_stores")
        table = dict(self.settings.core.store)
        if not table and "store" in " ".join(self.settings.faults):
            return None
        with self.noting("store"):
            type_ = table.pop("type", None)
            kind = _pick(kinds, type_, "store")
            store: Store = _built(kind, structure(kind.config, table, "store"), self.context(), Store)
            return store
        return None

    def entries(self) -> tuple[Entry, ...]:
        """The provisioners, in order."""
        kinds = self.kinds("register_provisioners")
        entries = []
        for index, table in enumerate(self.settings.core.provisioners):
            where = f"provisioners[{index}]"
            with self.noting(where):
                common, rest = divide(ProvisionerConfig, table, where)
                kind = _pick(kinds, common.type, where)
                own = structure(kind.config, {"name": common.name, **self._own(kind, rest)}, where)
                entries.append(self._entry(_built(kind, own, self.context(), Provisioner), common, where))
        self.faults += of_one_name(entries)
        return tuple(entries)

    def _own(self, kind: Kind[Any], table: Table) -> dict[str, Any]:
        """What of a provisioner's table is its plugin's: no extension's; raises ConfigError where that is both's."""
        if both := sorted(self._shared.keys() & {f.name for f in fields(kind.config)}):
            raise ConfigError([f"the plugins {kind.name} and {both[0]} both claim the field {both[0]}; disable one"])
        return {name: value for name, value in table.items() if name not in self._shared}

    def _entry(self, provisioner: Any, common: ProvisionerConfig, where: str) -> Entry:
        claims = self.settings.claims.overridden(common.claims)
        self.faults += claims.faults(f"{where}.claims")
        entry = Entry(provisioner, claims, common.claims)
        if entry.name != common.name:  # whatever binds this provisioner, binds it by its name
            raise ConfigError([f'its plugin calls it {entry.name!r}; it must be "{common.name}", as its table says'])
        return entry


def _built(kind: Kind[Any], own: object, context: object, role: type[Any]) -> Any:
    """What the constructor gives, which has the members of its role; raises ConfigError with those that it lacks."""
    part = kind.build(own, context)
    if lacking := [name for name in vars(role) if not name.startswith("_") and not hasattr(part, name)]:
        raise ConfigError([f"its plugin built {type(part).__name__}, which is no {role.__name__}: lacks {lacking}"])
    return part


def _ssh_keys(common: SSHSignerConfig, backends: Backends, where: str) -> dict[CertType, SSHKey]:
    """The keys by what they sign for; raises ConfigError with the faults of each."""
    uris = {CertType.USER: common.user_key, CertType.HOST: common.host_key}
    keys: dict[CertType, SSHKey] = {}
    faults: list[str] = []
    for cert_type, uri in uris.items():
        if uri is None:
            continue
        try:
            backend = _backend(backends, uri, f"{where}.{cert_type.name.lower()}_key")
            keys[cert_type] = SSHKey(key=backend.load(uri), blocking=backend.blocking)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return keys


def _backend(backends: Backends, uri: str, where: str) -> KeyBackend:
    """The backend that serves the URI; raises ConfigError."""
    scheme = uri.partition(":")[0].lower()
    if scheme not in backends:
        known = ", ".join(f"{scheme}:" for scheme in sorted(backends)) or "none"
        raise ConfigError([f"{where}: no enabled plugin serves {scheme}:; served: {known}"])
    return backends[scheme]


def divide(config: type[Any], table: Table, where: str) -> tuple[Any, dict[str, Any]]:
    """The core's part of a table as a ``config``, and the rest, which is the plugin's."""
    names = {f.name for f in fields(config)}
    common = structure(config, {name: value for name, value in table.items() if name in names}, where)
    return common, {name: value for name, value in table.items() if name not in names}


def _placed(fault: str, where: str) -> str:
    """``fault`` with its whole path: a plugin knows only the part below its own table."""
    if fault.startswith(where):
        return fault
    return f"{where}.{fault}" if _FIELD.match(fault) else f"{where}: {fault}"


def _pick(kinds: Kinds, type_: object, where: str) -> Kind[Any]:
    known = ", ".join(sorted(kinds)) or "none; add a plugin that offers one to plugins"
    if not isinstance(type_, str):
        raise ConfigError([f"{where}.type: is missing; known: {known}"])
    # "JWK" and "jwk" are the same to people who come from step.
    kind = kinds.get(type_) or kinds.get(type_.lower())
    if kind is None:
        raise ConfigError([f'{where}.type: "{type_}" is not offered by an enabled plugin; known: {known}'])
    return kind
