"""What an identity is entitled to: names that follow from its claims, or, as an administrator, those of the request."""

import re
from urllib.parse import quote

from mica import (
    AddUser,
    AsRequested,
    CertificateKind,
    CertType,
    CSRNames,
    Exactly,
    MalformedRequest,
    Operation,
    RevokeAny,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
    Unauthorized,
    names,
    principals,
)
from mica_oidc.identity import Identity

_FRAGMENT = "!$&'()*+,;=:@/?-._~"  # RFC 3986 §3.5: what stands in a fragment as it is
_NOT_AN_ACCOUNT = re.compile(r"[^a-z0-9_-]")
_NO_PRINCIPAL = "the token has no email, and no rule of the provisioner gives it an SSH principal"
_NO_ADMIN = "only administrators of the provisioner revoke with an ID token"


def permits(
    identity: Identity, operation: Operation
) -> tuple[SignX509 | SignSSH | SignSSHAsRequested | AddUser | RevokeAny, ...]:
    """What ``identity`` may have of ``operation``; raises Unauthorized when that is nothing."""
    match operation:
        case Operation.X509_SIGN:
            return (_sign_as_requested() if identity.is_admin else _sign(identity),)
        case Operation.SSH_SIGN:
            return (SignSSHAsRequested(cert_types=frozenset(CertType)),) if identity.is_admin else _sign_ssh(identity)
        case Operation.X509_REVOKE | Operation.SSH_REVOKE:
            if not identity.is_admin:
                raise Unauthorized(_NO_ADMIN, public=_NO_ADMIN)
            is_ssh = operation is Operation.SSH_REVOKE
            return (RevokeAny(kind=CertificateKind.SSH if is_ssh else CertificateKind.X509),)
        case _:
            raise Unauthorized(f"an ID token cannot order {operation}")


def _sign_as_requested() -> SignX509:
    return SignX509(subject_common_name="", names=AsRequested(kinds=frozenset(names.KINDS)), common_names=None)


def _sign(identity: Identity) -> SignX509:
    """Its address, its ``iss#sub``, and what the rules give; what the CSR says of names is not looked at."""
    try:
        own = [names.email(identity.email)] if identity.email else []
        uri = names.uri(f"{identity.issuer}#{quote(identity.subject, safe=_FRAGMENT)}")
    except MalformedRequest as error:
        raise Unauthorized(f"the identity cannot be certified: {error}") from error
    return SignX509(
        subject_common_name=identity.subject,
        names=Exactly(names=names.ordered([*own, uri, *identity.mapped.names])),
        csr_names=CSRNames.IGNORED,
        common_names=None,
    )


def _sign_ssh(identity: Identity) -> tuple[SignSSH] | tuple[SignSSH, AddUser]:
    """A user's certificate, and the making of the account where its principals are one person's."""
    granted = tuple(dict.fromkeys([*_of_email(identity.email), *identity.mapped.principals]))
    if not granted:
        raise Unauthorized(_NO_PRINCIPAL, public=_NO_PRINCIPAL)
    permit = SignSSH(
        cert_type=CertType.USER, key_id=identity.email or identity.subject, principals=Exactly(names=granted)
    )
    account = principals.account_of(granted)
    return (permit, AddUser(account=account)) if account else (permit,)


def _of_email(email: str) -> tuple[str, ...]:
    """The local part as an account has it, as it is, and the whole address."""
    local = email.rpartition("@")[0]
    return (_NOT_AN_ACCOUNT.sub("_", local.lower().replace(".", "")), local, email) if email else ()
