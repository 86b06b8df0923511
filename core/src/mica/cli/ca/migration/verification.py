"""Whether the keys of the old CA can be used, judged where they are."""

from mica.cli.ca.migration.plan import KeyFile, Plan
from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, load_private_key


def key_faults(plan: Plan, password: bytes | None) -> tuple[str, ...]:
    """Why a key cannot be used, each with its present place; none when they are what the CA needs."""
    signer = plan.signer
    try:
        key = _opened(signer.key, password)
    except ConfigError as error:
        return error.faults
    if key.public_key() != signer.issuer.public_key():
        named = signer.issuer.subject.rfc4514_string()
        return (f"{signer.key.path}: is not the key of {named}, the first certificate of crt",)
    return tuple(fault for file in (plan.ssh.keys if plan.ssh else ()) for fault in _ssh_key_faults(file, password))


def _ssh_key_faults(file: KeyFile, password: bytes | None) -> tuple[str, ...]:
    try:
        _opened(file, password)
    except ConfigError as error:
        rule = "one password opens all keys of a CA here; give a copy of this one that of the others, and name the copy"
        encrypted = b"ENCRYPTED" in file.contents
        return (*error.faults, *([f"{file.item}: {rule}"] if encrypted else []))
    return ()


def _opened(file: KeyFile, password: bytes | None) -> PrivateKey:
    return load_private_key(file.contents, password, where=str(file.path))
