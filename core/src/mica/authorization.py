"""authorize: from a token and an operation to a grant that the core believes.

Whatever a provisioner does that is not an explicit, well-formed grant for exactly this operation is a refusal.
"""

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from mica.authority import Authority
from mica.containment import contained
from mica.deadlines import within
from mica.errors import MicaError, Refused, Unauthorized, Unavailable, told
from mica.grants import (
    AddUser,
    Grant,
    OneTime,
    Operation,
    Permit,
    Renew,
    RenewSSH,
    Reusable,
    Revoke,
    RevokeAny,
    RevokeHeld,
    RevokeKeyId,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
    Spend,
)
from mica.permits import frozen_permit, is_moment, permit_fault, plain
from mica.records import Issuance, ProvisionerRef
from mica.registry import DEADLINE, Entry, matches
from mica.tokens import LEEWAY, MAX_LIFETIME, UnverifiedToken

#: What a grant for each operation may permit, in this order, and nothing else.
PERMITS: Mapping[Operation, tuple[tuple[type[Any], ...], ...]] = {
    Operation.X509_SIGN: ((SignX509,),),
    Operation.X509_RENEW: ((Renew,),),
    Operation.X509_REKEY: ((Renew,),),
    Operation.X509_REVOKE: ((Revoke,), (RevokeAny,)),
    Operation.SSH_SIGN: ((SignSSH,), (SignSSH, AddUser), (SignSSHAsRequested,)),
    Operation.SSH_RENEW: ((RenewSSH,),),
    Operation.SSH_REKEY: ((RenewSSH,),),
    Operation.SSH_REVOKE: ((Revoke,), (RevokeAny,), (RevokeKeyId,), (RevokeHeld,)),
}

_log = logging.getLogger("mica.authorization")


async def authorize(authority: Authority, raw: str, operation: Operation) -> tuple[Grant, Entry]:
    """The grant that the token earns for ``operation``, and who vouches; raises Unauthorized, Refused, Unavailable."""
    token = UnverifiedToken.parse(raw)
    entry, provisioner = authority.registry.recognize(token)
    _require_declared(entry, operation)
    entry.require_ready()
    grant = await _asked(entry, lambda: provisioner.authorize(token, operation))
    return believed(grant, entry, operation, authority.now()), entry


async def authorize_renewal(authority: Authority, issuance: Issuance, operation: Operation) -> tuple[Grant, Entry]:
    """The grant to renew a certificate on record, from the provisioner that vouched for it.

    Raises Unauthorized, Refused, Unavailable.
    """
    entry = authority.registry.named(issuance.provisioner.name)
    if entry is None or entry.type != issuance.provisioner.type:
        raise Unauthorized(f"the certificate's provisioner {issuance.provisioner.name!r} does not exist any more")
    _require_declared(entry, operation)
    entry.require_ready()
    if entry.renewals is None:
        raise Unauthorized(f"provisioner {entry.name} does not renew")
    renewals = entry.renewals
    answer = await _asked(entry, lambda: renewals.authorize_renewal(issuance, operation))
    grant = believed(answer, entry, operation, authority.now())
    if any(not isinstance(permit, Renew) or permit.certificate != issuance for permit in grant.permits):
        raise Unauthorized(f"provisioner {entry.name} granted something else than this renewal")
    # What is continued is what is on record, not what compares equal to it.
    return dataclasses.replace(grant, permits=(Renew(certificate=issuance),)), entry


def believed(grant: Grant, entry: Entry, operation: Operation, now: datetime) -> Grant:
    """A deeply immutable copy of ``grant``, which is sound in every part that the core can judge.

    Raises Unauthorized. What a grant cannot be by its types is examined all the same: a plugin need not be typed.
    """
    try:
        with contained:
            return _examined(grant, entry, operation, now)
    except Unauthorized:
        raise
    except Exception as error:  # the plugin boundary: the grant holds what cannot even be compared or copied
        raise _distrust(entry, f"its grant is not well-formed: {told(error, repr)}") from error


def _examined(grant: Grant, entry: Entry, operation: Operation, now: datetime) -> Grant:
    """The copy is made first and examined then: what was examined is what is used."""
    if type(grant) is not Grant:
        raise _distrust(entry, f"it answered with {type(grant).__name__}")
    if not matches(entry, operation, grant):
        raise _distrust(entry, "its answer is not a grant of its own for this operation")
    expires_at, subject = plain(grant.expires_at), plain(grant.subject)
    if not is_moment(expires_at):
        raise _distrust(entry, "its grant has no expiry")
    if expires_at + LEEWAY <= now or expires_at > now + MAX_LIFETIME + LEEWAY:
        raise _distrust(entry, "its grant has expired, or lasts too long")
    if type(subject) is not str or not subject:
        raise _distrust(entry, "its grant names no subject")
    return Grant(
        provisioner=ProvisionerRef(
            name=entry.name, type=entry.type, credential_id=_text(grant.provisioner.credential_id)
        ),
        operation=operation,
        subject=subject,
        spend=_spend(grant.spend, entry, expires_at),
        expires_at=expires_at,
        permits=_permits(grant, entry, operation),
        claims=_frozen(grant.claims),
        evidence=MappingProxyType({_text(key): _text(value) for key, value in grant.evidence.items()}),
    )


def _spend(spend: Spend, entry: Entry, expires_at: datetime) -> Spend:
    if type(spend) is OneTime:
        id, until = plain(spend.id), plain(spend.until)
        if type(id) is not str or not id or not is_moment(until) or until < expires_at:
            raise _distrust(entry, "its one-time credential has no id, or is forgotten before it expires")
        return OneTime(id=id, until=until)
    if type(spend) is not Reusable or not spend.reason:
        raise _distrust(entry, "its grant does not say whether its credential may serve again")
    return Reusable(reason=_text(spend.reason))


def _permits(grant: Grant, entry: Entry, operation: Operation) -> tuple[Permit, ...]:
    given = tuple(grant.permits)
    if tuple(map(type, given)) not in PERMITS[operation]:
        wanted = " or ".join(" and ".join(kind.__name__ for kind in kinds) for kinds in PERMITS[operation])
        raise _distrust(entry, f"its grant must permit exactly one {wanted}")
    permits = tuple(map(frozen_permit, given))
    for permit in permits:
        if fault := permit_fault(permit):
            raise _distrust(entry, f"its {type(permit).__name__} has no sound {fault}")
    return permits


def _text(value: object) -> str:
    text: str = plain(str(value))
    return text


def _require_declared(entry: Entry, operation: Operation) -> None:
    if operation not in entry.operations:
        raise Unauthorized(f"provisioner {entry.name} of type {entry.type} does not serve {operation}")


async def _asked(entry: Entry, ask: Callable[[], Awaitable[Grant]]) -> Grant:
    """What the provisioner answers within the deadline; whatever it raises of its own is no grant.

    Raises Unavailable where the provisioner cannot judge now, as one whose identity provider does not answer.
    """
    try:
        with contained:
            return await within(DEADLINE, ask())
    except Unavailable as error:
        _log.warning("provisioner %s cannot judge now: %s", entry.name, told(error))
        raise Unavailable(f"provisioner {entry.name}: {told(error)}") from error
    except (Unauthorized, Refused):
        raise
    except MicaError as error:
        raise Unauthorized(f"provisioner {entry.name}: {told(error)}") from error
    except Exception as error:
        _log.exception("provisioner %s failed; refused", entry.name)
        raise Unauthorized(f"provisioner {entry.name} failed: {type(error).__name__}") from error


def _distrust(entry: Entry, reason: str) -> Unauthorized:
    _log.error("provisioner %s is not believed: %s", entry.name, reason)
    return Unauthorized(f"provisioner {entry.name} is not believed: {reason}")


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(member) for key, member in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set | frozenset):
        return frozenset(value)
    return value
