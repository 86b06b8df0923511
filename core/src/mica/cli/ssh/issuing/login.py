"""Logging in: a certificate and its key in the SSH agent, and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass

from mica.cli.ca.connection import Connection
from mica.cli.console import chosen, progress, say
from mica.cli.errors import Usage
from mica.cli.ssh.agent import Agent, Identity, signed_by
from mica.cli.ssh.asking import user_keys
from mica.cli.ssh.issuing import certification, orders, tokenorders
from mica.cli.ssh.issuing.delivery import remaining
from mica.cli.ssh.issuing.orders import When
from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.tokens import UnverifiedToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is wanted of the certificate besides whose it is."""

    principals: tuple[str, ...] = ()
    """Empty: the identity, exactly as it is given."""
    comment: str = ""
    """How the agent calls it; empty: the identity."""
    validity: tuple[When, When] = (None, None)
    algorithm: str = "EC-P256"
    add_user: bool = False
    """A second certificate makes the account."""
    force: bool = False
    """A new certificate takes the place of one that the agent has."""
    token: UnverifiedToken | None = None
    """One that was made elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the agent holds now."""

    certificate: SSHCertificate
    was_there: bool = False
    """Whether it did before."""


def log_in(
    connection: Connection,
    identity: str | None,
    *,
    provisioner: str | None = None,
    password: bytes | None = None,
    wishes: Wishes | None = None,
) -> Login:
    """The agent holds a certificate of this CA's for ``identity``, which had one already or gets one now.

    ``identity`` may be None where a token says it. ``provisioner`` vouches (asked for where there are several), and
    ``password`` opens its key (asked for when None). The lines about it are on stderr. Raises AgentProblem, Usage,
    PromptNeeded, FileProblem, and what the client raises.
    """
    wishes = wishes or Wishes()
    order = _order(identity, wishes)
    if wishes.add_user:
        orders.check_account(order)
    comment = wishes.comment or order.key_id
    with Agent.open() as agent:
        ours = _unexpired(agent, user_keys(connection))
        found = next((one.certificate for one in ours if one.comment == comment), None)
        if found is not None and not wishes.force:
            say(f"The key {comment} is already present in the SSH agent.")
            return Login(certificate=found, was_there=True)
        token = wishes.token or certification.make_token(connection, order, provisioner, password)
        connection.introduce()
        certificate = _fill(agent, connection, order, token, wishes)
        for former in ours:  # ssh would offer it still, and sshd counts what it is offered
            if former.comment == comment or (wishes.add_user and former.comment == _second(comment)):
                agent.remove(former)
    chosen("SSH Agent", "yes")
    return Login(certificate=certificate)


def _order(identity: str | None, wishes: Wishes) -> orders.Order:
    """What is ordered; raises Usage when nobody says for whom."""
    name = identity or (tokenorders.key_id_of(wishes.token) if wishes.token is not None else "")
    if not name:
        raise Usage("missing argument 'IDENTITY'", hint="name whom the certificate is for: mica ssh login IDENTITY")
    given = wishes.principals or (() if wishes.token is not None else (name,))
    return tokenorders.agreed(orders.asked(name, CertType.USER, given, wishes.validity), wishes.token)


def _unexpired(agent: Agent, ca_keys: Sequence[bytes]) -> list[Identity]:
    """What the agent has of this CA's; expired ones are not in it any more."""
    ours, now = signed_by(agent.identities(), ca_keys), system_clock()
    for identity in ours:
        if identity.standing(now) == "expired":
            agent.remove(identity)
    return [identity for identity in ours if identity.standing(now) != "expired"]


def _fill(
    agent: Agent, connection: Connection, order: orders.Order, token: UnverifiedToken, wishes: Wishes
) -> SSHCertificate:
    """The certificate, which the agent has now with its key."""
    with progress("making the key"):
        key, *others = (generate(wishes.algorithm) for _ in range(1 + wishes.add_user))
    public_key, *add_user = (SSHPublicKey.of(one.public_key()) for one in (key, *others))
    certified = certification.certify(connection, order, token, public_key, *add_user)
    comment = wishes.comment or order.key_id
    _add(agent, key, certified.certificate, comment)
    if certified.add_user is not None:
        _add(agent, others[0], certified.add_user, _second(comment))
    return certified.certificate


def _second(comment: str) -> str:
    """How the agent calls the key whose certificate makes the account."""
    return f"{comment}-provisioner"


def _add(agent: Agent, key: PrivateKey, certificate: SSHCertificate, comment: str) -> None:
    agent.add(key, certificate.blob, comment, remaining(certificate))
