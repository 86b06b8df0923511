"""Where an SSH certificate goes when it is here: into files, into the agent, and onto the screen."""

from datetime import timedelta

from mica.cli.console import chosen, failed, report, wants_json
from mica.cli.errors import Usage
from mica.cli.files import write_all
from mica.cli.ssh.agent import Agent, AgentProblem
from mica.cli.ssh.issuing.certification import Certified, listed, summary
from mica.cli.ssh.issuing.holders import Holder
from mica.clock import system_clock
from mica.sshcert import SSHCertificate


def check_comment(comment: str | None) -> None:
    """An agent can list it; raises Usage."""
    if comment is not None and not comment.isprintable():
        raise Usage(f"invalid value {comment!r} for flag '--comment': must be one line of text")


def deliver(holder: Holder, certified: Certified, url: str, *, comment: str | None, agent: bool) -> None:
    """Everything is on disk, the agent has what it can take, and all of it is told about."""
    write_all(holder.files(certified))
    for label, path in holder.told.items():
        chosen(label, path)
    taken = _hand_over(holder, certified.certificate, comment) if agent and holder.key is not None else None
    if wants_json():
        told = summary(certified.certificate.tbs) | {"ca_url": url, "files": listed(holder.told), "agent": taken}
        if certified.add_user is not None:
            told["add_user"] = summary(certified.add_user.tbs)
        report(told)


def remaining(certificate: SSHCertificate) -> timedelta | None:
    """How long the certificate will be of use; None is without end."""
    end = certificate.tbs.valid_before
    return None if end is None else end - system_clock()


def _hand_over(holder: Holder, certificate: SSHCertificate, comment: str | None) -> bool:
    """Whether the agent has the key. The files are there, so its refusal is told and is no failure."""
    assert holder.key is not None
    try:
        with Agent.open() as agent:
            agent.add(holder.key, certificate.blob, comment or certificate.tbs.key_id, remaining(certificate))
    except AgentProblem as problem:
        failed("SSH Agent", problem.message)
        return False
    chosen("SSH Agent", "yes")
    return True
