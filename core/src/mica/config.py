"""``ca.toml``: read once, held as frozen values.

``load`` reads what the core owns. The tables of plugins stay as they are until ``mica.authority`` knows the plugins;
it reports the faults found here together with those found there, so that an operator sees all of them at once.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mica import pins
from mica.audiences import Audiences
from mica.claims import Claims, ClaimsConfig
from mica.errors import ConfigError, MalformedRequest
from mica.files import Files
from mica.names import classify
from mica.structuring import structure

Table = Mapping[str, Any]


def setting(help: str, default: Any = ..., **more: Any) -> Any:
    """A dataclass field of a table, with the help that the reference page and ``--help`` show."""
    metadata = {"help": help, **more}
    if default is ...:
        return field(metadata=metadata)
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """The top level of ``ca.toml``."""

    url: str = setting("URL at which clients reach the CA, such as https://ca.example:8443")
    address: str = setting("Where the server listens: host:port, [::1]:port, or :port for every interface")
    dns_names: tuple[str, ...] = setting("DNS names and IP addresses that the CA answers to")
    plugins: tuple[str, ...] = setting(
        "The plugins to load, by entry-point name; nothing else is imported. NAME@sha256:DIGEST pins one to what is "
        "installed, its distribution's RECORD; mica plugin list prints the pin"
    )
    common_name: str = setting("Subject CN of the CA's own TLS certificate", "mica Online CA")
    claims: ClaimsConfig = setting("What every provisioner inherits", ClaimsConfig())
    store: Table = setting("The store: its type, and what its plugin adds")
    signers: Mapping[str, Table] = setting("Signers by name; x509 is the default for X.509")
    keys: Mapping[str, Table] = setting("Settings of key backends, by kind", {})
    provisioners: tuple[Table, ...] = setting("Who may vouch for a request", ())
    plugin: Mapping[str, Table] = setting("Settings of policies, listeners and routes, by kind", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerConfig:
    """What ``[signers.<name>]`` of an X.509 signer holds besides what its plugin adds."""

    type: str = setting("The kind of signer")
    roots: tuple[Path, ...] = setting("PEM files of the root certificates that clients trust")
    certificate: Path = setting("PEM file of the issuing certificate, and of further intermediates after it")
    key: str = setting("URI of the issuing key, such as file:secrets/intermediate_ca_key")
    federated_roots: tuple[Path, ...] = setting("PEM files of further roots that clients may trust", ())
    backdate: timedelta = setting("How far before the request a certificate starts", timedelta(minutes=1))
    renew_unrecorded: bool = setting(
        "Certificates that its key signed and that are not on record, an earlier CA's, can be renewed; "
        "must be false after a restore from a backup",
        False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHSignerConfig:
    """What ``[signers.ssh]`` holds besides what its plugin adds. At least one of the keys is set."""

    type: str = setting("The kind of signer")
    user_key: str | None = setting("URI of the key that signs users' certificates", None)
    host_key: str | None = setting("URI of the key that signs hosts' certificates", None)
    backdate: timedelta = setting("How far before the request a certificate starts", timedelta(minutes=1))
    add_user_principal: str = setting("Principal of the certificates that make users' accounts", "provisioner")
    add_user_command: str = setting(
        "What such a certificate does; <principal> stands for the account",
        "sudo useradd -m <principal>; nc -q0 localhost 22",
    )
    renew_unrecorded: bool = setting(
        "Hosts' certificates that its key signed and that are not on record, an earlier CA's, can be renewed; "
        "must be false after a restore from a backup",
        False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerConfig:
    """What ``[[provisioners]]`` holds besides what its plugin adds. ``name`` is in the plugin's own dataclass too."""

    type: str = setting("The kind of provisioner")
    name: str = setting("Its name, unique, as certificates and clients show it")
    claims: ClaimsConfig = setting("What it overrides of [claims]", ClaimsConfig())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One generation of the configuration, complete: what it says, and the files that it names. Picklable."""

    path: Path
    core: CoreConfig
    files: Files = field(default_factory=Files, compare=False, repr=False)
    password: bytes | None = field(default=None, repr=False)
    """What ``mica ca serve --password-file`` gave, for the key backends."""
    faults: tuple[str, ...] = ()
    """What is wrong with the core's part. ``Authority.assemble`` raises it together with what plugins find."""

    @property
    def directory(self) -> Path:
        """The folder to which relative paths refer."""
        return self.path.parent

    @property
    def url(self) -> str:
        """The URL at which clients reach the authority, without a trailing slash."""
        return self.core.url.rstrip("/")

    @property
    def address(self) -> str:
        """``host:port``, as configured."""
        return self.core.address

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The names that the server's certificate carries."""
        return self.core.dns_names

    @cached_property
    def audiences(self) -> Audiences:
        """The URLs that mean this authority."""
        return Audiences.of(self.url, self.address, self.dns_names)

    @property
    def claims(self) -> Claims:
        """The authority's claims, which provisioners inherit."""
        return Claims().overridden(self.core.claims)


def load(path: Path, *, password: bytes | None = None) -> Settings:
    """The configuration at ``path``; raises ConfigError when it cannot be read or is no TOML.

    What is wrong with what it says is in ``faults``.
    """
    path = path.absolute()
    files = Files()
    document = parse(files.read(path), path)
    core, faults = structure_core(document)
    return Settings(path=path, core=core, files=files, password=password, faults=tuple(faults))


def parse(source: bytes, path: Path) -> dict[str, Any]:
    """The TOML document in ``source``; raises ConfigError that names ``path``."""
    try:
        return tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error


def structure_core(document: Table) -> tuple[CoreConfig, list[str]]:
    """The core's part of ``document``, and what is wrong with it.

    What is wrong or missing stands as an empty value, so that the rest can be examined.
    """
    empty: dict[str, Any] = {"url": "", "address": "", "dns_names": [], "plugins": [], "store": {}, "signers": {}}
    known = {f.name for f in fields(CoreConfig)}
    faults = [
        f'ca.toml: extra field "{name}"; known: {", ".join(sorted(known))}' for name in sorted(set(document) - known)
    ]
    good = dict(empty)
    for name in sorted(known & set(document)):
        try:
            structure(CoreConfig, {**empty, name: document[name]}, "ca.toml")
            good[name] = document[name]
        except ConfigError as error:
            faults += [fault.removeprefix("ca.toml.") for fault in error.faults]
    for f in fields(CoreConfig):
        if f.name in empty and f.name not in document:
            faults.append(f'ca.toml: field "{f.name}" is missing: {f.metadata["help"]}')
    core = structure(CoreConfig, good, "ca.toml")
    return core, faults + _core_faults(core, document)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``address``; the host is empty for every interface. Raises ValueError."""
    parts = urlsplit(f"//{address}")
    if parts.port is None or parts.path or parts.query or parts.username:
        raise ValueError(f"{address!r} is not host:port")
    return parts.hostname or "", parts.port


def _core_faults(core: CoreConfig, document: Table) -> list[str]:
    faults = []
    if core.url:
        faults += _url_faults(core.url)
    if core.address:
        try:
            split_address(core.address)
        except ValueError:
            faults.append(f"address: {core.address!r} is not host:port; write 127.0.0.1:8443, [::1]:8443 or :8443")
    for index, name in enumerate(core.dns_names):
        try:
            classify(name)
        except MalformedRequest as error:
            faults.append(f"dns_names[{index}]: {error}")
    if "dns_names" in document and not core.dns_names:
        faults.append("dns_names: must hold at least one name, the host of url among them")
    plugins = pins.names(core.plugins)
    repeated = sorted({name for name in plugins if plugins.count(name) > 1})
    faults += [f'plugins: "{name}" is listed twice' for name in repeated]
    return faults + Claims().overridden(core.claims).faults("claims")


def _url_faults(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and parts.hostname and parts.port != 0
        bare = parts.path in ("", "/") and not parts.query and not parts.fragment and parts.username is None
    except ValueError:
        return [f"url: {url!r} is not a URL"]
    if not sound or not bare:
        return [f"url: {url!r} must be https://host or https://host:port"]
    return []
