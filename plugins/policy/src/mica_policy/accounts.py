"""The second certificate of an SSH order, which makes the user's account: whose account that is."""

from mica import AddUser, CertType, Grant, Operation, SignSSH, TBSSSHCertificate

_FORCE_COMMAND = "force-command"


def account_of(tbs: TBSSSHCertificate, grant: Grant) -> str | None:
    """The account that the certificate makes; None where it makes none.

    It is known by a forced command that the grant does not permit: such a certificate the core alone composes, for a
    principal that ``[signers.ssh]`` names. The user logs in with the first one, whose principals are judged as ever.
    """
    if tbs.cert_type is not CertType.USER or grant.operation is not Operation.SSH_SIGN:
        return None
    permitted = [permit for permit in grant.permits if isinstance(permit, SignSSH)]
    forced = [name for permit in permitted for name, _ in permit.critical_options if name == _FORCE_COMMAND]
    if forced or _FORCE_COMMAND not in dict(tbs.critical_options) or len(tbs.valid_principals) != 1:
        return None
    named = [permit.account for permit in grant.permits if isinstance(permit, AddUser)]
    return named[0] if named else tbs.key_id.removesuffix(f"-{tbs.valid_principals[0]}")
