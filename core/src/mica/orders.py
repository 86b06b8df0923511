"""What a verified token orders of X.509, in the claims that step's command line writes: ``sub``, ``sans``, ``cnf``.

Provisioners whose clients make such tokens share this reading of them. Whether a token is genuine, they find out
first. ``mica.sshorders`` reads what is ordered of SSH.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mica import names, tokens
from mica.errors import MalformedRequest, Unauthorized
from mica.grants import Exactly, Grant, Operation, Renew, Reusable, Revoke, SignX509
from mica.records import CertificateKind, Issuance, ProvisionerRef
from mica.roles import Context
from mica.tokens import UnverifiedToken

#: How long the core may take to use a grant that rests on the possession of a certificate's key.
_RENEWAL_LIFETIME = timedelta(minutes=1)
_SERIAL_NUMBER = re.compile(r"[0-9]{1,49}|0[xX][0-9a-fA-F]{1,40}")  # RFC 5280 §4.1.2.2: at most 20 octets


def unusable(reason: str) -> Unauthorized:
    """A genuine token that orders something impossible: its bearer may know why."""
    return Unauthorized(reason, public=reason)


def subject(token: UnverifiedToken) -> str:
    """The ``sub``, which becomes a common name and stands in logs: some text, and nothing that cannot be seen.

    Raises Unauthorized.
    """
    if not token.subject:
        raise Unauthorized("token has no sub")
    if not token.subject.isprintable():
        raise Unauthorized("token's sub has control characters")
    return token.subject


def ssh_claim(token: UnverifiedToken) -> Mapping[str, Any] | None:
    """The claim ``step.ssh``, None when the token is not about SSH; raises Unauthorized when it is no object."""
    step = token.payload.get("step")
    ssh = step.get("ssh") if isinstance(step, dict) else None
    if not isinstance(step, dict | None) or not isinstance(ssh, dict | None):
        raise unusable("the token's claims step and step.ssh must be objects")
    return ssh


def sign(token: UnverifiedToken, *, sans_as_common_name: bool) -> SignX509:
    """A certificate for exactly the names in ``sans``, or for ``sub`` when there are none; raises Unauthorized.

    The request's CN may be the ``sub``, or, with ``sans_as_common_name``, one of the names.
    """
    _require_x509(token)
    sans = token.strings("sans") or (token.subject,)
    try:
        granted = names.ordered(map(names.classify, sans))
    except MalformedRequest as error:
        raise unusable(f"the token orders a name that cannot be certified: {error}") from error
    return SignX509(
        subject_common_name=token.subject,
        names=Exactly(names=granted),
        common_names=frozenset({token.subject, *(sans if sans_as_common_name else ())}),
        confirmation=_confirmation(token),
    )


def revoke(token: UnverifiedToken) -> Revoke:
    """The end of the certificate whose serial number is the ``sub``; raises Unauthorized."""
    _require_x509(token)
    if not _SERIAL_NUMBER.fullmatch(token.subject):
        raise unusable("the token's subject is not a serial number, decimal or hexadecimal with 0x")
    base = 16 if token.subject[1:2] in ("x", "X") else 10
    return Revoke(kind=CertificateKind.X509, serial_numbers=(int(token.subject, base),))


def renewal(issuance: Issuance, operation: Operation, provisioner: ProvisionerRef, context: Context) -> Grant:
    """The grant to renew or rekey a certificate that ``provisioner`` vouched for; raises Unauthorized for any other."""
    if operation not in (Operation.X509_RENEW, Operation.X509_REKEY):
        raise Unauthorized(f"{operation} is no renewal")
    if (issuance.provisioner.name, issuance.provisioner.type) != (provisioner.name, provisioner.type):
        raise Unauthorized(f"the certificate is not one that {provisioner.name} vouched for")
    return Grant(
        provisioner=provisioner,
        operation=operation,
        subject=issuance.subject,
        spend=Reusable(reason="possession of the certificate's key"),
        expires_at=context.now() + _RENEWAL_LIFETIME,
        permits=(Renew(certificate=issuance),),
    )


def _require_x509(token: UnverifiedToken) -> None:
    """The token says nothing of SSH, whatever its audience is."""
    if ssh_claim(token) is not None:
        raise unusable("the token has a claim step.ssh, and orders no X.509 certificate")


def _confirmation(token: UnverifiedToken) -> bytes | None:
    """The SHA-256 of the only CSR that may be used; raises Unauthorized when ``cnf`` says something else."""
    cnf = token.payload.get("cnf")
    if cnf is None:
        return None
    digest = cnf.get("x5rt#S256") if isinstance(cnf, dict) else None
    # RFC 7800 §3.1 lets members that are not understood be ignored; but then nothing would be confirmed.
    if not isinstance(digest, str):
        raise unusable("the token's cnf has no x5rt#S256, the digest of a certificate request")
    try:
        octets = tokens.decode_base64url(digest)
    except MalformedRequest as error:
        raise unusable("the token's cnf is not base64url") from error
    if len(octets) != 32:
        raise unusable("the token's cnf is not a SHA-256 digest")
    return octets
