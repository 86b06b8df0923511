"""What an SSH certificate is to be, and what it may be; told before the CA is asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mica import principals, sshoptions
from mica.cli.errors import Usage
from mica.client.calls import time_or_duration
from mica.sshcert import CertType, Options

When = datetime | timedelta | None
_LONGEST_KEY_ID = 4096  # for a CA to revoke it by
_SHOWN = 64
_NOT_IN_ACCOUNTS = re.compile(r"[^a-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the certificate is to be."""

    cert_type: CertType
    key_id: str
    principals: tuple[str, ...]
    """Empty: those that the token gives, which does not say them."""
    valid_after: When = None
    valid_before: When = None
    critical_options: Options = ()
    """By which it is good for less; sorted by name."""

    @property
    def type_name(self) -> str:
        """``user`` or ``host``."""
        return self.cert_type.name.lower()

    @property
    def claims(self) -> dict[str, Any]:
        """What a token says that orders this."""
        ssh: dict[str, Any] = {
            "certType": self.type_name,
            "keyID": self.key_id,
            "principals": list(self.principals),
        }
        for name, value in (("validAfter", self.valid_after), ("validBefore", self.valid_before)):
            if value is not None:
                ssh[name] = time_or_duration(value)
        if self.critical_options:
            ssh["criticalOptions"] = dict(self.critical_options)
        return {"step": {"ssh": ssh}}


def _end(start: When, end: When) -> When:
    """The end, whose duration counts from the start as it does for X.509. In SSH's protocol it counts from now."""
    if start is None or not isinstance(end, timedelta):
        return end
    try:
        return start + end
    except OverflowError as error:
        raise Usage("invalid value for flag '--not-after': is too late to be a time") from error


def check_key_id(key_id: str) -> None:
    """A certificate can be called so; raises Usage."""
    if not key_id:
        raise Usage("the key id is empty", hint="it is what sshd writes into its log: alice@harbour.example")
    if len(key_id) > _LONGEST_KEY_ID:
        raise Usage(f"the key id {key_id[:_SHOWN]!r}… must have at most {_LONGEST_KEY_ID} characters")
    if not key_id.isprintable():  # it is the comment of one line, and stands in sshd's log
        raise Usage(f"the key id {key_id!r} must be one line of text, without control characters")


def _check_principals(names: Sequence[str]) -> None:
    """A certificate can have these principals; raises Usage that says why not."""
    if faults := principals.faults(tuple(names)):
        raise Usage("; ".join(faults), hint="name each by a '--principal' of its own")


def default_principals(key_id: str, cert_type: CertType) -> tuple[str, ...]:
    """Whom a certificate with this key id is for when nobody says it: a host itself, a user by the name of an account.

    ``Ann.Lee@harbour.example`` is ``annlee``, ``Ann.Lee`` and the whole. What no certificate may have is left out.
    """
    if cert_type is CertType.HOST:
        return (key_id,)
    local = key_id.rpartition("@")[0] if "@" in key_id else key_id
    account = _NOT_IN_ACCOUNTS.sub("_", local.lower().replace(".", ""))
    names = (account, *([local] if local.lower() != account else []), key_id)
    return tuple(name for name in dict.fromkeys(names) if not principals.faults((name,)))


def asked(
    key_id: str,
    cert_type: CertType,
    principals: tuple[str, ...],
    validity: tuple[When, When],
    critical_options: Options = (),
) -> Order:
    """What the flags ask for; raises Usage when no certificate could be so."""
    check_key_id(key_id)
    if principals:
        _check_principals(principals)
    if faults := sshoptions.faults(critical_options, (), cert_type):
        raise Usage("; ".join(faults))
    return Order(
        cert_type=cert_type,
        key_id=key_id,
        principals=principals,
        valid_after=validity[0],
        valid_before=_end(*validity),
        critical_options=critical_options,
    )


def completed(order: Order) -> Order:
    """``order`` with principals, and nothing in it that the CA could only refuse; raises Usage."""
    names = order.principals or default_principals(order.key_id, order.cert_type)
    if not names:
        raise Usage(
            f"the key id {order.key_id[:_SHOWN]!r} gives no principal",
            hint="say whom the certificate is for with '--principal'",
        )
    _check_principals(names)
    return replace(order, principals=principals.canonical(names, order.cert_type))


def check_account(order: Order) -> None:
    """It is plain whose account ``--add-user`` makes; raises Usage.

    As the CA has it: that of the only principal, or of the first of two of which the second is an address.
    """
    if order.cert_type is CertType.HOST:
        raise Usage("flag '--add-user' is incompatible with '--host'")
    first, *others = order.principals or (order.key_id,)
    if others and not (len(others) == 1 and "@" in others[0][1:]):
        raise Usage(
            "flag '--add-user' is for one principal, and there are " + ", ".join(order.principals),
            hint=f"name the account alone: --principal {first}",
        )
    if not principals.is_account(first):
        raise Usage(
            f"flag '--add-user': {first!r} cannot be the name of an account",
            hint="lower-case letters, digits, _, . and -; name it with --principal",
        )
