"""What founding a CA has to ask for, from flags or from whoever sits at the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mica.cli.kit import Usage, ask_password, ask_text, password_from_source, warn


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the configuration of a CA has to ask for."""

    dns_names: tuple[str, ...]
    address: str
    url: str
    provisioner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Of the keys: two that ought to differ."""

    ca: bytes = field(repr=False)
    provisioner: bytes = field(repr=False)


def pki_name(flags: Mapping[str, Any]) -> str:
    """The name of the PKI; raises Usage, PromptNeeded."""
    from mica.errors import ConfigError
    from mica.foundation import check_name

    name: str = flags["name"] or ask_text("What is the name of the new PKI? (e.g. Harbour Works)", flag="--name")
    try:
        check_name(name)
    except ConfigError as error:
        raise Usage(str(error)) from error
    return name


def dns_names(flags: Mapping[str, Any]) -> tuple[str, ...]:
    """What clients call the CA, each name in its standard form; raises Usage, PromptNeeded."""
    from mica.errors import MalformedRequest
    from mica.names import classify, text

    given = flags["dns"] or (
        ask_text("Which DNS names or IP addresses will clients use? (e.g. ca.example, 10.1.2.3)", flag="--dns")
        .replace(",", " ")
        .split()
    )
    try:
        return tuple(dict.fromkeys(text(classify(name)) for name in given))
    except MalformedRequest as error:
        raise Usage(str(error), hint="--dns takes DNS names and IP addresses") from error


def service(flags: Mapping[str, Any], names: tuple[str, ...]) -> Service:
    """Where the CA with these names listens and who may ask it first; raises Usage, PromptNeeded."""
    from mica.config import split_address

    address = flags["address"] or ask_text("Where will the server listen? (e.g. 127.0.0.1:8443)", flag="--address")
    try:
        _, port = split_address(address)
    except ValueError as error:
        raise Usage(f"{error}", hint="--address 127.0.0.1:8443, [::1]:8443 or :8443") from error
    provisioner = flags["provisioner"] or ask_text(
        "What is the name of the first provisioner? (e.g. you@harbour.example)", flag="--provisioner"
    )
    host = f"[{names[0]}]" if ":" in names[0] else names[0]
    return Service(
        dns_names=names,
        address=address,
        url=flags["with_ca_url"] or f"https://{host}" + ("" if port == 443 else f":{port}"),
        provisioner=provisioner,
    )


def passwords(flags: Mapping[str, Any], *, provisioner: bool) -> Passwords:
    """The passwords of the CA keys and, if there is to be one, of the provisioner's key.

    An empty answer is one that is made, and shown on the terminal; a file must not be empty. For a dry run, which
    encrypts nothing that stays, nothing is asked. Raises FileProblem, PromptNeeded.
    """
    label = "Please enter a password for the CA keys"
    ca = _new(flags, "ca_password_file", "--ca-password-file", label)
    if not provisioner:
        return Passwords(ca=ca, provisioner=b"")
    if flags["ca_password_file"] and not flags["provisioner_password_file"]:
        own = ca
    else:
        label = "Please enter another password for the first provisioner's key"
        own = _new(flags, "provisioner_password_file", "--provisioner-password-file", label)
    if own == ca:
        warn(
            "the first provisioner's key has the password of the CA keys: whoever may issue certificates can open them;"
            " --provisioner-password-file gives it one of its own"
        )
    return Passwords(ca=ca, provisioner=own)


def _new(flags: Mapping[str, Any], name: str, flag: str, label: str) -> bytes:
    if flags[name]:
        return password_from_source(flags[name])
    if flags["dry_run"]:
        return generated_password()
    return ask_password(f"{label} (nothing: one is made)", flag=flag, new=True, generate=generated_password)


def generated_password() -> bytes:
    """32 letters and digits: 190 random bits."""
    import secrets
    import string

    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(32)).encode()
