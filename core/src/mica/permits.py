"""Whether a permit is what its type says. A plugin need not be typed, and a rule that nobody knows permits nothing."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from mica import names
from mica.grants import (
    AddUser,
    AsRequested,
    CSRNames,
    Exactly,
    Permit,
    Renew,
    RenewSSH,
    Revoke,
    RevokeAny,
    RevokeHeld,
    RevokeKeyId,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
    Within,
)
from mica.records import CertificateKind, Issuance
from mica.sshcert import CertType, sorted_options

Members = Iterator[tuple[str, bool]]


def permit_fault(permit: Permit) -> str:
    """The first member of ``permit`` that is not what its type says; empty when all are. May raise what it likes."""
    return next((name for name, sound in _MEMBERS[type(permit)](permit) if not sound), "")


def frozen_permit(permit: Permit) -> Permit:
    """A copy whose collections cannot be changed from outside any more."""
    if isinstance(permit, Revoke):
        return dataclasses.replace(permit, serial_numbers=tuple(permit.serial_numbers))
    if isinstance(permit, SignSSH):
        return dataclasses.replace(
            permit,
            principals=dataclasses.replace(permit.principals, names=tuple(permit.principals.names)),
            critical_options=_frozen_options(permit.critical_options),
            extensions=None if permit.extensions is None else _frozen_options(permit.extensions),
        )
    if isinstance(permit, SignSSHAsRequested):
        return SignSSHAsRequested(cert_types=frozenset(permit.cert_types))
    if not isinstance(permit, SignX509):
        return permit
    rule = permit.names
    if isinstance(rule, AsRequested):
        rule = AsRequested(kinds=frozenset(rule.kinds))
    else:
        rule = dataclasses.replace(rule, names=tuple(rule.names))
    return dataclasses.replace(
        permit,
        names=rule,
        common_names=None if permit.common_names is None else frozenset(permit.common_names),
        extended_key_usages=tuple(permit.extended_key_usages),
    )


def _sign_members(permit: SignX509) -> Members:
    yield "subject_common_name", isinstance(permit.subject_common_name, str)
    yield "names", _is_name_rule(permit.names)
    yield "csr_names", isinstance(permit.csr_names, CSRNames)
    yield "common_names", permit.common_names is None or _are(str, permit.common_names)
    yield "confirmation", permit.confirmation is None or isinstance(permit.confirmation, bytes)
    yield "not_before", _is_moment(permit.not_before)
    yield "not_after", _is_moment(permit.not_after)
    usages = permit.extended_key_usages  # RFC 5280 §4.2.1.12: at least one
    yield "extended_key_usages", bool(usages) and _are(x509.ObjectIdentifier, usages)
    yield "ca", isinstance(permit.ca, bool)
    yield "signer", isinstance(permit.signer, str)


def _ssh_members(permit: SignSSH) -> Members:
    rule = permit.principals
    yield "cert_type", isinstance(permit.cert_type, CertType)
    yield "key_id", isinstance(permit.key_id, str) and bool(permit.key_id)
    yield "principals", isinstance(rule, Exactly | Within) and bool(rule.names) and _are(str, rule.names)
    yield "valid_after", isinstance(permit.valid_after, timedelta) or _is_moment(permit.valid_after)
    yield "valid_before", isinstance(permit.valid_before, timedelta) or _is_moment(permit.valid_before)
    yield "not_before", _is_moment(permit.not_before)
    yield "not_after", _is_moment(permit.not_after)
    yield "critical_options", _are_options(permit.critical_options)
    yield "extensions", permit.extensions is None or _are_options(permit.extensions)


def _ssh_as_requested_members(permit: SignSSHAsRequested) -> Members:
    yield "cert_types", bool(permit.cert_types) and _are(CertType, permit.cert_types)


def _add_user_members(permit: AddUser) -> Members:
    yield "account", isinstance(permit.account, str) and bool(permit.account)


def _held_members(permit: RenewSSH | RevokeHeld) -> Members:
    yield "certificate", isinstance(permit.certificate, bytes)


def _renew_members(permit: Renew) -> Members:
    yield "certificate", isinstance(permit.certificate, Issuance)


def _revoke_members(permit: Revoke) -> Members:
    yield "kind", isinstance(permit.kind, CertificateKind)
    yield "serial_numbers", _are(int, permit.serial_numbers)


def _revoke_any_members(permit: RevokeAny) -> Members:
    yield "kind", isinstance(permit.kind, CertificateKind)


def _key_id_members(permit: RevokeKeyId) -> Members:
    yield "key_id", isinstance(permit.key_id, str) and bool(permit.key_id)


_MEMBERS: Mapping[type[Any], Callable[[Any], Members]] = {
    SignX509: _sign_members,
    SignSSH: _ssh_members,
    SignSSHAsRequested: _ssh_as_requested_members,
    AddUser: _add_user_members,
    Renew: _renew_members,
    RenewSSH: _held_members,
    Revoke: _revoke_members,
    RevokeAny: _revoke_any_members,
    RevokeKeyId: _key_id_members,
    RevokeHeld: _held_members,
}


def _is_name_rule(rule: Exactly[x509.GeneralName] | Within[x509.GeneralName] | AsRequested) -> bool:
    if isinstance(rule, AsRequested):
        return set(rule.kinds) <= set(names.KINDS)
    return isinstance(rule, Exactly | Within) and all(type(name) in names.KINDS for name in rule.names)


def _is_moment(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and value.tzinfo is not None)


def _are(kind: type, values: object) -> bool:
    """Whether ``values`` is a collection, not a string, of ``kind`` alone."""
    return isinstance(values, tuple | list | set | frozenset) and all(isinstance(value, kind) for value in values)


def _are_options(values: Any) -> bool:
    """Whether ``values`` are pairs of texts, in the order that a certificate has them in, and no name twice."""
    pairs = isinstance(values, tuple | list) and all(_are(str, pair) and len(pair) == 2 for pair in values)
    return pairs and (options := _frozen_options(values)) == sorted_options(options)


def _frozen_options(options: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in options)
