"""What a person may have of what a token orders: names of their own, and what the rules give their groups."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from cryptography import x509

from mica import (
    CertType,
    Exactly,
    MalformedRequest,
    Operation,
    Refused,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    names,
    orders,
    sshorders,
)
from mica_ldap.config import MapRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whom the directory knows, and who may log in."""

    user: str
    """As the directory spells it."""
    emails: tuple[str, ...]
    groups: frozenset[str]
    """Those of the rules' groups that they are in."""


def ordered(token: UnverifiedToken, operation: Operation) -> SignX509 | SignSSH:
    """What the token asks for, which nobody has permitted yet; raises Unauthorized, Refused."""
    if operation is Operation.X509_SIGN:
        return orders.sign(token, sans_as_common_name=True)
    if operation is Operation.SSH_SIGN:
        permit, *_ = sshorders.sign(token)  # who has an account, the directory says: none is made by certificate
        if permit.cert_type is not CertType.USER:
            raise Refused("a login at the directory gives SSH certificates for users, and for no host")
        return permit
    raise Unauthorized(f"a login at the directory cannot order {operation}")


def permitted(permit: SignX509 | SignSSH, subject: str, person: Person, rules: Iterable[MapRule]) -> SignX509 | SignSSH:
    """The permit, all of which the person may have; raises Refused. An SSH certificate's key id is the user's name."""
    if isinstance(permit, SignSSH):
        own = {person.user, *(name for rule in _held(person, rules) for name in rule.principals)}
        _require(person, set(permit.principals.names) - own)
        return replace(permit, key_id=person.user)
    assert isinstance(permit.names, Exactly)
    granted = certifiable(person, rules)
    _require(person, {names.text(name) for name in set(permit.names.names) - granted})
    _require(person, {subject} - {person.user, *map(names.text, granted)})
    return permit


def certifiable(person: Person, rules: Iterable[MapRule]) -> set[x509.GeneralName]:
    """Every name that X.509 certificates of the person may carry: their addresses, and what the rules give."""
    granted: set[x509.GeneralName] = set()
    for email in person.emails:
        with suppress(MalformedRequest):  # a directory holds much that is no address
            granted.add(names.email(email))
    for rule in _held(person, rules):
        granted |= {*map(names.dns, rule.dns), *map(names.email, rule.emails)}
    return granted


def _held(person: Person, rules: Iterable[MapRule]) -> list[MapRule]:
    return [rule for rule in rules if rule.group in person.groups]


def _require(person: Person, others: Iterable[str]) -> None:
    """There are none; raises Refused, which names them: who asks has logged in."""
    if beyond := ", ".join(sorted(others)):
        raise Refused(f"{person.user} may not have {beyond}: neither their own nor their groups' in the directory")
