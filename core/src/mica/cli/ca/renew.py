"""``mica ca renew`` and ``mica ca rekey``: a certificate that continues another, with its key or with a new one."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources
from mica.cli.console import report, say, wants_json
from mica.cli.errors import Usage
from mica.cli.files import keep_apart
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.renewal.flags import CommandAfterDashes, automation

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline
    from mica.cli.renewal.automation import Automation


@click.command(
    cls=CommandAfterDashes,
    epilog=options.examples(
        "mica ca renew --force svc.crt svc.key",
        "mica ca renew --force --expires-in 8h --exit-code svc.crt svc.key || test $? = 7",
        "mica ca renew --force --exec 'echo renewed >>renewals.log' svc.crt svc.key",
        "timeout --preserve-status 5 mica ca renew --daemon svc.crt svc.key -- systemctl reload nginx",
    ),
)
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--mtls/--no-mtls", default=True, help="Prove the key by mutual TLS, or by a token [--mtls].")
@click.option("--out", "--output-file", "out", type=FILE, help="Write the new certificate there [CRT_FILE].")
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
    mtls: bool,
    out: "Path | None",
    password_file: str | None,
    automation: "Automation",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Renew the certificate in CRT_FILE: same key, same names, same duration.

    With --daemon, go on doing so; SIGHUP renews now, SIGTERM ends. What stands behind -- is run after each renewal.
    """
    from mica.cli.ca import continuation, pairs  # cryptography is slow to import
    from mica.cli.ca.delivery import summary
    from mica.cli.renewal import replacement
    from mica.cli.renewal.pairfiles import KeyOpener

    replacement.check_files(crt_file, key_file, password_file, offline)
    pair = pairs.Pair(certificate=crt_file, key=key_file, keys=KeyOpener(source=password_file))
    way = continuation.Renewal(target=out or crt_file, mtls=mtls)
    keep_apart([way.target], [key_file])
    reach = replacement.reach(ca_url, root, offline)
    _refuse_outputs(automation, {"--out": out})
    if automation.daemon:
        replacement.keep(pair, way, automation, reach)
        return
    continued, url = replacement.once(pair, way, automation, reach, force=force)
    say(f"Your certificate has been saved in {way.target}.")
    if wants_json():
        files = {"certificate": str(way.target)}
        report(summary(continued.leaf) | {"renewed": True, "ca_url": url, "files": files})
    replacement.carry_out(automation)


@click.command(
    cls=CommandAfterDashes,
    epilog=options.examples(
        "mica ca rekey --force svc.crt svc.key",
        "mica ca rekey svc.crt svc.key --out-cert new.crt --out-key new.key --kty RSA",
        "timeout --preserve-status 5 mica ca rekey --daemon svc.crt svc.key --exec 'systemctl reload nginx'",
    ),
)
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--out-cert", type=FILE, help="Write the new certificate there [CRT_FILE].")
@click.option("--out-key", type=FILE, help="Write the new key there [KEY_FILE].")
@click.option("--private-key", type=FILE, help="Use this key instead of making one; it is not written anywhere.")
@options.key
@options.password_file("Password of KEY_FILE, and of --private-key")
@click.option("--key-password-file", metavar="FILE", help="Password to encrypt the new key with [as KEY_FILE's].")
@automation("--rekey-period")
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def rekey(
    crt_file: "Path",
    key_file: "Path",
    out_cert: "Path | None",
    out_key: "Path | None",
    private_key: "Path | None",
    kty: str | None,
    curve: str | None,
    size: int | None,
    password_file: str | None,
    key_password_file: str | None,
    automation: "Automation",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Renew the certificate in CRT_FILE with a new key of the same kind; both files are replaced.

    A key that was encrypted stays so, with its password unless there is a new one. With --daemon, go on doing so;
    SIGHUP rekeys now, SIGTERM ends. What stands behind -- is run after each time.
    """
    from mica.cli.ca import continuation, pairs  # cryptography is slow to import
    from mica.cli.ca.delivery import tell
    from mica.cli.renewal import replacement
    from mica.cli.renewal.pairfiles import KeyOpener

    if private_key is not None and (out_key or kty or curve or size or key_password_file):
        raise Usage("flag '--private-key' is incompatible with '--out-key', '--kty' and '--key-password-file'")
    secrets = {"--password-file": password_file, "--key-password-file": key_password_file}
    check_sources(secrets | {"--ca-password-file": offline.password_source if offline else None})
    _refuse_outputs(automation, {"--out-cert": out_cert, "--out-key": out_key, "--private-key": private_key})
    replacement.check_files(crt_file, key_file, password_file, offline)
    keys = KeyOpener(source=password_file, new_password=given(key_password_file))
    pair = pairs.Pair(certificate=crt_file, key=key_file, keys=keys)
    way = continuation.Rekeying(
        certificate=out_cert or crt_file,
        key=out_key or key_file,
        algorithm=options.key_algorithm(kty, curve, size) if kty or curve or size else None,
        password=keys.new_password,
        brought=None if private_key is None else keys.open(private_key)[0],
    )
    keep_apart([way.certificate], [key_file, private_key])
    keep_apart([way.key], [crt_file])
    reach = replacement.reach(ca_url, root, offline)
    if automation.daemon:
        replacement.keep(pair, way, automation, reach)
        return
    continued, url = replacement.once(pair, way, automation, reach, force=force)
    files = {"Certificate": way.certificate} | ({} if way.brought else {"Private Key": way.key})
    tell(continued.leaf, url, files)
    replacement.carry_out(automation)


def _refuse_outputs(automation: "Automation", outputs: "dict[str, Path | None]") -> None:
    """A daemon renews what it reads; raises Usage."""
    for flag, path in outputs.items():
        if automation.daemon and path is not None:
            raise Usage(f"flag '{flag}' is incompatible with '--daemon'", hint="it replaces the files that it reads")
