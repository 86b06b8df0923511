"""The client's side: tokens signed with the key of an SSH certificate, both in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mica import MalformedRequest, keyfiles
from mica.client import Desk, KeyProblem, ReadingDesk, TokenOrder, open_key, sshpoptoken
from mica.sshcert import SSHCertificate
from mica.sshkeys import KeyLine

_OPERATIONS = ("ssh-renew", "ssh-rekey", "ssh-revoke")  # mica.Operation is slow to import
_UTF8_MARK = "\ufeff"


class SSHPOPTokenSource:
    """Signs each token with the key whose certificate it concerns; the key never leaves this machine."""

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """A token for ``order``, which concerns the certificate that the desk has; raises KeyProblem."""
        name = provisioner["name"]
        if order.operation not in _OPERATIONS:
            raise KeyProblem(
                f"the provisioner {name} (SSHPOP) vouches for SSH certificates that are there already",
                hint="it renews, rekeys and revokes them; choose another provisioner with --provisioner",
            )
        if desk.certificate_file is None or desk.key_file is None:
            raise KeyProblem(
                f"the provisioner {name} (SSHPOP) needs an SSH certificate and its private key",
                hint="name them with --sshpop-cert and --sshpop-key",
            )
        certificate = _certificate(desk.certificate_file, desk)
        serial = str(certificate.tbs.serial)
        if order.subject not in ("", serial):
            raise KeyProblem(
                f"{desk.certificate_file}: has the serial number {serial}, not {order.subject}",
                hint="a certificate's key vouches for that certificate alone",
            )
        key = open_key(desk.read(desk.key_file), desk.key_file, desk).key
        claims = {**order.extra, "sha": order.root_fingerprint} if order.root_fingerprint else order.extra
        return sshpoptoken.make(
            order.audience,
            name,
            certificate,
            key,
            serial,
            order.issued_at,
            not_before=order.not_before,
            not_after=order.not_after,
            claims=claims,
        )


def _certificate(path: Path, desk: ReadingDesk) -> SSHCertificate:
    """The one SSH certificate in ``path``; raises KeyProblem that names the file."""
    data = desk.read(path)
    lines = [line.strip() for line in data.decode("utf-8", "replace").removeprefix(_UTF8_MARK).splitlines()]
    filled = [line for line in lines if line and not line.startswith("#")]
    if keyfiles.holds_private_key(data):
        raise _no_certificate(path, "holds a private key, not an SSH certificate")
    if len(filled) != 1:
        raise _no_certificate(path, f"must hold one SSH certificate, and has {len(filled)} lines")
    try:
        line = KeyLine.parse(filled[0], str(path))
        if not line.is_certificate:
            raise _no_certificate(path, f"holds an SSH public key ({line.key_type}), not its certificate")
        return SSHCertificate.decode(line.blob, str(path))
    except MalformedRequest as error:
        raise _no_certificate(path, f"cannot be read: {error}") from error


def _no_certificate(path: Path, fault: str) -> KeyProblem:
    return KeyProblem(
        f"{path}: {fault}", hint="the certificate of ssh_host_x_key is usually in ssh_host_x_key-cert.pub"
    )
