"""What step-ca can be told and mica cannot, and what that means for those who relied on it."""

from typing import NamedTuple

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.members import Members


class Note(NamedTuple):
    """What is lost, and what to do."""

    detail: str
    to_do: str = ""


UNKNOWN = Note("mica does not know it", "look it up in step-ca's documentation, if you set it on purpose")

#: By the names of ca.json's members.
CA = {
    "insecureAddress": Note("nothing is served without TLS", "point what reads /health, /roots or /crl there at https"),
    "templates": Note(
        "the configuration of SSH clients and hosts is made from mica's own templates",
        "compare what `mica ssh config --dry-run` says with what you had, if you changed yours",
    ),
    "logger": Note(
        "mica logs every request on standard error",
        "mica ca serve --log-format json, if the old format was json",
    ),
    "monitoring": Note("there is no New Relic agent", "watch GET /health and the log"),
    "metricsAddress": Note("there are no metrics", "watch GET /health and the log"),
    "tls": Note("TLS 1.2 and 1.3 with forward secrecy are served, and nothing else can be chosen"),
    "crl": Note(
        "GET /crl is answered with 404",
        "verifiers that fetch the CRL there will fail: give them another way before the switch",
    ),
    "password": Note(
        "no password stands in ca.toml",
        "put it into a file of mode 0600: mica ca serve --password-file FILE, or systemd's LoadCredential=",
    ),
    "kms": Note("keys are read from files"),
}

#: By the names of the members of ``authority``.
AUTHORITY = {
    "policy": Note(
        "names are NOT restricted any more: whoever may order certificates may order them for any name",
        "until there is a policy, give provisioners only to those whom you trust with every name",
    ),
    "template": Note("subjects are a common name alone, without the attributes that it added"),
    "disableIssuedAtCheck": Note("tokens from before a restart are always good: spent ones are on record"),
    "disableGetSSHHosts": Note("nothing is served for SSH"),
    "authorityId": Note("it names the authority to the hosted service that manages step-ca"),
    "deploymentType": Note("the authority stands alone"),
    "type": Note("the authority signs by itself"),
    "credentialsFile": Note("it is for a cloud's CA"),
    "config": Note("it is for another kind of CA"),
}

#: By the flags that are the members of defaults.json.
DEFAULTS = {"redirect-url": Note("no browser is sent anywhere"), "min-password-length": Note("any length is taken")}


def note_rest(findings: Findings, members: Members, notes: dict[str, Note]) -> None:
    """What nobody asked ``members`` for is among the findings."""
    for name in members.rest():
        known = next((note for key, note in notes.items() if key.casefold() == name.casefold()), UNKNOWN)
        findings.missing(members.where + name, *known)
