"""The certificates that this system trusts: where Debian keeps them, and what to type where another system does.

On Debian a file of our own below ``/usr/local/share/ca-certificates`` is all that changes, named by the certificate's
fingerprint; update-ca-certificates(8) does the rest, and tells Java's keystore too where its hook is installed.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mica.cli import files
from mica.cli.anchors import Anchor as Anchor
from mica.cli.anchors import read_anchor as read_anchor
from mica.cli.console import progress, warn
from mica.cli.errors import CLIError, FileProblem

#: How the names begin that certificates have in a store.
PREFIX = "mica"

_LOCAL = Path("/usr/local/share/ca-certificates")
_CONFIGURATION = Path("/etc/ca-certificates.conf")
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_UPDATE = "update-ca-certificates"

#: Where a file is put, and what is run then.
_STORES = {
    "debian": (f"{_LOCAL}/{{name}}.crt", _UPDATE),
    "alpine": (f"{_LOCAL}/{{name}}.crt", _UPDATE),
    "rhel": ("/etc/pki/ca-trust/source/anchors/{name}.crt", "update-ca-trust extract"),
    "suse": ("/etc/pki/trust/anchors/{name}.crt", _UPDATE),
}
#: Where one command does all: to install, and to remove.
_OTHER_TOOLS = {
    "arch": ("sudo trust anchor --store {file}", "sudo trust anchor --remove {file}"),
    "darwin": (
        "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}",
        "sudo security remove-trusted-cert -d {file}",
    ),
    "win32": ('certutil -addstore -f ROOT "{path}"', "certutil -delstore ROOT {sha1}"),
}
#: Distributions that do as another one does (os-release(5), ID and ID_LIKE).
_LIKE = {"ubuntu": "debian", "fedora": "rhel", "centos": "rhel", "opensuse": "suse", "sles": "suse"}


class ByHand(CLIError):
    """Nothing was done: here somebody has to type the command that ``hint`` has."""

    code = "by-hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of the store."""

    name: str
    fingerprint: str
    file: Path
    """The file that holds the certificate, or held it."""
    changed: bool
    """False when everything was so already."""


def install(certificate: Path, *, prefix: str = PREFIX) -> Change:
    """This system trusts the CA certificate in the file, whatever it did before.

    Raises FileProblem when it is none, when it has expired, or when this user may not; ByHand where this is no Debian.
    An update that fails leaves no file behind.
    """
    anchor = read_anchor(certificate, prefix)
    anchor.check_dates()
    file = _place(anchor, remove=False)
    if anchor.certificate.subject != anchor.certificate.issuer:
        warn(f"{certificate}: is no root; OpenSSL trusts nothing by it alone, for it wants the root as well")
    before = file.read_bytes() if file.exists() else None
    try:
        _put(file, anchor.pem)
        _update(_CONFIGURATION)
        if anchor.pem.strip() not in _BUNDLE.read_bytes():
            raise CLIError(f"{_UPDATE} has left the certificate out of {_BUNDLE}", hint="run it by itself to see why")
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        raise
    return Change(name=anchor.name, fingerprint=anchor.fingerprint, file=file, changed=before != anchor.pem)


def uninstall(certificate: Path, *, prefix: str = PREFIX) -> Change:
    """What ``install`` did with the same certificate and prefix is undone, and nothing else is; raises as it does.

    Where the system was told to trust the certificate in another way, it goes on, and stderr says so.
    """
    anchor = read_anchor(certificate, prefix)
    file = _place(anchor, remove=True)
    before = file.read_bytes() if file.exists() else None
    file.unlink(missing_ok=True)
    try:
        _forget(anchor)
    except BaseException:
        if before is not None:
            _put(file, before)
        raise
    if _BUNDLE.exists() and anchor.pem.strip() in _BUNDLE.read_bytes():
        warn(f"{certificate}: is still trusted here, for it was installed in another way, too")
    return Change(name=anchor.name, fingerprint=anchor.fingerprint, file=file, changed=before is not None)


def command(anchor: Anchor, *, remove: bool) -> str:
    """What whoever may do it types on this system; raises ByHand when mica does not know that."""
    family = _family()
    if not family:
        raise ByHand(
            f"{anchor.path}: {_nothing(remove)}: mica does not know where this system keeps what it trusts",
            hint=f"the system's manual has the command; the certificate is in {anchor.operand}",
        )
    if family in _STORES:
        file, update = _STORES[family][0].format(name=anchor.name), _STORES[family][1]
        # Some of the tools read PEM alone.
        copy = f"cp {anchor.operand}" if anchor.is_pem else f"openssl x509 -in {anchor.operand} -out"
        return f"sudo {f'rm -f {file}' if remove else f'{copy} {file}'} && sudo {update}"
    from cryptography.hazmat.primitives import hashes

    sha1 = anchor.certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - Windows names certificates by it
    return _OTHER_TOOLS[family][remove].format(file=anchor.operand, path=anchor.path.absolute(), sha1=sha1)


def _nothing(remove: bool) -> str:
    return f"nothing was {'removed' if remove else 'installed'}"


def _place(anchor: Anchor, *, remove: bool) -> Path:
    """Where Debian has the certificate, and this user may change it; raises ByHand, FileProblem."""
    remedy = f"run this: {command(anchor, remove=remove)}"
    if _family() != "debian":
        raise ByHand(f"{anchor.path}: {_nothing(remove)}: mica changes the trust store of Debian only", hint=remedy)
    if _tool() is None:
        raise CLIError(f"{_UPDATE} is not installed", hint="apt-get install ca-certificates")
    if os.geteuid() != 0:
        raise FileProblem(f"{_LOCAL}: only root may change what this system trusts; {_nothing(remove)}", hint=remedy)
    return _LOCAL / f"{anchor.name}.crt"


def _family() -> str:
    """Which kind of system this is: ``debian``, ``rhel``, …, ``darwin``, ``win32``; the empty text for another."""
    if sys.platform in ("darwin", "win32"):
        return sys.platform
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    families = (_LIKE.get(name, name) for name in (release["ID"], *release.get("ID_LIKE", "").split()))
    return next((family for family in families if family in {*_STORES, *_OTHER_TOOLS}), "")


def _tool() -> str | None:
    from shutil import which

    return which(_UPDATE, path="/usr/sbin:/sbin")


def _put(file: Path, pem: bytes) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write_atomic(file, pem, mode=0o644)
    file.chmod(0o644)  # whoever verifies reads it, whatever root's umask is


def _forget(anchor: Anchor) -> None:
    """The store is made anew without the certificate.

    As a deselected one: of a file that has merely gone, the tool leaves the links, and tells no hook (Java's) of it.
    """
    import tempfile

    selected = _CONFIGURATION.read_bytes() if _CONFIGURATION.exists() else b""
    with tempfile.NamedTemporaryFile(prefix="mica-", suffix=".conf") as configuration:
        configuration.write(selected + f"\n!{anchor.name}.crt\n".encode())
        configuration.flush()
        _update(Path(configuration.name))


def _update(configuration: Path) -> None:
    """update-ca-certificates(8) has run; raises CLIError with what it said last."""
    import subprocess

    command = [_tool() or _UPDATE, "--certsconf", str(configuration)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    with progress("updating what this system trusts"):
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of it comes from outside
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=environment
        )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise CLIError(f"{_UPDATE} failed: {said[-1]}", hint="run it by itself to see more")
