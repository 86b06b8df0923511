"""``mica ssh renew`` and ``mica ssh rekey``: a host certificate that continues another."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, was_typed
from mica.cli.console import chosen, report, wants_json
from mica.cli.errors import Usage
from mica.cli.files import keep_apart
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.renewal.flags import CommandAfterDashes, automation

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline
    from mica.cli.renewal.automation import Automation
    from mica.cli.ssh.upkeep.continuation import Continued, Provisioner


@click.command(
    cls=CommandAfterDashes,
    epilog=options.examples(
        "mica ssh renew --force ssh_host_key-cert.pub ssh_host_key",
        "mica ssh renew --force --expires-in 66% ssh_host_key-cert.pub ssh_host_key --exec 'echo reload sshd'",
        "timeout --preserve-status 5 mica ssh renew --daemon ssh_host_key-cert.pub ssh_host_key -- echo renewed",
    ),
)
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--out", "--output-file", "out", type=FILE, help="Write the new certificate there [CRT_FILE].")
@options.provisioner_name
@options.password_file("Password of KEY_FILE")
@automation("--renew-period")
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def renew(
    crt_file: "Path",
    key_file: "Path",
    out: "Path | None",
    provisioner: str | None,
    password_file: str | None,
    automation: "Automation",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Renew the host certificate in CRT_FILE: same key, same principals, same duration. sshd reads it when reloaded.

    Users' certificates are not renewed: mica ssh login gets a new one. With --daemon, go on doing so; SIGHUP renews
    now, SIGTERM ends. What stands behind -- is run after each renewal.
    """
    from mica.cli.renewal import replacement  # cryptography is slow to import
    from mica.cli.renewal.pairfiles import KeyOpener
    from mica.cli.ssh.upkeep import continuation, hostpairs

    replacement.check_files(crt_file, key_file, password_file, offline)
    pair = hostpairs.Pair(certificate=crt_file, key=key_file, keys=KeyOpener(source=password_file))
    way = continuation.Renewal(target=out or crt_file, provisioner=_provisioner(provisioner, automation))
    keep_apart([way.target], [key_file])
    reach = replacement.reach(ca_url, root, offline)
    _refuse_output(automation, out)
    if automation.daemon:
        replacement.keep(pair, way, automation, reach)
        return
    continued, url = replacement.once(pair, way, automation, reach, force=force)
    _tell(continued, url)
    replacement.carry_out(automation)


@click.command(
    cls=CommandAfterDashes,
    epilog=options.examples(
        "mica ssh rekey --force ssh_host_key-cert.pub ssh_host_key",
        "mica ssh rekey ssh_host_key-cert.pub ssh_host_key --out new_host_key --kty OKP",
        "mica ssh rekey --force ssh_host_key-cert.pub ssh_host_key --exec 'echo reload sshd'",
    ),
)
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--out", "--output-file", "out", type=FILE, help="Write to OUT, OUT.pub and OUT-cert.pub [KEY_FILE].")
@options.key
@options.provisioner_name
@options.password_file("Password of KEY_FILE")
@click.option("--key-password-file", metavar="FILE", help="Password to encrypt the new key with [as KEY_FILE's].")
@click.option("--no-password", is_flag=True, help="Leave the new key unencrypted; needs --insecure.")
@options.insecure
@automation("--rekey-period")
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def rekey(
    crt_file: "Path",
    key_file: "Path",
    out: "Path | None",
    kty: str | None,
    curve: str | None,
    size: int | None,
    provisioner: str | None,
    password_file: str | None,
    key_password_file: str | None,
    no_password: bool,
    insecure: bool,
    automation: "Automation",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Renew the host certificate in CRT_FILE with a new key of the same kind; key, public key and certificate change.

    A key that was encrypted stays so, with its password unless there is a new one. With --daemon, go on doing so;
    SIGHUP rekeys now, SIGTERM ends. What stands behind -- is run after each time.
    """
    from pathlib import Path

    from mica.cli.renewal import replacement  # cryptography is slow to import
    from mica.cli.renewal.pairfiles import KeyOpener
    from mica.cli.ssh.issuing.keypairs import Place
    from mica.cli.ssh.upkeep import continuation, hostpairs

    if no_password:
        options.require_insecure("--no-password", insecure)
        if key_password_file:
            raise Usage("flag '--no-password' is incompatible with '--key-password-file'")
    secrets = {"--password-file": password_file, "--key-password-file": key_password_file}
    check_sources(secrets | {"--ca-password-file": offline.password_source if offline else None})
    replacement.check_files(crt_file, key_file, password_file, offline)
    _refuse_output(automation, out)
    keys = KeyOpener(source=password_file, new_password=given(key_password_file))
    pair = hostpairs.Pair(certificate=crt_file, key=key_file, keys=keys)
    way = continuation.Rekeying(
        target=Path(f"{out}-cert.pub") if out else crt_file,
        key=Place(out or key_file),
        provisioner=_provisioner(provisioner, automation),
        algorithm=options.key_algorithm(kty, curve, size) if kty or curve or size else None,
        password=keys.new_password,
        encrypted=not no_password,
    )
    keep_apart([way.target, way.key.public], [key_file])
    keep_apart([way.key.private, way.key.public], [crt_file])
    reach = replacement.reach(ca_url, root, offline)
    if automation.daemon:
        replacement.keep(pair, way, automation, reach)
        return
    continued, url = replacement.once(pair, way, automation, reach, force=force)
    _tell(continued, url)
    replacement.carry_out(automation)


def _provisioner(name: str | None, automation: "Automation") -> "Provisioner":
    """The one that was typed; elsewhere ``name`` is that of a provisioner for other orders."""
    from mica.cli.ssh.upkeep.continuation import Provisioner

    return Provisioner(name=name if was_typed("--provisioner") else None, silent=automation.daemon)


def _tell(continued: "Continued", url: str) -> None:
    from mica.cli.ssh.issuing.certification import listed, summary

    files = {"Certificate": continued.target}
    if continued.key is not None:
        files = {"Private Key": continued.key.private, "Public Key": continued.key.public} | files
    for name, path in files.items():
        chosen(name, path)
    if wants_json():
        report(summary(continued.certificate.tbs) | {"renewed": True, "ca_url": url, "files": listed(files)})


def _refuse_output(automation: "Automation", out: "Path | None") -> None:
    """A daemon renews what it reads; raises Usage."""
    if automation.daemon and out is not None:
        raise Usage("flag '--out' is incompatible with '--daemon'", hint="it replaces the files that it reads")
