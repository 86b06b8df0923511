"""``mica certificate install`` and ``uninstall``: a CA that this machine's programs trust, or no longer do."""

from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mica.cli.kit import Usage, options, product, report, say, truststore, wants_json

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])


def _stores(command: Command) -> Command:
    """``prefix``, ``print_``, and which stores: ``java``, ``firefox``, ``no_system``, ``all_``."""
    for decorator in (
        click.option("--print", "print_", is_flag=True, help="Do nothing; print the commands that do it."),
        click.option("--all", "all_", is_flag=True, help="The system's store, Java's and Firefox's."),
        click.option("--no-system", is_flag=True, help="Not the system's store."),
        click.option("--firefox", is_flag=True, help="Firefox's store, also; the command to run is printed."),
        click.option("--java", is_flag=True, help="Java's store, also; the command to run is printed."),
        click.option(
            "--prefix", metavar="NAME", default=truststore.PREFIX, help=f"How its name begins [{truststore.PREFIX}]."
        ),
    ):
        command = decorator(command)
    return command


@click.command(epilog=options.examples("mica certificate install --print root_ca.crt"))
@click.argument("file", type=options.FILE)
@_stores
@options.json_output
def install(file: "Path", prefix: str, print_: bool, **stores: bool) -> None:
    """Make this system trust the root certificate in FILE.

    On Debian and its like that is done, by root; elsewhere the command to run is printed, and the exit code is 1.
    """
    wanted = _wanted(**stores)
    anchor = truststore.read_anchor(file, prefix)
    anchor.check_dates()
    if print_:
        _print(anchor, wanted, remove=False)
        return
    if "system" in wanted:
        change = truststore.install(file, prefix=prefix)
        _tell(change, "is trusted by this system now" if change.changed else "was trusted by this system already")
    _leave(anchor, wanted, remove=False)


@click.command(epilog=options.examples("mica certificate uninstall --print root_ca.crt"))
@click.argument("file", type=options.FILE)
@_stores
@options.json_output
def uninstall(file: "Path", prefix: str, print_: bool, **stores: bool) -> None:
    """Undo what install did with the root certificate in FILE, and nothing else.

    On Debian and its like that is done, by root; elsewhere the command to run is printed, and the exit code is 1.
    """
    wanted = _wanted(**stores)
    anchor = truststore.read_anchor(file, prefix)
    if print_:
        _print(anchor, wanted, remove=True)
        return
    if "system" in wanted:
        change = truststore.uninstall(file, prefix=prefix)
        _tell(change, "is no longer installed" if change.changed else "was not installed")
    _leave(anchor, wanted, remove=True)


def _wanted(*, java: bool, firefox: bool, no_system: bool, all_: bool) -> tuple[str, ...]:
    """The stores that the flags name; raises Usage when they leave none."""
    if all_ and no_system:
        raise Usage("flag '--all' is incompatible with '--no-system'")
    named = {"system": not no_system, "java": java or all_, "firefox": firefox or all_}
    wanted = tuple(store for store, meant in named.items() if meant)
    if not wanted:
        raise Usage("flag '--no-system' requires the flag '--java' or '--firefox'")
    return wanted


def _tell(change: truststore.Change, what: str) -> None:
    if wants_json():
        report(
            {
                "store": "system",
                "name": change.name,
                "fingerprint": change.fingerprint,
                "file": str(change.file),
                "changed": change.changed,
            }
        )
    else:
        say(f"The certificate {change.fingerprint} {what}.")


def _print(anchor: truststore.Anchor, wanted: tuple[str, ...], *, remove: bool) -> None:
    commands = [line for store in wanted for line in _commands(anchor, store, remove=remove)]
    if wants_json():
        report({"commands": commands})
    else:
        product("\n".join(commands))


def _leave(anchor: truststore.Anchor, wanted: tuple[str, ...], *, remove: bool) -> None:
    """Nothing is left to do; raises ByHand with the commands for the stores of other programs."""
    left = [store for store in wanted if store != "system"]
    if left:
        done = "removed from" if remove else "installed in"
        lines = [line for store in left for line in _commands(anchor, store, remove=remove)]
        raise truststore.ByHand(
            f"{anchor.path}: was not {done} the trust store of {' and '.join(map(str.capitalize, left))}",
            hint="\n".join(["run this: " + lines[0], *lines[1:]]),
        )


def _commands(anchor: truststore.Anchor, store: str, *, remove: bool) -> list[str]:
    if store == "system":
        return [truststore.command(anchor, remove=remove)]
    return (_java if store == "java" else _firefox)(anchor, remove=remove)


def _java(anchor: truststore.Anchor, *, remove: bool) -> list[str]:
    """keytool(1) on the JDK's own keystore; it asks for the keystore's password."""
    if remove:
        return [f"sudo keytool -delete -cacerts -alias {anchor.name}"]
    return [f"sudo keytool -importcert -noprompt -cacerts -alias {anchor.name} -file {anchor.operand}"]


def _firefox(anchor: truststore.Anchor, *, remove: bool) -> list[str]:
    """certutil(1) of NSS on each profile of this user; C stands for a CA that server certificates are trusted by."""
    from pathlib import Path  # slow to import, and help needs none of it

    places = [Path.home() / place for place in (".mozilla/firefox", "snap/firefox/common/.mozilla/firefox")]
    profiles = [quote(str(found.parent)) for place in places for found in sorted(place.glob("*/cert9.db"))]
    what = f"-D -n {anchor.name}" if remove else f"-A -n {anchor.name} -t C,, -a -i {anchor.operand}"
    return [f"certutil {what} -d sql:{profile}" for profile in profiles or ["PROFILE"]]
