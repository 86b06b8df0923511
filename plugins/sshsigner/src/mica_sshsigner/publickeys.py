"""The files of public keys that the configuration names: ``.pub`` files, as ssh-keygen writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mica import ConfigError, Context, MalformedRequest
from mica.sshcert import CertType
from mica.sshkeys import KeyLine, SSHPublicKey

#: A setting, the type of certificates that its keys are for, and the keys.
Place = tuple[str, CertType, tuple[SSHPublicKey, ...]]


def read_keys(context: Context, setting: str, paths: Iterable[Path]) -> tuple[SSHPublicKey, ...]:
    """Every key in the files at ``paths``, in order; raises ConfigError with every fault, each below ``setting``."""
    keys: list[SSHPublicKey] = []
    faults: list[str] = []
    for index, path in enumerate(paths):
        try:
            keys += _read_file(context, path)
        except (ConfigError, MalformedRequest) as error:
            found = error.faults if isinstance(error, ConfigError) else (str(error),)
            faults += [f"{setting}[{index}]: {fault}" for fault in found]
    if faults:
        raise ConfigError(faults)
    return tuple(keys)


def repeated(places: Iterable[Place]) -> Iterator[str]:
    """A fault for each key that stands in more than one place, told of the later one.

    Who is believed to certify hosts must not be believed to certify users as well: a certificate for one would do for
    the other as soon as a program forgets to look at its type.
    """
    seen: dict[bytes, tuple[CertType, str]] = {}
    for setting, cert_type, keys in places:
        for key in keys:
            if key.blob not in seen:
                seen[key.blob] = (cert_type, setting)
                continue
            first_type, first = seen[key.blob]
            if first_type is cert_type:
                yield f"{setting}: the key {key.fingerprint} stands in {first} already; name it once"
            else:
                yield f"{setting}: the key {key.fingerprint} is that of {first} too; users and hosts need two CAs"


def _read_file(context: Context, path: Path) -> Iterator[SSHPublicKey]:
    octets = context.read(context.directory / path)
    if b"PRIVATE KEY" in octets:
        raise ConfigError([f"{path}: is a private key; name the public half, the .pub file beside it"])
    if octets.startswith(b"-----BEGIN"):
        raise ConfigError([f"{path}: is PEM; name a .pub file, which ssh-keygen -i -f {path} makes of it"])
    try:
        lines = octets.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is no text; name a .pub file"]) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise ConfigError([f"{path}: holds no key; name a .pub file"])
    for number, line in numbered:
        yield _read_line(line, f"{path}: line {number}")


def _read_line(line: str, place: str) -> SSHPublicKey:
    parsed = KeyLine.parse(line, place)
    if parsed.is_certificate:
        raise ConfigError([f"{place}: is a certificate; name the CA's own public key"])
    if parsed.prefix:
        raise ConfigError([f"{place}: must be a key alone, without {parsed.prefix[:40]!r} in front"])
    key = SSHPublicKey.decode(parsed.blob, place)
    if faults := key.authority_faults():
        raise ConfigError(f"{place}: {fault}" for fault in faults)
    return key
