"""What a CA's templates are filled in with."""

import re
import sys
from collections.abc import Iterable, Sequence

from mica.cli.errors import CLIError, Usage
from mica.cli.paths import context_in_use
from mica.cli.ssh.agent import Agent, AgentProblem, valid
from mica.cli.ssh.configuring.places import Places
from mica.client.ssh import SSHClient
from mica.clock import system_clock

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: sshd has several host keys; everything else there is one of.
_PER_KEY = ("Certificate", "Key")
_OURS = ("GOOS", "StepPath", "StepBasePath", "StepSSHTemplateVersion", "Context")
_ETC_SSH = "/etc/ssh/"
NAMING_A_HOST_KEY = (
    "each host key has its certificate: --set Certificate=ssh_host_ecdsa_key-cert.pub --set Key=ssh_host_ecdsa_key"
)
_LOGIN = "run first: mica ssh login; or name the account: --set User=NAME"


def parsed(pairs: Iterable[str]) -> list[tuple[str, str]]:
    """What ``--set NAME=VALUE`` says; raises Usage."""
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(name) or not value:
            raise Usage(f"invalid value {pair!r} for flag '--set'", hint="it is NAME=VALUE, as in --set User=alice")
        if name in _OURS:
            raise Usage(f"invalid value {pair!r} for flag '--set': mica itself says what {name} is")
        if not value.isprintable():
            raise Usage(f"invalid value for {name} in flag '--set': it holds control characters")
        found.append((name, value))
    return found


def of_machine(places: Places) -> dict[str, str]:
    """What every template may ask for."""
    context = context_in_use()
    return {
        "GOOS": "windows" if sys.platform == "win32" else re.sub(r"\d+$", "", sys.platform),
        "StepPath": str(places.mica),
        "StepBasePath": str(places.base),
        "StepSSHTemplateVersion": "v2",
        "Command": "mica",
        **({} if context is None else {"Context": context.name}),
    }


def for_user(places: Places, pairs: Sequence[tuple[str, str]], ca: SSHClient) -> list[dict[str, str]]:
    """The data of the one rendering that a client needs; raises Usage, CLIError when nobody says who the user is."""
    said = _single(pairs)
    if "User" not in said:
        said["User"] = _user_in_agent(ca)
    return [of_machine(places) | said]


def for_host(places: Places, pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """The data of one rendering for each host key; raises Usage when keys and certificates do not go in pairs."""
    certificates, keys = ([_in_etc_ssh(name, value) for name, value in pairs if name == wanted] for wanted in _PER_KEY)
    if len(certificates) != len(keys):
        raise Usage(
            f"--set Certificate=… stands {len(certificates)} times, and --set Key=… {len(keys)} times",
            hint=NAMING_A_HOST_KEY,
        )
    shared = of_machine(places) | _single([pair for pair in pairs if pair[0] not in _PER_KEY])
    both = zip(certificates, keys, strict=True)
    return [shared | {"Certificate": certificate, "Key": key} for certificate, key in both] or [shared]


def _single(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise Usage(f"flag '--set' says twice what {name} is", hint=f"{found[name]!r} or {value!r}: give one")
    return found


def _in_etc_ssh(name: str, value: str) -> str:
    """The name of a file in ``/etc/ssh``, which the templates put in front."""
    short = value.removeprefix(_ETC_SSH)
    if not short or short.startswith("/") or ".." in short.split("/"):
        raise Usage(f"{name} must be a file in /etc/ssh, and {value!r} is none", hint="its name alone will do")
    return short


def _user_in_agent(ca: SSHClient) -> str:
    """The first principal of a certificate of this CA's that the agent holds; raises CLIError."""
    authorities = ca.roots().user
    try:
        with Agent.open() as agent:
            certified = valid(agent.identities(), authorities, system_clock())
    except AgentProblem as error:
        raise CLIError(f"there is no SSH certificate that says who you are: {error.message}", hint=_LOGIN) from error
    for identity in certified:
        if identity.certificate is not None and identity.certificate.tbs.valid_principals:
            return identity.certificate.tbs.valid_principals[0]
    raise CLIError("the SSH agent holds no valid certificate of this CA", hint=_LOGIN)
