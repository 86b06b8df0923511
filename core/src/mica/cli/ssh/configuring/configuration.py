"""``mica ssh config``, beyond its flags."""

from collections.abc import Sequence
from pathlib import Path

from mica.cli.console import chosen, product, report, say, wants_json, warn
from mica.cli.errors import FileProblem
from mica.cli.ssh.asking import explained, ssh_of
from mica.cli.ssh.configuring import authorities, planning, variables
from mica.cli.ssh.configuring.changes import Plan, difference, make
from mica.cli.ssh.configuring.pieces import pieces
from mica.cli.ssh.configuring.places import Places
from mica.client import Refused
from mica.client.ssh import ConfigTemplate, SSHClient
from mica.clock import system_clock

_ETC_SSH = Path("/etc/ssh")


def folder_of_sshd(etc_ssh: Path | None) -> Path:
    """What takes the place of ``/etc/ssh``."""
    return etc_ssh or _ETC_SSH


def print_keys(ca_url: str | None, root: Path | None, *, host: bool, federated: bool, pattern: str | None) -> None:
    """The keys by which hosts believe in users are on stdout, or with ``host`` those by which users believe in hosts.

    With a ``pattern``, as known_hosts has them.
    """
    if pattern is not None:
        authorities.check_pattern(pattern)
    ca = ssh_of(ca_url, root)
    with explained(ca_url):
        keys = authorities.authority_keys(ca, ca_url or "", host=host, federated=federated)
    if wants_json():
        report(authorities.described(keys, ca_url or "", host=host, pattern=pattern))
    for key in () if wants_json() else keys:
        product(authorities.line(key, pattern))


def configure(
    ca_url: str | None,
    root: Path | None,
    pairs: Sequence[str],
    *,
    etc_ssh: Path | None,
    dry_run: bool,
    force: bool,
) -> None:
    """This machine's ssh, or with ``etc_ssh`` its sshd, is configured as the CA has it; all of it, or nothing."""
    if etc_ssh is not None and not dry_run and not etc_ssh.is_dir():
        raise FileProblem(
            f"{etc_ssh}: there is no such directory", hint="it is the image's /etc/ssh; install sshd first"
        )
    said, places, ca = variables.parsed(pairs), Places.of(etc_ssh), ssh_of(ca_url, root)
    with explained(ca_url):
        if etc_ssh is None:
            renderings = [ca.config("user", data) for data in variables.for_user(places, said, ca)]
        else:
            renderings = _for_host(ca, variables.for_host(places, said))
    cert_type = "user" if etc_ssh is None else "host"
    plan = planning.plan(pieces(renderings, places), places, cert_type, system_clock())
    _carry_out(plan, {"ca_url": ca_url, "type": cert_type}, dry_run=dry_run, force=force)
    if etc_ssh is not None and not dry_run:
        _mind_sshd(places.etc_ssh or etc_ssh, [value for name, value in said if name in ("Certificate", "Key")])


def unconfigure(*, etc_ssh: Path | None, dry_run: bool, force: bool) -> None:
    """What ``configure`` has written for the CA in use has gone. No CA is asked."""
    cert_type = "user" if etc_ssh is None else "host"
    plan = planning.undoing(Places.of(etc_ssh), cert_type)
    if not plan.changes and not wants_json():
        say("There is nothing to undo.")
    _carry_out(plan, {"type": cert_type}, dry_run=dry_run, force=force)


def _for_host(ca: SSHClient, keys: Sequence[dict[str, str]]) -> list[tuple[ConfigTemplate, ...]]:
    """One rendering for each host key; a refusal says how keys are named, where none was."""
    try:
        return [ca.config("host", data) for data in keys]
    except Refused as error:
        if "Certificate" not in keys[0]:
            error.hint = variables.NAMING_A_HOST_KEY
        raise


def _carry_out(plan: Plan, about: dict[str, object], *, dry_run: bool, force: bool) -> None:
    if not dry_run:
        make(plan, force=force)
    if wants_json():
        files = [{"path": str(change.path), "status": change.status} for change in plan.changes]
        shown = {"diff": difference(plan).decode("utf-8", "replace")} if dry_run else {}
        report({**about, "dry_run": dry_run, "files": files, **shown})
    elif dry_run:
        product(difference(plan), nl=False)
    else:
        for change in plan.changes:
            if change.before is not None or change.after is not None:
                chosen(change.status.capitalize(), change.path)


def _mind_sshd(etc_ssh: Path, names: Sequence[str]) -> None:
    """What is missing for sshd to follow is on stderr."""
    for name in names:
        file = etc_ssh / name.removeprefix(f"{_ETC_SSH}/")
        if not file.exists():
            warn(f"{file}: there is no such file yet, and sshd does without it")
    if not wants_json():
        say("sshd follows when it has been reloaded; sshd -t checks its configuration first.")
