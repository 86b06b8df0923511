"""check: nothing is signed that was not granted, whatever composed it.

What is judged is the encoded certificate, read back by another parser, against the grant. ``check`` is the only maker
of an ``Approval``, and only an ``Approval`` can be signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica import names, validity
from mica.authority import Authority
from mica.claims import Claims
from mica.errors import Refused
from mica.grants import AsRequested, CSRNames, Exactly, Grant, Renew, SignX509, Within
from mica.issuers import AUTHORITY_KEY_IDENTIFIER, Issuer
from mica.keyrules import check_public_key
from mica.lint import lint
from mica.pkix import TBSCertificate, encode_common_name, tbs_parts
from mica.profile import SUBJECT_KEY_IDENTIFIER
from mica.requests import CSR, RenewRequest, SignRequest
from mica.validity import Validity

_SEAL = object()
_SUBJECT, _SPKI = 5, 6  # places in a TBSCertificate (RFC 5280 §4.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A certificate that may be signed: these octets, by this issuer. Only ``check`` can make one."""

    tbs: TBSCertificate
    der: bytes
    issuer: Issuer
    grant: Grant
    permit: SignX509 | Renew
    replaces: x509.Certificate | None = None
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only mica.ceiling.check makes an Approval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A composed certificate and everything it is judged by."""

    request: SignRequest | RenewRequest
    tbs: TBSCertificate
    grant: Grant
    claims: Claims
    issuer: Issuer
    now: datetime


async def check(authority: Authority, draft: Draft) -> Approval:
    """The draft may be signed; raises Refused with every objection of the core, of lint and of each policy."""
    tbs, grant, request = draft.tbs, draft.grant, draft.request
    encoded = tbs.der
    (permit,) = grant.permits
    # In this order: what lint finds repeats what is objected to in the request, in the words of the standard; and only
    # a certificate in which it finds nothing can be read without surprises.
    if isinstance(permit, SignX509) and isinstance(request, SignRequest):
        reasons = _sign_objections(draft, permit, request) or _lint(draft) or _excess(tbs, request.csr, permit)
    elif isinstance(permit, Renew) and isinstance(request, RenewRequest):
        reasons = _lint(draft) or _renewal_objections(draft, request)
    else:
        raise Refused("the grant does not permit this certificate")
    reasons += await authority.hooks.objections(request if isinstance(request, SignRequest) else None, tbs, grant)
    if reasons:
        raise Refused(*reasons)
    replaces = request.certificate if isinstance(request, RenewRequest) else None
    return Approval(
        tbs=tbs, der=encoded, issuer=draft.issuer, grant=grant, permit=permit, replaces=replaces, seal=_SEAL
    )


def _lint(draft: Draft) -> list[str]:
    return lint(draft.tbs, draft.issuer.certificate, above=draft.issuer.above)


def _sign_objections(draft: Draft, permit: SignX509, request: SignRequest) -> list[str]:
    """Where the request asks for something else than the grant and the claims permit."""
    valid = Validity(not_before=draft.tbs.not_before, not_after=draft.tbs.not_after)
    return _request_objections(request.csr, permit) + validity.check(
        valid, permit, draft.claims, draft.issuer, draft.now
    )


def _request_objections(csr: CSR, permit: SignX509) -> list[str]:
    """Where the CSR asks for something else than the grant permits."""
    reasons = []
    if permit.confirmation is not None and permit.confirmation != csr.digest:
        reasons.append(f'certificate request fingerprint does not match "{permit.confirmation.hex()}"')
    allowed = None if permit.common_names is None else {"", permit.subject_common_name} | permit.common_names
    if allowed is not None and csr.common_name not in allowed:
        wanted = _listed(sorted(allowed - {""}))
        reasons.append(
            f"certificate request does not contain the valid common name - got {csr.common_name}, want {wanted}"
        )
    if foreign := [name for name in csr.names if type(name) not in names.KINDS]:
        reasons.append(f"certificate request contains names that are never issued - got {_listed(foreign)}")
    return reasons + _name_objections(csr, permit)


def _name_objections(csr: CSR, permit: SignX509) -> list[str]:
    rule, reasons = permit.names, []
    for kind, noun in names.KINDS.items():
        asked = [name for name in csr.names if type(name) is kind]
        if isinstance(rule, Exactly) and permit.csr_names is CSRNames.MUST_MATCH:
            granted = [name for name in rule.names if type(name) is kind]
            if asked and set(asked) != set(granted):
                reasons.append(
                    f"certificate request does not contain the valid {noun} - "
                    f"got {_listed(asked)}, want {_listed(granted)}"
                )
        elif isinstance(rule, Within) and not set(asked) <= set(rule.names):
            allowed = [name for name in rule.names if type(name) is kind]
            reasons.append(
                f"certificate request contains unauthorized {noun} - got {_listed(asked)}, allowed {_listed(allowed)}"
            )
        elif isinstance(rule, AsRequested) and asked and kind not in rule.kinds:
            reasons.append(f"certificate request contains unauthorized {noun} - got {_listed(asked)}, allowed []")
    return reasons


def _excess(tbs: TBSCertificate, csr: CSR, permit: SignX509) -> list[str]:
    """What the encoded certificate has beyond the permit. Anything here is a mistake of the core itself."""
    reasons = [f"certificate request {reason}" for reason in check_public_key(csr.public_key.key)]
    issued = set(tbs.names)
    rule = permit.names
    granted = issued == set(rule.names) if isinstance(rule, Exactly) else issued <= set(csr.names)
    if not granted or (isinstance(rule, Within) and not issued <= set(rule.names)):
        reasons.append("the certificate would carry names that were not granted")
    if tbs.parts[_SUBJECT] not in (encode_common_name(permit.subject_common_name), encode_common_name("")):
        reasons.append("the certificate would carry a subject that was not granted")
    if not permit.subject_common_name.isprintable():
        reasons.append("the subject's common name has characters that cannot be printed")
    if tbs.parts[_SPKI] != csr.public_key.spki:
        reasons.append("the certificate would carry another key than the request")
    if permit.ca or _is_ca(tbs):
        reasons.append("CA certificates are not issued here")
    if not set(_usages(tbs)) <= set(permit.extended_key_usages):
        reasons.append("the certificate would carry an extended key usage that was not granted")
    return reasons


def _renewal_objections(draft: Draft, request: RenewRequest) -> list[str]:
    """Where the new certificate differs from the old one in more than renewal may change."""
    old, new = request.certificate, draft.tbs.parsed
    old_parts, new_parts = tbs_parts(old), draft.tbs.parts
    may_differ = {AUTHORITY_KEY_IDENTIFIER} | ({SUBJECT_KEY_IDENTIFIER} if request.csr else set())
    reasons = []
    if old_parts[_SUBJECT] != new_parts[_SUBJECT]:
        reasons.append("the renewed certificate would have another subject")
    if new_parts[_SPKI] != (request.csr.public_key.spki if request.csr else old_parts[_SPKI]):
        reasons.append("the renewed certificate would have another key")
    if request.csr:
        reasons += [f"certificate request {reason}" for reason in check_public_key(request.csr.public_key.key)]
    if _extensions(old, may_differ) != _extensions(new, may_differ):
        reasons.append("the renewed certificate would have other extensions")
    if _is_ca(draft.tbs):
        reasons.append("CA certificates are not issued here")
    length = new.not_valid_after_utc - new.not_valid_before_utc
    if not timedelta() < length <= old.not_valid_after_utc - old.not_valid_before_utc:
        reasons.append("the renewed certificate would last longer than the old one, or not at all")
    return reasons


def _extensions(certificate: x509.Certificate, leave_out: set[str]) -> list[tuple[str, bool, bytes]]:
    return [
        (extension.oid.dotted_string, extension.critical, extension.value.public_bytes())
        for extension in certificate.extensions
        if extension.oid.dotted_string not in leave_out
    ]


def _is_ca(tbs: TBSCertificate) -> bool:
    basic, usage = (tbs.found.get(kind.oid) for kind in (x509.BasicConstraints, x509.KeyUsage))
    return (basic is not None and cast("x509.BasicConstraints", basic.value).ca) or (
        usage is not None and _signs_certificates(cast("x509.KeyUsage", usage.value))
    )


def _signs_certificates(usage: x509.KeyUsage) -> bool:
    return usage.key_cert_sign or usage.crl_sign


def _usages(tbs: TBSCertificate) -> Iterable[x509.ObjectIdentifier]:
    extension = tbs.found.get(x509.ExtendedKeyUsage.oid)
    # Without the extension a certificate is good for anything: more than any permit says.
    return (
        cast("x509.ExtendedKeyUsage", extension.value) if extension else (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)
    )


def _listed(values: Iterable[x509.GeneralName | str]) -> str:
    """As step-ca prints a list: ``[a b]``."""
    return f"[{' '.join(value if isinstance(value, str) else names.text(value) for value in values)}]"
