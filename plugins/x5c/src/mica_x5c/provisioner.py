"""The server's side: whoever holds the key of a certificate that chains to roots of the operator's."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mica import (
    AddUser,
    ConfigError,
    Context,
    Grant,
    Issuance,
    OneTime,
    Operation,
    ProvisionerRef,
    Revoke,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    orders,
    sshorders,
    tokens,
)
from mica.pkix import UNREADABLE
from mica_x5c import chains, paths

_SUBJECT_SHOWN = 256  # characters of a leaf's subject that are worth logging


@dataclass(frozen=True, slots=True, kw_only=True)
class X5CConfig:
    """``[[provisioners]]`` with ``type = "x5c"``."""

    name: str
    roots: tuple[Path, ...] = field(
        default=(),
        metadata={"help": "PEM file with roots; may be repeated", "flag": "x5c-roots"},
    )
    roots_pem: str = field(default="", metadata={"help": "Roots in PEM, instead of a file", "flag": None})


class X5CProvisioner:
    """Vouches for whoever holds the key of a certificate that leads to one of its roots."""

    type = "X5C"
    operations = frozenset(
        {
            Operation.X509_SIGN,
            Operation.X509_RENEW,
            Operation.X509_REKEY,
            Operation.X509_REVOKE,
            Operation.SSH_SIGN,
        }
    )

    def __init__(self, config: X5CConfig, context: Context) -> None:
        self.name = config.name
        self._context = context
        self._fragment = f"x5c/{config.name}"
        self._ref = ProvisionerRef(name=self.name, type=self.type)
        self._roots = _read_roots(config, context)

    def describe(self) -> Mapping[str, Any]:
        """The roots, one PEM bundle in base64, as step's clients read them."""
        bundle = b"".join(root.public_bytes(Encoding.PEM) for root in self._roots.certificates)
        return {"roots": base64.b64encode(bundle).decode()}

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token names this provisioner, as ``iss`` and in the fragment of an audience."""
        return token.issuer == self.name and self._fragment in token.fragments

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The token is signed by a leaf that leads to a root, is current, and orders ``operation``.

        Raises Unauthorized.
        """
        if not self.recognizes(token) or operation not in self.operations:
            raise Unauthorized(f"token does not name this provisioner, or {operation} is not for it")
        if self._context.audiences.operation(token, fragment=self._fragment) is not operation:
            raise Unauthorized(f"token's audience is not for {operation}")
        now = self._context.now()
        expires_at = token.expiry(now) + tokens.LEEWAY
        chain = chains.read(token)
        try:
            paths.verify(chain, self._roots, now)
        except paths.InvalidPath as error:
            raise Unauthorized(f"the token's x5c chain is refused: {error}") from error
        chains.require_signature(token, chain[0])
        return Grant(
            provisioner=self._ref,
            operation=operation,
            subject=orders.subject(token),
            spend=OneTime.of(token.id, expires_at),
            expires_at=expires_at,
            permits=_permits(token, operation, chain[0]),
            claims=token.payload,
            evidence=_evidence(token, chain[0]),
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew or rekey a certificate that this provisioner vouched for; raises Unauthorized."""
        return orders.renewal(issuance, operation, self._ref, self._context)


def _read_roots(config: X5CConfig, context: Context) -> paths.Roots:
    """The roots of the configuration; raises ConfigError with every fault."""
    faults = [] if config.name else ["name: must not be empty"]
    found: list[x509.Certificate] = []
    sources = {f"roots[{place}] ({path})": path for place, path in enumerate(config.roots)}
    for where, path in sources.items():
        try:
            found += x509.load_pem_x509_certificates(context.read(context.directory / path))
        except ConfigError as error:
            faults += [f"{where}: {fault}" for fault in error.faults]
        except UNREADABLE as error:
            faults.append(f"{where}: must hold certificates in PEM: {error}")
    if config.roots_pem:
        try:
            found += x509.load_pem_x509_certificates(config.roots_pem.encode())
        except UNREADABLE as error:
            faults.append(f"roots_pem: must hold certificates in PEM: {error}")
    if not config.roots and not config.roots_pem:
        faults.append("roots: at least one file with roots is needed: nobody could be believed without")
    roots = paths.Roots(tuple(dict.fromkeys(found)))
    faults += [f"roots: {fault}" for fault in roots.check()]
    if faults:
        raise ConfigError(faults)
    return roots


def _permits(
    token: UnverifiedToken, operation: Operation, leaf: x509.Certificate
) -> tuple[SignX509 | SignSSH | AddUser | Revoke, ...]:
    """What the verified token entitles its bearer to, never for longer than the leaf's; raises Unauthorized."""
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    match operation:
        case Operation.X509_SIGN:
            permit = orders.sign(token, sans_as_common_name=False)
            return (replace(permit, not_before=first, not_after=last),)
        case Operation.X509_REVOKE:
            return (orders.revoke(token),)
        case Operation.SSH_SIGN:
            ssh, *add_user = sshorders.sign(token)
            assert isinstance(ssh, SignSSH)  # a tuple's type is lost when it is taken apart
            return (replace(ssh, not_before=first, not_after=last), *add_user)
        case _:
            raise Unauthorized(f"an X5C token cannot order {operation}")


def _evidence(token: UnverifiedToken, leaf: x509.Certificate) -> dict[str, str]:
    return {
        "serial": str(leaf.serial_number),
        "subject": leaf.subject.rfc4514_string()[:_SUBJECT_SHOWN],
        "fingerprint": leaf.fingerprint(hashes.SHA256()).hex(),
        "jti": token.id,
    }
