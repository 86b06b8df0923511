"""The configuration of ssh and sshd, filled in for one machine.

Names, types, paths and contents are step-ca's, for step's clients write them as they come. A ``snippet`` goes between
two marks into a file that has more in it, a ``prepend-line`` to its top, a ``file`` is written whole.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mica.sshkeys import KeyLine, SSHPublicKey
from mica_sshsigner.variables import Variables

#: The names of the pieces, in the order in which clients get them.
USER_NAMES = ("config.tpl", "step_includes.tpl", "step_config.tpl", "known_hosts.tpl")
HOST_NAMES = ("sshd_config.tpl", "ca.tpl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A piece of configuration, complete."""

    name: str
    type: str
    path: str
    """Below the client's own folder unless it begins with ``/``, ``~`` or ``${STEPPATH}``."""
    content: str

    def describe(self) -> dict[str, str]:
        """Its JSON members in the answer to ``/ssh/config``."""
        return {
            "name": self.name,
            "type": self.type,
            "path": self.path,
            "comment": "#",
            "content": base64.b64encode(self.content.encode()).decode(),
        }


def user_configuration(data: Mapping[str, str], host_keys: Iterable[SSHPublicKey]) -> tuple[Rendered, ...]:
    """What makes ssh log in with certificates, and believe in hosts by ``host_keys``; raises MalformedRequest.

    Of ``data`` count ``StepPath``, ``StepBasePath``, ``User``, ``Context``, ``Provisioner``, ``Console``, ``Command``,
    ``GOOS`` and ``StepSSHTemplateVersion``.
    """
    variables = Variables(data)
    includes = {"type": "prepend-line", "path": "${STEPPATH}/ssh/includes"}
    if not variables.has_version:  # step before 0.18 knows neither the type nor the variable in the path
        includes = {"type": "file", "path": "ssh/includes"}
    base, own = _include_path(variables, "StepBasePath", "StepPath"), _include_path(variables, "StepPath")
    return (
        Rendered(
            name="config.tpl", type="snippet", path="~/.ssh/config", content=f'Host *\n\tInclude "{base}/ssh/includes"'
        ),
        Rendered(name="step_includes.tpl", **includes, content=f'Include "{own}/ssh/config"'),
        Rendered(name="step_config.tpl", type="file", path="ssh/config", content=_match(variables)),
        Rendered(
            name="known_hosts.tpl",
            type="file",
            path="ssh/known_hosts",
            content="".join(f"@cert-authority * {_line(key)}\n" for key in host_keys),
        ),
    )


def host_configuration(data: Mapping[str, str], user_keys: Iterable[SSHPublicKey]) -> tuple[Rendered, ...]:
    """What makes sshd show its certificate, and believe in users by ``user_keys``; raises MalformedRequest.

    Of ``data`` count ``Certificate`` and ``Key``, the names of files in ``/etc/ssh``, both required.
    """
    variables = Variables(data)
    lines = (
        "Match all",
        "\tTrustedUserCAKeys /etc/ssh/ca.pub",
        f"\tHostCertificate /etc/ssh/{variables.file('Certificate')}",
        f"\tHostKey /etc/ssh/{variables.file('Key')}",
    )
    return (
        Rendered(name="sshd_config.tpl", type="snippet", path="/etc/ssh/sshd_config", content="\n".join(lines)),
        Rendered(
            name="ca.tpl",
            type="snippet",
            path="/etc/ssh/ca.pub",
            content="".join(f"{_line(key)}\n" for key in user_keys),
        ),
    )


def _include_path(variables: Variables, *names: str) -> str:
    path = variables.path(*names)
    # ssh on Windows takes "Include C:\…" for a relative path.
    return path.replace("\\", "/").removeprefix("C:") if variables.is_windows else path


def _match(variables: Variables) -> str:
    """For hosts that have a certificate: whose account, which known hosts, and how to get there."""
    command, context = variables.command, variables.word("Context")
    in_context = f" --context {context}" if context else ""
    options = in_context + (" --console" if variables.has_console else "")
    if provisioner := variables.argument("Provisioner"):
        options += f" --provisioner {provisioner}"
    separator, shell = ("\\", "C:\\Windows\\System32\\cmd.exe /c ") if variables.is_windows else ("/", "")
    known_hosts = separator.join((variables.path("StepPath"), "ssh", "known_hosts"))
    lines = [f'Match exec "{command} ssh check-host{in_context} %h"']
    if user := variables.account("User"):
        lines.append(f"\tUser {user}")
    lines.append(f'\tUserKnownHostsFile "{known_hosts}"')
    lines.append(f"\tProxyCommand {shell}{command} ssh proxycommand{options} %r %h %p")
    return "".join(f"{line}\n" for line in lines)


def _line(key: SSHPublicKey) -> str:
    return KeyLine(key_type=key.key_type, blob=key.blob).format()
