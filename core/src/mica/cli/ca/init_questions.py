"""What founding a CA has to ask for, from flags or from whoever sits at the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mica.cli.kit import FileProblem, Usage, ask_text, password, password_from_source, warn


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Everything that founding a CA has to ask for."""

    name: str
    dns_names: tuple[str, ...]
    address: str
    url: str
    provisioner: str
    password: bytes = field(repr=False)
    provisioner_password: bytes = field(repr=False)


def answers(flags: Mapping[str, Any]) -> Answers:
    """Every answer; what no flag gives is asked for. Raises Usage, FileProblem, PromptNeeded."""
    from mica.config import split_address

    name = flags["name"] or ask_text("What is the name of the new PKI? (e.g. Harbour Works)", flag="--name")
    dns = flags["dns"] or tuple(
        ask_text("Which DNS names or IP addresses will clients use? (e.g. ca.example, 10.1.2.3)", flag="--dns")
        .replace(",", " ")
        .split()
    )
    dns_names = _checked_names(dns)
    address = flags["address"] or ask_text("Where will the server listen? (e.g. 127.0.0.1:8443)", flag="--address")
    try:
        _, port = split_address(address)
    except ValueError as error:
        raise Usage(f"{error}", hint="--address 127.0.0.1:8443, [::1]:8443 or :8443") from error
    provisioner = flags["provisioner"] or ask_text(
        "What is the name of the first provisioner? (e.g. you@harbour.example)", flag="--provisioner"
    )
    host = f"[{dns_names[0]}]" if ":" in dns_names[0] else dns_names[0]
    ca_password, provisioner_password = _passwords(flags)
    return Answers(
        name=name,
        dns_names=dns_names,
        address=address,
        url=flags["with_ca_url"] or f"https://{host}" + ("" if port == 443 else f":{port}"),
        provisioner=provisioner,
        password=ca_password,
        provisioner_password=provisioner_password,
    )


def _checked_names(dns: tuple[str, ...]) -> tuple[str, ...]:
    from mica.errors import MalformedRequest
    from mica.names import classify, text

    try:
        return tuple(dict.fromkeys(text(classify(name)) for name in dns))
    except MalformedRequest as error:
        raise Usage(str(error), hint="--dns takes DNS names and IP addresses") from error


def _passwords(flags: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Of the CA keys, and of the provisioner's key."""
    given = flags["password_file"]
    ca = _not_empty(
        password(given, "Please enter a password for the CA keys", flag="--password-file", new=True),
        "--password-file",
    )
    if flags["provisioner_password_file"]:
        own = password_from_source(flags["provisioner_password_file"])
        return ca, _not_empty(own, "--provisioner-password-file")
    if given:
        warn(
            "the first provisioner's key has the password of the CA keys: whoever may issue certificates can open them;"
            " --provisioner-password-file gives it one of its own"
        )
        return ca, ca
    label = "Please enter another password for the first provisioner's key"
    return ca, password(None, label, flag="--provisioner-password-file", new=True)


def _not_empty(secret: bytes, flag: str) -> bytes:
    if not secret:
        raise FileProblem(f"the password of {flag} is empty", hint="write a password into the file")
    return secret
