"""What a verified token orders of SSH: its claim ``step.ssh``, as step's command line writes it."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mica.durations import parse_time_or_duration
from mica.errors import MalformedRequest
from mica.grants import AddUser, Exactly, Revoke, RevokeKeyId, SignSSH
from mica.orders import ssh_claim, unusable
from mica.records import CertificateKind
from mica.sshcert import CertType, Options, sorted_options
from mica.tokens import UnverifiedToken

_CERT_TYPES = {"": CertType.USER, "user": CertType.USER, "host": CertType.HOST}
_SERIAL = re.compile(r"[1-9][0-9]{0,19}")
_END_OF_SERIALS = 2**64  # PROTOCOL.certkeys: a serial is a uint64; 0 is for certificates that have none


def sign(token: UnverifiedToken) -> tuple[SignSSH] | tuple[SignSSH, AddUser]:
    """The certificate that the token orders, and the making of its account where it is a user's; raises Unauthorized.

    Left out are: ``certType``, a user's; ``keyID``, the ``sub``; ``principals``, the ``sub`` alone. Without
    ``criticalOptions``, mica's own member, the certificate has none.
    """
    ssh = ssh_claim(token)
    if ssh is None:
        raise unusable("the token has no claim step.ssh, and orders no SSH certificate")
    if token.payload.get("cnf") is not None:
        # It would bind the token to a certificate request, and SSH has none.
        raise unusable("the token's cnf cannot be compared with anything of an SSH certificate")
    cert_type = _CERT_TYPES.get(_text(ssh, "certType"))
    if cert_type is None:
        raise unusable("the token's certType must be user or host")
    principals = _principals(ssh) or (token.subject,)
    permit = SignSSH(
        cert_type=cert_type,
        key_id=_text(ssh, "keyID") or token.subject,
        principals=Exactly(names=principals),
        valid_after=_bound(ssh, "validAfter"),
        valid_before=_bound(ssh, "validBefore"),
        critical_options=_critical_options(ssh),
    )
    if cert_type is CertType.USER and _is_one_user(principals):
        return permit, AddUser(account=principals[0])
    return (permit,)


def revoke(token: UnverifiedToken) -> Revoke | RevokeKeyId:
    """The end of the certificate whose serial number is the ``sub``; or of all whose key id it is.

    Only ``keyID``, equal to the ``sub``, makes a key id of it: one may well look like a number. Raises Unauthorized.
    """
    key_id = _text(ssh_claim(token) or {}, "keyID")
    if key_id:
        if key_id != token.subject:
            raise unusable("the token's step.ssh.keyID and its subject are not the same key id")
        return RevokeKeyId(key_id=key_id)
    serial = int(token.subject) if _SERIAL.fullmatch(token.subject) else 0
    if not 0 < serial < _END_OF_SERIALS:
        raise unusable("the token's subject is not the serial number of an SSH certificate, decimal, of 64 bits")
    return Revoke(kind=CertificateKind.SSH, serial_numbers=(serial,))


def _is_one_user(principals: tuple[str, ...]) -> bool:
    """Whether they name one person: an account, and perhaps a mail address."""
    return len(principals) == 1 or (len(principals) == 2 and principals[1].find("@") > 0)


def _principals(ssh: Mapping[str, Any]) -> tuple[str, ...]:
    value = ssh.get("principals")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise unusable("the token's principals must be an array of strings, none of them empty")
    return tuple(value)


def _critical_options(ssh: Mapping[str, Any]) -> Options:
    """In their order on the wire; which there are, and what they may say, the core knows."""
    value = ssh.get("criticalOptions")
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise unusable("the token's criticalOptions must be an object whose members are strings")
    return sorted_options(value.items())


def _bound(ssh: Mapping[str, Any], member: str) -> datetime | timedelta | None:
    text = _text(ssh, member)
    if not text:
        return None
    try:
        return parse_time_or_duration(text)
    except MalformedRequest as error:
        raise unusable(f"the token's {member} is neither a time nor a duration: {error}") from error


def _text(ssh: Mapping[str, Any], member: str) -> str:
    """The member, empty when absent; it becomes a key id and stands in logs, so that nothing in it is invisible."""
    value = ssh.get(member)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise unusable(f"the token's {member} must be text without control characters")
    return value
