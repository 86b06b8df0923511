"""Whether a permit is what its type says. A plugin need not be typed, and a rule that nobody knows permits nothing."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
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

_PLAIN = frozenset((str, bytes, int, bool, datetime, timedelta, type(None)))
_COLLECTIONS = (tuple, list, set, frozenset)
_ADDRESSES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)


def permit_fault(permit: Permit) -> str:
    """The first member of ``permit`` that is not what its type says; empty when all are. May raise what it likes."""
    return next((name for name, sound in _MEMBERS[type(permit)](permit) if not sound), "")


def frozen_permit(permit: Permit) -> Permit:
    """A copy of plain values, which cannot change any more; what is not what its type says stays as it is.

    A text of a class of its own has its own idea of being equal, a collection of what is in it, each time anew.
    """
    if isinstance(permit, SignX509):
        return _frozen_sign(permit)
    if isinstance(permit, SignSSH):
        return _frozen_ssh(permit)
    if isinstance(permit, SignSSHAsRequested):
        return SignSSHAsRequested(cert_types=_set(permit.cert_types))
    if isinstance(permit, Revoke):
        return dataclasses.replace(permit, serial_numbers=_each(plain, permit.serial_numbers))
    if isinstance(permit, RenewSSH | RevokeHeld):
        return dataclasses.replace(permit, certificate=plain(permit.certificate))
    if isinstance(permit, RevokeKeyId):
        return RevokeKeyId(key_id=plain(permit.key_id))
    return AddUser(account=plain(permit.account)) if isinstance(permit, AddUser) else permit


def plain(value: Any) -> Any:
    """``value`` as an instance of the very type that it is a kind of, where that is one of Python's own; no Enum."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, bytes):
        return bytes(memoryview(value))
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, timedelta):
        return timedelta(value.days, value.seconds, value.microseconds)
    if issubclass(kind, datetime):
        time = (value.hour, value.minute, value.second, value.microsecond)
        return datetime(value.year, value.month, value.day, *time, tzinfo=value.tzinfo, fold=value.fold)
    return value


def _frozen_sign(permit: SignX509) -> SignX509:
    return SignX509(
        subject_common_name=plain(permit.subject_common_name),
        names=_frozen_rule(permit.names),
        csr_names=permit.csr_names,
        common_names=_set(_each(plain, permit.common_names)),
        confirmation=plain(permit.confirmation),
        not_before=plain(permit.not_before),
        not_after=plain(permit.not_after),
        extended_key_usages=_each(plain, permit.extended_key_usages),
        ca=permit.ca,
        signer=plain(permit.signer),
    )


def _frozen_ssh(permit: SignSSH) -> SignSSH:
    return SignSSH(
        cert_type=permit.cert_type,
        key_id=plain(permit.key_id),
        principals=_frozen_rule(permit.principals),
        valid_after=plain(permit.valid_after),
        valid_before=plain(permit.valid_before),
        not_before=plain(permit.not_before),
        not_after=plain(permit.not_after),
        critical_options=_each(_frozen_pair, permit.critical_options),
        extensions=_each(_frozen_pair, permit.extensions),
    )


def _frozen_rule(rule: Any) -> Any:
    kind = type(rule)
    if issubclass(kind, AsRequested):
        return AsRequested(kinds=_set(rule.kinds))
    if issubclass(kind, Exactly):
        return Exactly(names=_each(_frozen_name, rule.names))
    return Within(names=_each(_frozen_name, rule.names)) if issubclass(kind, Within) else rule


def _frozen_name(name: Any) -> Any:
    """A principal, or a GeneralName, whose text is plain."""
    if type(name) in names.KINDS:
        value = plain(name.value)
        return name if value is name.value else type(name)(value)
    return plain(name)


def _frozen_pair(pair: Any) -> Any:
    return _each(plain, pair)


def _each(freeze: Callable[[Any], Any], values: Any) -> Any:
    """What ``freeze`` makes of each of ``values``, in a tuple; anything that is no collection, as it is."""
    return tuple(map(freeze, values)) if issubclass(type(values), _COLLECTIONS) else values


def _set(values: Any) -> Any:
    """Likewise, in a set."""
    return frozenset(values) if issubclass(type(values), _COLLECTIONS) else values


def _sign_members(permit: SignX509) -> Members:
    yield "subject_common_name", _is(permit.subject_common_name, str)
    yield "names", _is_name_rule(permit.names)
    yield "csr_names", _is(permit.csr_names, CSRNames)
    yield "common_names", permit.common_names is None or _are(str, permit.common_names)
    yield "confirmation", permit.confirmation is None or _is(permit.confirmation, bytes)
    yield "not_before", _may_be_moment(permit.not_before)
    yield "not_after", _may_be_moment(permit.not_after)
    usages = permit.extended_key_usages  # RFC 5280 §4.2.1.12: at least one
    yield "extended_key_usages", bool(usages) and _are(x509.ObjectIdentifier, usages)
    yield "ca", _is(permit.ca, bool)
    yield "signer", _is(permit.signer, str)


def _ssh_members(permit: SignSSH) -> Members:
    rule = permit.principals
    yield "cert_type", _is(permit.cert_type, CertType)
    yield "key_id", _is(permit.key_id, str) and bool(permit.key_id)
    yield "principals", _is(rule, Exactly, Within) and bool(rule.names) and _are(str, rule.names)
    yield "valid_after", _is(permit.valid_after, timedelta) or _may_be_moment(permit.valid_after)
    yield "valid_before", _is(permit.valid_before, timedelta) or _may_be_moment(permit.valid_before)
    yield "not_before", _may_be_moment(permit.not_before)
    yield "not_after", _may_be_moment(permit.not_after)
    yield "critical_options", _are_options(permit.critical_options)
    yield "extensions", permit.extensions is None or _are_options(permit.extensions)


def _ssh_as_requested_members(permit: SignSSHAsRequested) -> Members:
    yield "cert_types", bool(permit.cert_types) and _are(CertType, permit.cert_types)


def _add_user_members(permit: AddUser) -> Members:
    yield "account", _is(permit.account, str) and bool(permit.account)


def _held_members(permit: RenewSSH | RevokeHeld) -> Members:
    yield "certificate", _is(permit.certificate, bytes)


def _renew_members(permit: Renew) -> Members:
    yield "certificate", _is(permit.certificate, Issuance)


def _revoke_members(permit: Revoke) -> Members:
    yield "kind", _is(permit.kind, CertificateKind)
    yield "serial_numbers", _are(int, permit.serial_numbers) and bool not in map(type, permit.serial_numbers)


def _revoke_any_members(permit: RevokeAny) -> Members:
    yield "kind", _is(permit.kind, CertificateKind)


def _key_id_members(permit: RevokeKeyId) -> Members:
    yield "key_id", _is(permit.key_id, str) and bool(permit.key_id)


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
        return _is(rule.kinds, *_COLLECTIONS) and set(rule.kinds) <= set(names.KINDS)
    return _is(rule, Exactly, Within) and _is(rule.names, *_COLLECTIONS) and all(map(_is_name, rule.names))


def _is_name(name: x509.GeneralName) -> bool:
    kind = type(name)
    return kind in names.KINDS and (kind is not x509.IPAddress or type(name.value) in _ADDRESSES)


def is_moment(value: Any) -> bool:
    """Whether ``value`` is a point in time, which one without a zone is not."""
    return _is(value, datetime) and value.utcoffset() is not None


def _may_be_moment(value: object) -> bool:
    return value is None or is_moment(value)


def _is(value: object, *kinds: type) -> bool:
    """Whether ``value`` is of one of these kinds; what it says itself, as ``__class__``, counts for nothing."""
    return issubclass(type(value), kinds)


def _are(kind: type, values: Any) -> bool:
    """Whether ``values`` is a collection, not a string, of ``kind`` alone."""
    return _is(values, *_COLLECTIONS) and all(_is(value, kind) for value in values)


def _are_options(values: Any) -> bool:
    """Whether ``values`` are pairs of texts, in the order that a certificate has them in, and no name twice."""
    pairs = _is(values, tuple, list) and all(_are(str, pair) and len(pair) == 2 for pair in values)
    return pairs and (options := _frozen_options(values)) == sorted_options(options)


def _frozen_options(options: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in options)
