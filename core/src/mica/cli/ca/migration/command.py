"""``mica ca import-step``: the files of a step-ca become those of a mica CA. The old ones stay as they are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mica.cli import options
from mica.cli.kit import (
    CLIError,
    FileProblem,
    chosen,
    json_text,
    mica_path,
    password,
    password_from_source,
    progress,
    report,
    say,
    settle,
    wants_json,
    write_all,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mica.authority import Authority
    from mica.cli.ca.migration.findings import Findings
    from mica.cli.ca.migration.plan import Plan
    from mica.cli.ca.migration.translation import Translation

    Outputs = list[tuple[Path, bytes, int]]


@click.command(
    epilog=options.examples(
        "mica ca import-step step --password-file ca-password.txt",
        "mica ca import-step step --refer --password-file ca-password.txt --json",
    )
)
@click.argument("folder", metavar="DIR", type=options.File(readable=False))
@click.option("--step-config", type=options.FILE, metavar="FILE", help="The old ca.json, where it is not in DIR.")
@click.option("--refer", is_flag=True, help="Name keys and certificates where they are, instead of copying them.")
@click.option(
    "--revoked",
    metavar="FILE",
    help="Serial numbers of revoked certificates, X.509 and SSH, one a line, decimal or 0x….",
)
@click.option("--provisioners", metavar="FILE", help="What `step ca provisioner list` printed, with enableAdmin.")
@click.option("--with-ca-url", type=options.URL(), metavar="URL", help="URL for clients [ca-url of defaults.json].")
@options.password_file("Password of the old CA's keys")
@options.force
@options.json_output
def import_step(folder: "Path", **flags: Any) -> None:
    """Make ca.toml below $MICAPATH from a step-ca's folder DIR, and say what became of everything in its ca.json.

    DIR is its $STEPPATH, or the ca.json. Root, provisioners and passwords stay what they were; certificates and keys
    are copied unchanged. Its database cannot be read: revocations come from --revoked.
    """
    from mica.cli.ca.migration.findings import Findings
    from mica.cli.ca.migration.folder import read
    from mica.cli.ca.migration.revoked import read_serials
    from mica.cli.ca.migration.translation import Translation

    home = mica_path()
    translation = Translation(read(folder, flags["step_config"]), findings := Findings())
    serials = read_serials(flags["revoked"]) if flags["revoked"] else ()
    plan = translation.plan(
        home,
        copying=not flags["refer"],
        url=flags["with_ca_url"],
        provisioners=flags["provisioners"],
        revoked=None if flags["revoked"] is None else len(serials),
    )
    if plan is None:
        _give_up(findings, findings.faults)
    outputs = _outputs(home, plan)
    _settle([path for path, _, _ in outputs], force=flags["force"])
    authority = _judged(home, plan, outputs, findings, _password(flags["password_file"], translation, plan))
    revoked = _write(home, authority, plan, serials, outputs)
    _tell(home, plan, findings, revoked)


def _give_up(findings: "Findings", faults: list[str] | tuple[str, ...]) -> NoReturn:
    if not wants_json():
        findings.tell()
    raise FileProblem("\n".join(dict.fromkeys(faults)), hint="nothing has been written")


def _outputs(home: "Path", plan: "Plan") -> "Outputs":
    """What is written, the key first and ca.toml last: without it there is no CA. What is there already is left."""
    from mica import foundation
    from mica.cli.ca.migration import document

    copies = sorted(plan.copies, key=lambda copy: copy.mode)
    defaults = (json_text(plan.defaults) + "\n").encode()
    return [
        *(
            (home / copy.path, copy.contents, copy.mode)
            for copy in copies
            if not _holds(home / copy.path, copy.contents)
        ),
        (home / foundation.DEFAULTS, defaults, 0o644),
        (home / foundation.CONFIGURATION, document.text(plan).encode(), 0o644),
    ]


def _holds(path: "Path", contents: bytes) -> bool:
    """Whether the file is there, as in an import into the old folder itself, or in a second one."""
    try:
        return path.is_file() and path.stat().st_size == len(contents) and path.read_bytes() == contents
    except OSError:
        return False  # whether it can be written is found out next


def _settle(targets: "list[Path]", *, force: bool) -> None:
    """Every target can be written, and whoever was asked agreed to replace what is there."""
    settle([target for target in targets if target.parent.is_dir()], force=force)
    for folder in {_first_missing(target.parent.absolute()) for target in targets if not target.parent.is_dir()}:
        settle([folder], force=True)  # a folder can be made where a file can


def _first_missing(folder: "Path") -> "Path":
    return next(place for place in (folder, *folder.parents) if place.parent.exists())


def _password(source: str | None, translation: "Translation", plan: "Plan") -> bytes | None:
    """The password of the old CA's keys: the one given, that of ca.json, or the answer to a question."""
    from mica.errors import ConfigError
    from mica.keyfiles import is_encrypted

    if source is not None:
        return password_from_source(source)
    if translation.password:
        return translation.password.encode()
    for key in plan.keys:
        try:
            encrypted = is_encrypted(key.contents, where=str(key.path))
        except ConfigError:
            return None  # what is wrong with the file is told where the key is judged
        if encrypted:
            return password(None, f"Please enter the password to decrypt {key.path}", flag="--password-file")
    return None


def _judged(home: "Path", plan: "Plan", outputs: "Outputs", findings: "Findings", secret: bytes | None) -> "Authority":
    """The CA to be; raises FileProblem with every fault."""
    from mica.cli.ca.migration.verification import key_faults
    from mica.cli.ca.planned import PlannedFiles, judged
    from mica.errors import ConfigError

    with progress(f"opening {plan.signer.key.path}"):
        faults = key_faults(plan, secret)
    if faults:
        _give_up(findings, faults)
    *_, (path, text, _) = outputs
    planned = {target.absolute(): contents for target, contents, _ in outputs}
    try:
        return judged(path.absolute(), text.decode(), PlannedFiles(planned), secret)
    except ConfigError as error:
        _give_up(findings, error.faults)


def _write(home: "Path", authority: "Authority", plan: "Plan", serials: tuple[int, ...], outputs: "Outputs") -> int:
    """The files are there, after the revocations are on record; how many of these are new."""
    from mica import foundation
    from mica.cli.ca.migration.revoked import revoke_all
    from mica.errors import MicaError

    for folder in sorted({home, (home / foundation.DATABASE).parent, *(path.parent for path, _, _ in outputs)}):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FileProblem(f"{folder}: cannot be made: {(error.strerror or str(error)).lower()}") from error
    revoked = 0
    if serials:
        import asyncio  # slow to import, and most migrations need none of it

        try:
            with progress(f"recording {len(serials)} revocations"):
                revoked = asyncio.run(revoke_all(authority, _digest(plan), serials))
        except MicaError as error:
            raise CLIError(str(error), hint="neither revocations nor files have been written") from error
    write_all(outputs)
    return revoked


def _digest(plan: "Plan") -> bytes:
    """What certificates of the issuer are recorded under."""
    import hashlib

    from mica.pkix import tbs_parts

    return hashlib.sha256(tbs_parts(plan.signer.issuer)[5]).digest()


def _tell(home: "Path", plan: "Plan", findings: "Findings", revoked: int) -> None:
    """What has been done is on stderr, with ``--json`` on stdout."""
    findings.tell()
    say("")
    chosen("Certificate Authority configuration", home / "ca.toml")
    chosen("Root fingerprint", plan.defaults["fingerprint"])
    say("Look it over, stop the old CA, and then: mica ca check && mica ca serve")
    if wants_json():
        members: Mapping[str, object] = {
            "config": str(home / "ca.toml"),
            "ca_url": plan.url,
            "root_fingerprint": plan.defaults["fingerprint"],
            "revoked": revoked,
            "items": [finding.described for finding in findings.found],
        }
        report(members)
