"""mica: a certificate authority built from plugins.

What stands in ``__all__`` is what plugin authors import; nothing else is public. Each name is imported when it is
first used (PEP 562), so that ``import mica`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mica.audiences import Audiences as Audiences
    from mica.claims import Claims as Claims
    from mica.durations import parse_time_or_duration as parse_time_or_duration
    from mica.egress import Answer as Answer
    from mica.egress import Budget as Budget
    from mica.egress import Egress as Egress
    from mica.errors import AlreadyRevoked as AlreadyRevoked
    from mica.errors import CertificateRevoked as CertificateRevoked
    from mica.errors import ConfigError as ConfigError
    from mica.errors import Conflict as Conflict
    from mica.errors import MalformedRequest as MalformedRequest
    from mica.errors import MicaError as MicaError
    from mica.errors import NotFound as NotFound
    from mica.errors import Refused as Refused
    from mica.errors import TokenReused as TokenReused
    from mica.errors import TooLarge as TooLarge
    from mica.errors import Unauthorized as Unauthorized
    from mica.errors import Unavailable as Unavailable
    from mica.errors import Unsupported as Unsupported
    from mica.events import Denied as Denied
    from mica.events import Event as Event
    from mica.events import Issued as Issued
    from mica.events import Revoked as Revoked
    from mica.grants import AddUser as AddUser
    from mica.grants import AsRequested as AsRequested
    from mica.grants import CSRNames as CSRNames
    from mica.grants import Exactly as Exactly
    from mica.grants import Grant as Grant
    from mica.grants import OneTime as OneTime
    from mica.grants import Operation as Operation
    from mica.grants import Renew as Renew
    from mica.grants import RenewSSH as RenewSSH
    from mica.grants import Reusable as Reusable
    from mica.grants import Revoke as Revoke
    from mica.grants import RevokeAny as RevokeAny
    from mica.grants import RevokeHeld as RevokeHeld
    from mica.grants import RevokeKeyId as RevokeKeyId
    from mica.grants import SignSSH as SignSSH
    from mica.grants import SignSSHAsRequested as SignSSHAsRequested
    from mica.grants import SignX509 as SignX509
    from mica.grants import Within as Within
    from mica.hookspecs import hookimpl as hookimpl
    from mica.pkix import Extension as Extension
    from mica.pkix import SubjectPublicKey as SubjectPublicKey
    from mica.pkix import TBSCertificate as TBSCertificate
    from mica.records import MICA as MICA
    from mica.records import CertificateId as CertificateId
    from mica.records import CertificateKind as CertificateKind
    from mica.records import Commit as Commit
    from mica.records import Found as Found
    from mica.records import Issuance as Issuance
    from mica.records import Page as Page
    from mica.records import ProvisionerRef as ProvisionerRef
    from mica.records import Query as Query
    from mica.records import Revocation as Revocation
    from mica.records import SpentToken as SpentToken
    from mica.records import Status as Status
    from mica.requests import CSR as CSR
    from mica.requests import SignRequest as SignRequest
    from mica.requests import SSHRenewRequest as SSHRenewRequest
    from mica.requests import SSHRevokeRequest as SSHRevokeRequest
    from mica.requests import SSHSignRequest as SSHSignRequest
    from mica.roles import Closeable as Closeable
    from mica.roles import Context as Context
    from mica.roles import ExtensionContext as ExtensionContext
    from mica.roles import KeyBackend as KeyBackend
    from mica.roles import KeyContext as KeyContext
    from mica.roles import KeyCreator as KeyCreator
    from mica.roles import Keyed as Keyed
    from mica.roles import Kind as Kind
    from mica.roles import Provisioner as Provisioner
    from mica.roles import RenewalProvisioner as RenewalProvisioner
    from mica.roles import RevocationLister as RevocationLister
    from mica.roles import SignerContext as SignerContext
    from mica.roles import SSHKey as SSHKey
    from mica.roles import SSHSigner as SSHSigner
    from mica.roles import SSHSignerContext as SSHSignerContext
    from mica.roles import Startable as Startable
    from mica.roles import Store as Store
    from mica.roles import TokenProvisioner as TokenProvisioner
    from mica.roles import X509Signer as X509Signer
    from mica.roles import kind as kind
    from mica.services import Services as Services
    from mica.sshcert import CertType as CertType
    from mica.sshcert import SSHCertificate as SSHCertificate
    from mica.sshcert import TBSSSHCertificate as TBSSSHCertificate
    from mica.sshissuance import IssuedSSH as IssuedSSH
    from mica.sshkeys import SSHPublicKey as SSHPublicKey
    from mica.tokens import UnverifiedToken as UnverifiedToken
    from mica.web.answers import JSON as JSON
    from mica.web.answers import note as note
    from mica.web.answers import note_issuance as note_issuance
    from mica.web.bodies import Body as Body
    from mica.web.bodies import decode_body as decode_body
    from mica.web.routing import Route as Route

_HOMES = {
    "audiences": ("Audiences",),
    "claims": ("Claims",),
    "durations": ("parse_time_or_duration",),
    "egress": ("Answer", "Budget", "Egress"),
    "errors": (
        "AlreadyRevoked", "CertificateRevoked", "ConfigError", "Conflict", "MalformedRequest", "MicaError", "NotFound",
        "Refused", "TokenReused", "TooLarge", "Unauthorized", "Unavailable", "Unsupported",
    ),
    "events": ("Denied", "Event", "Issued", "Revoked"),
    "grants": (
        "AddUser", "AsRequested", "CSRNames", "Exactly", "Grant", "OneTime", "Operation", "Renew", "RenewSSH",
        "Reusable", "Revoke", "RevokeAny", "RevokeHeld", "RevokeKeyId", "SignSSH", "SignSSHAsRequested", "SignX509",
        "Within",
    ),
    "hookspecs": ("hookimpl",),
    "pkix": ("Extension", "SubjectPublicKey", "TBSCertificate"),
    "records": (
        "CertificateId", "CertificateKind", "Commit", "Found", "Issuance", "MICA", "Page", "ProvisionerRef", "Query",
        "Revocation", "SpentToken", "Status",
    ),
    "requests": ("CSR", "SSHRenewRequest", "SSHRevokeRequest", "SSHSignRequest", "SignRequest"),
    "roles": (
        "Closeable", "Context", "ExtensionContext", "KeyBackend", "KeyContext", "KeyCreator", "Keyed", "Kind",
        "Provisioner", "RenewalProvisioner", "RevocationLister", "SSHKey", "SSHSigner", "SSHSignerContext",
        "SignerContext", "Startable", "Store", "TokenProvisioner", "X509Signer", "kind",
    ),
    "services": ("Services",),
    "sshcert": ("CertType", "SSHCertificate", "TBSSSHCertificate"),
    "sshissuance": ("IssuedSSH",),
    "sshkeys": ("SSHPublicKey",),
    "tokens": ("UnverifiedToken",),
    "web.answers": ("JSON", "note", "note_issuance"),
    "web.bodies": ("Body", "decode_body"),
    "web.routing": ("Route",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'mica' has no attribute {name!r}")
    return getattr(import_module(f"mica.{module}"), name)
