"""Whether a permit is what its type says. A plugin need not be typed, and a rule that nobody knows permits nothing."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from mica import names
from mica.grants import AsRequested, CSRNames, Exactly, Permit, Renew, Revoke, SignX509, Within
from mica.records import CertificateKind, Issuance


def permit_fault(permit: Permit) -> str:
    """The first member of ``permit`` that is not what its type says; empty when all are. May raise what it likes."""
    if isinstance(permit, SignX509):
        members = _sign_members(permit)
    else:
        members = _renew_members(permit) if isinstance(permit, Renew) else _revoke_members(permit)
    return next((name for name, sound in members if not sound), "")


def frozen_permit(permit: Permit) -> Permit:
    """A copy whose collections cannot be changed from outside any more."""
    if isinstance(permit, Revoke):
        return dataclasses.replace(permit, serial_numbers=tuple(permit.serial_numbers))
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


def _sign_members(permit: SignX509) -> Iterator[tuple[str, bool]]:
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


def _renew_members(permit: Renew) -> Iterator[tuple[str, bool]]:
    yield "certificate", isinstance(permit.certificate, Issuance)


def _revoke_members(permit: Revoke) -> Iterator[tuple[str, bool]]:
    yield "kind", isinstance(permit.kind, CertificateKind)
    yield "serial_numbers", _are(int, permit.serial_numbers)


def _is_name_rule(rule: Exactly | Within | AsRequested) -> bool:
    if isinstance(rule, AsRequested):
        return set(rule.kinds) <= set(names.KINDS)
    return isinstance(rule, Exactly | Within) and all(type(name) in names.KINDS for name in rule.names)


def _is_moment(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and value.tzinfo is not None)


def _are(kind: type, values: object) -> bool:
    """Whether ``values`` is a collection, not a string, of ``kind`` alone."""
    return isinstance(values, tuple | list | set | frozenset) and all(isinstance(value, kind) for value in values)
