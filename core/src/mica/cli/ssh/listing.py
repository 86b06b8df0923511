"""``mica ssh list``: what the SSH agent holds."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.console import printable, product, report, say, wants_json
from mica.cli.errors import Usage

if TYPE_CHECKING:
    from mica.cli.ssh.agent import Identity
    from mica.sshcert import SSHCertificate


@click.command(
    "list",
    epilog=options.examples("mica ssh list", "mica ssh list --raw", "mica ssh list --json alice@harbour.example"),
)
@click.argument("subject", required=False)
@click.option("--raw", is_flag=True, help="As lines for authorized_keys: type, base64, comment.")
@options.json_output
def list_(subject: str | None, raw: bool) -> None:
    """List the keys and certificates in the SSH agent, or those whose comment or key id is SUBJECT.

    A line has the size, the fingerprint of the key, the comment and the type. A locked agent tells of nothing.
    """
    if raw and wants_json():
        raise Usage("flag '--raw' is incompatible with '--json'", hint="the member public_key has the same")
    from mica.cli.ssh.agent import Agent  # cryptography is slow to import

    with Agent.open() as agent:
        held = agent.identities()
    found = [identity for identity in held if subject is None or identity.is_called(subject)]
    if wants_json():
        report({"identities": [_members(identity) for identity in found]})
        return
    for identity in found:
        product(printable(_line(identity) if raw else _summary(identity)))
    if not held:
        say("The agent has no identities.")
    elif not found:
        say(f"The agent has no identities of the name {subject}.")


def _summary(identity: "Identity") -> str:
    bits = 0 if identity.key is None else identity.key.bits
    return f"{bits} {identity.fingerprint} {identity.comment or 'no comment'} ({_kind(identity)})"


def _kind(identity: "Identity") -> str:
    """As ``ssh-add -l`` calls it; a type that is not known here by its own name."""
    if identity.key is None:
        return identity.key_type or "unknown"
    return f"{identity.key.kind}-CERT" if identity.certificate else identity.key.kind


def _line(identity: "Identity") -> str:
    import base64

    return " ".join(filter(None, (identity.key_type, base64.b64encode(identity.blob).decode(), identity.comment)))


def _members(identity: "Identity") -> dict[str, object]:
    certificate = identity.certificate
    return {
        "bits": None if identity.key is None else identity.key.bits,
        "fingerprint": identity.fingerprint,
        "comment": identity.comment,
        "type": _kind(identity),
        "public_key": _line(identity),
        "certificate": None if certificate is None else _certificate_members(certificate),
    }


def _certificate_members(certificate: "SSHCertificate") -> dict[str, object]:
    from mica.cli.times import rfc3339

    tbs = certificate.tbs
    return {
        "type": tbs.cert_type.name.lower(),
        "serial": str(tbs.serial),
        "key_id": tbs.key_id,
        "principals": list(tbs.valid_principals),
        "valid_after": rfc3339(tbs.valid_after),
        "valid_before": None if tbs.valid_before is None else rfc3339(tbs.valid_before),
        "signing_key_fingerprint": tbs.signature_key.fingerprint,
    }
