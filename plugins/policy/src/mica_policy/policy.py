"""The policy: it is asked about every certificate, and tells every reason against it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from mica import (
    MICA,
    CertType,
    ExtensionContext,
    Grant,
    SignRequest,
    SSHSignRequest,
    TBSCertificate,
    TBSSSHCertificate,
    hookimpl,
)
from mica.logs import fields
from mica_policy.accounts import account_of
from mica_policy.judging import Ruleset
from mica_policy.presented import Presented, ssh_names, x509_names
from mica_policy.table import PolicyConfig

_log = logging.getLogger("mica_policy")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of a certificate."""

    reasons: tuple[str, ...]
    """Why it is refused; empty when it may be issued."""
    shadowed: tuple[str, ...]
    """Why it would be, if policies in shadow mode were enforced."""


class Policy:
    """The authority's policy and those of its provisioners. Both must let a certificate pass."""

    def __init__(self, config: PolicyConfig, context: ExtensionContext) -> None:
        self._authority = Ruleset.of(config, "plugin.policy")
        self._provisioners = {
            name: Ruleset.of(table, f'provisioners "{name}": policy') for name, table in context.tables.items()
        }
        if all(each.is_empty for each in (self._authority, *self._provisioners.values())):
            _log.warning("the plugin policy is enabled and has no rules: it refuses nothing")

    @hookimpl
    def refuse_x509(self, request: SignRequest | None, tbs: TBSCertificate, grant: Grant) -> str | None:
        """Why the certificate must not be issued: what each rule has against each of its names."""
        concerning = self._concerning(grant, renewal=request is None)
        if all(each.x509 is None for each in concerning):
            return None
        return _answer(verdict(concerning, None, x509_names(tbs)), grant, "x509")

    @hookimpl
    def refuse_ssh(self, request: SSHSignRequest | None, tbs: TBSSSHCertificate, grant: Grant) -> str | None:
        """The same for the principals of an SSH certificate; one that makes an account is judged by the account."""
        concerning = self._concerning(grant, renewal=request is None)
        if not any(each.ssh for each in concerning):
            return None
        account = account_of(tbs, grant)
        presented = ssh_names(tbs.cert_type, tbs.valid_principals if account is None else (account,))
        return _answer(verdict(concerning, tbs.cert_type, presented), grant, f"ssh {tbs.cert_type.name.lower()}")

    def rulesets(self, provisioner: str | None, *, renewal: bool) -> tuple[Ruleset, ...]:
        """The policies that a certificate must pass which ``provisioner`` vouches for."""
        own = self._provisioners.get(provisioner) if provisioner is not None else None
        found = (self._authority,) if own is None else (self._authority, own)
        return tuple(each for each in found if each.renewals) if renewal else found

    def _concerning(self, grant: Grant, *, renewal: bool) -> tuple[Ruleset, ...]:
        # The names of the authority's own TLS certificate stand in ca.toml, as the rules do.
        return () if grant.provisioner == MICA else self.rulesets(grant.provisioner.name, renewal=renewal)


def verdict(rulesets: Iterable[Ruleset], cert_type: CertType | None, presented: list[Presented]) -> Verdict:
    """What these policies say of a certificate with these names; ``cert_type`` is None for X.509."""
    reasons: list[str] = []
    shadowed: list[str] = []
    for each in rulesets:
        (shadowed if each.shadow else reasons).extend(each.objections(cert_type, presented))
    return Verdict(tuple(reasons), tuple(shadowed))


def _answer(found: Verdict, grant: Grant, kind: str) -> str | None:
    if found.shadowed:
        _log.warning(
            "policy would refuse a certificate",
            extra=fields(
                kind=kind,
                provisioner=grant.provisioner.name,
                operation=str(grant.operation),
                subject=grant.subject,
                reasons="; ".join(found.shadowed),
            ),
        )
    return "; ".join(found.reasons) or None
