"""``mica ssh krl``: what is revoked, as sshd reads it."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import chosen, product, report, wants_json
from mica.cli.errors import FileProblem, Usage
from mica.cli.options import FILE

if TYPE_CHECKING:
    from pathlib import Path

    from mica.krl import KRL

_MODE = 0o644


@click.command(
    epilog=options.examples(
        "mica ssh krl --out revoked_keys",
        "mica ssh krl >revoked_keys && ssh-keygen -Q -l -f revoked_keys",
        "mica ssh krl --out revoked_keys --json",
    )
)
@click.option("--out", "--output-file", "out", type=FILE, help="Write the list there; an older one is replaced.")
@options.connection
@options.force
@options.json_output
@reported()
def krl(out: "Path | None", ca_url: str | None, root: "Path | None", force: bool) -> None:
    """Fetch OpenSSH's key revocation list of every certificate that the CA has revoked, for RevokedKeys of sshd.

    sshd reads the file for every login: no reload is needed. While there is no file, sshd refuses every key; so fetch
    it first. When the CA is away, the file stays as it is.
    """
    from mica.cli.files import settle, write_all
    from mica.cli.ssh.asking import NOT_FOUND, explained, ssh_of
    from mica.krl import KRL  # cryptography is slow to import
    from mica.sshwire import MalformedSSH

    if out is None and wants_json():
        raise Usage("flag '--json' requires the '--out' flag: stdout has room for one of the two")
    before = _previous(out) if out is not None else None
    if out is not None:
        settle([out], force=force or before is not None or _is_empty(out))
    with explained(ca_url, {NOT_FOUND}):
        octets = ssh_of(ca_url, root).krl()
    try:
        fetched = KRL.decode(octets)
    except MalformedSSH as error:
        from mica.client import NotTheCA

        raise NotTheCA(f"the CA sent something that is no key revocation list: {error}") from error
    if out is None:
        product(octets, nl=False)
        return
    if before is not None and before.version > fetched.version:
        raise FileProblem(
            f"{out}: is a newer list ({before.version}) than the CA's ({fetched.version}), and stays",
            hint="was the CA restored from a backup? then revoke again what is missing, and remove the file",
        )
    write_all([(out, octets, _MODE)])
    chosen("Key Revocation List", out)
    if wants_json():
        report({"version": fetched.version, "revoked": _count(fetched), "file": str(out)})


def _previous(out: "Path") -> "KRL | None":
    """The list that is there; None where there is none, or something else, which is not replaced without asking."""
    from mica.cli.files import read_input
    from mica.krl import KRL
    from mica.sshwire import MalformedSSH

    if str(out) == "-" or not out.is_file():
        return None
    try:
        return KRL.decode(read_input(out))
    except MalformedSSH:
        return None


def _is_empty(out: "Path") -> bool:
    """Whether nothing is in the file that is there: it was made so that sshd starts before the first list has come."""
    return out.is_file() and out.stat().st_size == 0


def _count(krl: "KRL") -> int:
    return sum(len(part) for section in krl.certificates for part in section.serials)
