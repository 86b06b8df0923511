"""ssh-keygen, which judges what mica makes of SSH, and makes what mica has to read."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mica.sshkeys import SK_ECDSA, SK_ED25519
from mica.sshwire import string, text

#: What ``ssh-keygen -t … -b …`` makes; the names are those of files as well.
KEY_OPTIONS = {
    "ed25519": ("-t", "ed25519"),
    "p256": ("-t", "ecdsa", "-b", "256"),
    "p384": ("-t", "ecdsa", "-b", "384"),
    "p521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
SECURITY_KEYS = ("sk-ed25519", "sk-p256")
ALL_KEYS = (*KEY_OPTIONS, *SECURITY_KEYS)


class Keygen:
    """Runs ssh-keygen in a folder, in UTC. Without it tests are skipped, or fail where MICA_REQUIRE_ALL is set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, shutil.which("ssh-keygen")
        if self.program is None:
            if os.environ.get("MICA_REQUIRE_ALL"):
                pytest.fail("ssh-keygen is not installed")
            pytest.skip("ssh-keygen is not installed")

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """What it says, when it ended with ``code``."""
        assert self.program is not None
        done = subprocess.run(
            [self.program, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def key(self, name: str, comment: str = "nobody", *, file: str | None = None) -> Path:
        """The ``.pub`` file of a new key; security keys have no private half."""
        path = self.folder / (file or name)
        if name in SECURITY_KEYS:
            blob = security_key(name)
            key_type = blob[4 : 4 + blob[3]].decode()
            (public := path.with_name(f"{path.name}.pub")).write_text(
                f"{key_type} {base64.b64encode(blob).decode()} {comment}\n"
            )
            return public
        if not path.exists():
            self("-q", *KEY_OPTIONS[name], "-f", path, "-N", "", "-C", comment)
        return path.with_name(f"{path.name}.pub")

    def certificate(self, ca: str, public: Path, *options: str) -> Path:
        """The certificate for the key in ``public`` by the key ``ca``."""
        self("-q", "-s", self.key(ca, file=f"ca-{ca}").with_suffix(""), *options, public)
        return public.with_name(f"{public.stem}-cert.pub")


def blob_of(path: Path) -> bytes:
    """The blob in a ``.pub`` file."""
    return base64.b64decode(path.read_text().split()[1])


def security_key(name: str, application: str = "ssh:") -> bytes:
    """The blob of a new key as a security key would make it (PROTOCOL.u2f)."""
    if name == "sk-ed25519":
        public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        return text(SK_ED25519) + string(public) + text(application)
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return text(SK_ECDSA) + text("nistp256") + string(octets) + text(application)


def damaged(octets: bytes, place: float, how: str, octet: int) -> bytes:
    """``octets`` with one flipped, removed, inserted, or cut at ``place`` (of the whole length)."""
    at = int(place * len(octets))
    if how == "flip":
        return octets[:at] + bytes((octets[at] ^ (octet or 1),)) + octets[at + 1 :]
    if how == "cut":
        return octets[:at]
    return octets[:at] + (bytes((octet,)) if how == "insert" else b"") + octets[at + (how == "remove") :]
