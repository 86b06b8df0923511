"""The keys of a CA, by which hosts believe in users, and users in hosts; as lines."""

from collections.abc import Sequence

from mica.cli.errors import RefusedByCA, Usage
from mica.client import NotTheCA
from mica.client.ssh import SSHClient
from mica.sshkeys import KeyLine, SSHPublicKey
from mica.sshwire import MalformedSSH

_LONGEST = 1024


def authority_keys(ca: SSHClient, url: str, *, host: bool, federated: bool) -> list[SSHPublicKey]:
    """The keys that sign hosts' certificates, or users', those of the federation too where ``federated``.

    Raises RefusedByCA when the CA has none of this type, and what the client raises.
    """
    keys = ca.federation() if federated else ca.roots()
    blobs, whose = (keys.host, "hosts") if host else (keys.user, "users")
    if not blobs:
        raise RefusedByCA(
            f"the CA at {url} has no key that signs certificates for {whose}",
            hint="its configuration needs one: host_key or user_key in [signers.ssh]",
        )
    try:
        return [SSHPublicKey.decode(blob, "the CA's key") for blob in dict.fromkeys(blobs)]
    except MalformedSSH as error:
        raise NotTheCA(f"{url} sends something else than an SSH public key: {error}") from error


def line(key: SSHPublicKey, pattern: str | None) -> str:
    """``type base64``; for known_hosts, with the hosts that it is believed for (sshd(8))."""
    prefix = "" if pattern is None else f"@cert-authority {pattern}"
    return KeyLine(key_type=key.key_type, blob=key.blob, prefix=prefix).format()


def check_pattern(pattern: str) -> None:
    """``pattern`` can stand where known_hosts has the names of hosts; raises Usage."""
    bad = not pattern or len(pattern) > _LONGEST or not pattern.isprintable() or pattern[0] in "#@|"
    if bad or any(character.isspace() for character in pattern):
        raise Usage(
            f"invalid value {pattern!r} for flag '--cert-authority'",
            hint="names of hosts as known_hosts has them, such as '*' or '*.harbour.example,10.0.0.*'",
        )


def described(keys: Sequence[SSHPublicKey], url: str, *, host: bool, pattern: str | None) -> dict[str, object]:
    """The same for ``--json``."""
    rows = [{"type": key.key_type, "fingerprint": key.fingerprint, "line": line(key, pattern)} for key in keys]
    return {"ca_url": url, "signs": "host" if host else "user", "keys": rows}
