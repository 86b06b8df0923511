"""A new CA, from questions or flags to files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mica.cli import contexts
from mica.cli.ca import init_questions
from mica.cli.ca.init_questions import Passwords, Service
from mica.cli.ca.passwordflags import check_sources, was_typed
from mica.cli.console import settings
from mica.cli.contexts import Context
from mica.cli.kit import FileProblem, Usage, chosen, json_text, read_input, report, say, settle, wants_json, write_all
from mica.cli.paths import base_path, made_private

#: What means nothing where there is no configuration.
_NOT_WITH_PKI = (
    "--dns", "--address", "--provisioner", "--with-ca-url", "--provisioner-password-file", "--context", "--authority",
    "--profile",
)  # fmt: skip


def found(flags: Mapping[str, Any]) -> None:
    """The CA that ``flags`` and answers describe is in its files, and told about; with ``dry_run`` only told about.

    Raises Usage, FileProblem, PromptNeeded, Cancelled.
    """
    _check_flags(flags)
    contextual = not flags["pki"] and bool(_names(flags) or contexts.known(base_path()))
    if not contextual:  # else where it will be depends on its name
        _refuse_existing(base_path(), flags)
    name = init_questions.pki_name(flags)
    dns_names = () if flags["pki"] else init_questions.dns_names(flags)
    context = _context(flags, dns_names[0]) if contextual else None
    if context is not None:
        _refuse_existing(context.home, flags)
    service = None if flags["pki"] else init_questions.service(flags, dns_names)
    passwords = init_questions.passwords(flags, provisioner=service is not None)
    home = context.home if context else base_path()
    plan = Plan(name=name, home=home, context=context, service=service, ssh=flags["ssh"])
    if flags["dry_run"]:
        files, _ = _found(plan, passwords, flags)
        _summarise(plan, files, None)
        return
    with made_private(_folders(plan)):
        # --force has been asked about; whether all can be written has not.
        settle((plan.home / path for path in _paths(plan, flags)), force=True)
        files, fingerprint = _found(plan, passwords, flags)
        write_all([(plan.home / path, contents, mode) for path, contents, mode in files])
    if context is not None:
        contexts.enter(context)
    _summarise(plan, files, fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be made, and where; without ``service`` only keys and certificates."""

    name: str
    home: Path
    context: Context | None
    service: Service | None
    ssh: bool


def _check_flags(flags: Mapping[str, Any]) -> None:
    if (flags["root"] is None) != (flags["key"] is None):
        raise Usage("flags '--root' and '--key' go together", hint="give both, or neither")
    for flag in _NOT_WITH_PKI if flags["pki"] else ():
        if was_typed(flag):
            raise Usage(f"flag '{flag}' is incompatible with '--pki'", hint="--pki makes no configuration")
    sources = ("ca_password_file", "provisioner_password_file", "key_password_file", "root", "key")
    check_sources({f"--{source.replace('_', '-')}": flags[source] for source in sources})


def _names(flags: Mapping[str, Any]) -> dict[str, str]:
    """The names that were given to the context and its parts."""
    names = {name: flags[name] for name in ("context", "authority", "profile")}
    names["context"] = names["context"] or settings().context
    return {name: value for name, value in names.items() if value}


def _context(flags: Mapping[str, Any], host: str) -> Context | None:
    names = _names(flags)
    context = contexts.planned(
        base_path(),
        context=names.get("context"),
        authority=names.get("authority"),
        profile=names.get("profile"),
        host=host,
    )
    if context is not None:
        contexts.refuse_another(context, force=flags["force"])
    return context


def _refuse_existing(home: Path, flags: Mapping[str, Any]) -> None:
    from mica import foundation, sshfoundation

    files: tuple[Path, ...] = foundation.FILES if flags["pki"] else (*foundation.FILES, foundation.DEFAULTS)
    files += sshfoundation.FILES if flags["ssh"] else ()
    there = [str(home / path) for path in files if (home / path).exists()]
    if not there or flags["force"]:
        return
    last = foundation.INTERMEDIATE if flags["pki"] else foundation.CONFIGURATION  # of what is written
    if not (home / last).exists():
        raise FileProblem(
            f"there is a part of a CA already, without {home / last}: {', '.join(there)}",
            hint="if mica ca init was interrupted, --force begins anew and replaces it; MICAPATH names another folder",
        )
    remedy = "--context NAME makes another beside it, MICAPATH names another folder, and --force replaces the keys"
    adding = "; mica ca enable-ssh adds SSH to the one that is there" if flags["ssh"] else ""
    raise FileProblem(f"there is a CA already: {', '.join(there)}", hint=f"{remedy} and the configuration{adding}")


class _Desk:
    """What the first provisioner's table is made with."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def read(self, path: Path) -> bytes:
        """A file that the user named."""
        return read_input(path)

    def passwords(self, label: str) -> Iterator[bytes]:
        """The same; nothing that is made here is encrypted already."""
        yield self._secret

    def new_password(self, label: str, flag: str) -> bytes:
        """The password that was given for the provisioner."""
        return self._secret


def _found(plan: Plan, passwords: Passwords, flags: Mapping[str, Any]) -> tuple[list[tuple[Path, bytes, int]], str]:
    """The files of the new CA (path below its folder, contents, mode; keys first), and the root's fingerprint."""
    from mica import foundation
    from mica.clock import system_clock

    now = system_clock()
    root = _existing_root(flags) if flags["root"] else foundation.new_root(plan.name, now)
    intermediate = foundation.new_intermediate(plan.name, root, now)
    if not flags["dry_run"]:
        say("Using the existing root certificate." if flags["root"] else "Generating root certificate... done!")
        say("Generating intermediate certificate... done!")
    files = [
        (foundation.INTERMEDIATE_KEY, intermediate.key_pem(passwords.ca), 0o600),
        (foundation.ROOT, root.pem, 0o644),
        (foundation.INTERMEDIATE, intermediate.pem, 0o644),
    ]
    if not flags["root"]:
        files.insert(0, (foundation.ROOT_KEY, root.key_pem(passwords.ca), 0o600))
    if plan.ssh:
        files[:0] = _ssh_files(plan, passwords.ca, dry=flags["dry_run"])
    if plan.service is not None:
        root_file = str((plan.home / foundation.ROOT).absolute())
        defaults = {"ca-url": plan.service.url, "fingerprint": root.fingerprint, "root": root_file}
        files += [
            (foundation.DEFAULTS, (json_text(defaults) + "\n").encode(), 0o644),
            (foundation.CONFIGURATION, _configuration(plan.service, passwords.provisioner, ssh=plan.ssh), 0o644),
        ]
    return files, root.fingerprint


def _ssh_files(plan: Plan, password: bytes, *, dry: bool) -> list[tuple[Path, bytes, int]]:
    """The keys that sign SSH certificates, private and public, in the manner of ``_found``."""
    from mica import sshfoundation

    keys = sshfoundation.new_keys(plan.name)
    if not dry:
        say("Generating user and host SSH certificate signing keys... done!")
    secrets = [(key.path, key.key_pem(password), 0o600) for key in keys]
    return [*secrets, *((key.public_path, key.line, 0o644) for key in keys)]


def _configuration(service: Service, password: bytes, *, ssh: bool) -> bytes:
    from mica import foundation
    from mica.client.sources import table_maker

    return foundation.configuration(
        url=service.url,
        address=service.address,
        dns_names=service.dns_names,
        provisioner=service.provisioner,
        table=table_maker("jwk").table(service.provisioner, {"create": True}, _Desk(password)),
        ssh=ssh,
    ).encode()


def _existing_root(flags: Mapping[str, Any]) -> Any:
    from mica import foundation
    from mica.cli.keys import read_key  # imports cryptography
    from mica.errors import ConfigError

    key = read_key(flags["key"], flags["key_password_file"], flag="--key-password-file")
    try:
        return foundation.adopt_root(read_input(flags["root"]), key, where=str(flags["root"]))
    except ConfigError as error:
        raise FileProblem(str(error)) from error


def _paths(plan: Plan, flags: Mapping[str, Any]) -> list[Path]:
    """The files that will be made, below the folder of the CA."""
    from mica import foundation, sshfoundation

    paths = [path for path in foundation.FILES if plan.service or path != foundation.CONFIGURATION]
    if flags["root"]:
        paths.remove(foundation.ROOT_KEY)
    if plan.ssh:
        paths += sshfoundation.FILES
    return [*paths, foundation.DEFAULTS] if plan.service else paths


def _folders(plan: Plan) -> list[Path]:
    from mica import foundation

    paths = (*foundation.FILES, foundation.DATABASE) if plan.service else foundation.FILES
    return sorted({plan.home, *((plan.home / path).parent for path in paths)})


def _summarise(plan: Plan, files: list[tuple[Path, bytes, int]], fingerprint: str | None) -> None:
    """What was made; without a fingerprint, what would be."""
    from mica import foundation

    paths = {path for path, _, _ in files}
    made = {label: plan.home / path for path, label in _labels().items() if path in paths}
    say("" if fingerprint else "Nothing has been written. This is what would be made:")
    for label, path in made.items():
        chosen(label, f"{path}{' (replaced)' if fingerprint is None and path.exists() else ''}")
    if plan.service:
        chosen("Database folder", plan.home / foundation.DATABASE.parent)
        chosen("URL for clients", plan.service.url)
    if plan.context:
        chosen("Context", plan.context.name)
    if fingerprint:
        chosen("Root fingerprint", fingerprint)
        _advise(plan, fingerprint, made.get("Root private key"))
    if wants_json():
        report(_members(plan, made, fingerprint))


def _labels() -> dict[Path, str]:
    """What the files are called, in the order in which they are told."""
    from mica import foundation, sshfoundation

    return {
        foundation.ROOT: "Root certificate",
        foundation.ROOT_KEY: "Root private key",
        foundation.INTERMEDIATE: "Intermediate certificate",
        foundation.INTERMEDIATE_KEY: "Intermediate private key",
        **sshfoundation.LABELS,
        foundation.DEFAULTS: "Default configuration",
        foundation.CONFIGURATION: "Certificate Authority configuration",
    }


def _advise(plan: Plan, fingerprint: str, root_key: Path | None) -> None:
    say("")
    if root_key:
        say(f"Move {root_key} offline: it is not needed to run the CA.")
    if plan.service:
        say("Start the CA: mica ca serve")
        say(f"Let a client trust it: mica ca bootstrap --ca-url {plan.service.url} --fingerprint {fingerprint}")
    if plan.service and plan.ssh:
        say("Then let it trust its SSH certificates: mica ssh config (on a host with sshd: mica ssh config --host)")


def _members(plan: Plan, made: Mapping[str, Path], fingerprint: str | None) -> dict[str, object]:
    members: dict[str, object] = {label.lower().replace(" ", "_"): str(path) for label, path in made.items()}
    if fingerprint:
        members["root_fingerprint"] = fingerprint
    if plan.service:
        members["ca_url"] = plan.service.url
    if plan.context:
        members["context"] = plan.context.name
    return {**members, "dry_run": fingerprint is None}
