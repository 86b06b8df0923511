"""The line, for a new certificate: decode → authorize → compose → check → sign → record."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mica import names, profile, validity
from mica.authority import Authority
from mica.authorization import authorize
from mica.ceiling import Approval, Draft, check
from mica.claims import Claims
from mica.containment import contained
from mica.csr import parse_csr
from mica.deadlines import within
from mica.denials import Telling
from mica.errors import Refused, Unavailable, told
from mica.events import Issued
from mica.grants import Exactly, Grant, Operation, Reusable, SignX509
from mica.issuers import Issuer, issuer_digest
from mica.logs import request_id
from mica.pkix import Extension, SubjectPublicKey, TBSCertificate, encode_common_name
from mica.records import MICA, CertificateId, CertificateKind, Commit, Issuance
from mica.requests import SignRequest

#: How long a signer may take, in seconds.
SIGNING_DEADLINE = 10.0
#: What holds for the authority's own TLS certificates, whatever ``[claims]`` says.
OWN_CLAIMS = Claims(disable_smallstep_extensions=True)

_MAX_COMMON_NAME = 64  # RFC 5280 appendix A.1: ub-common-name


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedX509:
    """A certificate that is on record, and may leave."""

    certificate: bytes
    """DER."""
    chain: tuple[bytes, ...]
    """Its issuers, DER, without the root."""
    issuance: Issuance


async def sign_token(authority: Authority, request: SignRequest, token: str) -> IssuedX509:
    """What the token's bearer asked for is on record; raises Unauthorized, Refused, MalformedRequest."""
    with Telling(authority, Operation.X509_SIGN) as denial:
        grant, entry = await authorize(authority, token, Operation.X509_SIGN)
        denial.grant = grant
        return await issue(authority, request, grant, entry.claims)


async def issue_own(authority: Authority, key: ec.EllipticCurvePrivateKey) -> IssuedX509:
    """A TLS certificate for the authority's own server and its ``key``, by the same line as anybody's."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    settings, now = authority.settings, authority.now()
    permit = SignX509(
        subject_common_name=settings.core.common_name,
        names=Exactly(names=names.ordered(map(names.classify, settings.dns_names))),
    )
    grant = Grant(
        provisioner=MICA,
        operation=Operation.X509_SIGN,
        subject=settings.core.common_name,
        spend=Reusable(reason="the authority's own TLS certificate"),
        expires_at=now + timedelta(minutes=1),
        permits=(permit,),
    )
    request = SignRequest(csr=parse_csr(csr.public_bytes(Encoding.DER)))
    issued = await issue(authority, request, grant, OWN_CLAIMS)
    _prove(authority.issuer, issued)
    return issued


def _prove(issuer: Issuer, issued: IssuedX509) -> None:
    """The signer signs with the issuer's key. What it signs is the core's; with which key, only a signature shows."""
    try:
        x509.load_der_x509_certificate(issued.certificate).verify_directly_issued_by(issuer.certificate)
    except Exception as error:  # pyca raises ValueError, TypeError or InvalidSignature
        raise Unavailable(f"signers.{issuer.name}: its signatures do not verify under its certificate") from error


async def issue(authority: Authority, request: SignRequest, grant: Grant, claims: Claims) -> IssuedX509:
    """The certificate that ``grant`` permits and ``request`` asks for is on record, its token spent."""
    (permit,) = grant.permits
    if not isinstance(permit, SignX509) or permit.signer not in authority.issuers:
        raise Refused("the grant permits no certificate of this authority")
    issuer, now = authority.issuers[permit.signer], authority.now()
    async with authority.in_flight.hold(grant) as spends:
        tbs = compose(request, grant, permit, claims, issuer, now)
        draft = Draft(request=request, tbs=tbs, grant=grant, claims=claims, issuer=issuer, now=now)
        issued = await sign(await check(authority, draft), now)
        await record(authority, issued, Commit(issuances=(issued.issuance,), spends=spends), grant)
        return issued


def compose(
    request: SignRequest, grant: Grant, permit: SignX509, claims: Claims, issuer: Issuer, now: datetime
) -> TBSCertificate:
    """The certificate that the grant describes, for the request's key. Composing judges nothing."""
    asked = request.csr.names
    rule = permit.names
    alternative_names = names.ordered(rule.names if isinstance(rule, Exactly) else asked)
    # A longer name stands among the SANs; a CN could not hold it.
    common_name = permit.subject_common_name if len(permit.subject_common_name) <= _MAX_COMMON_NAME else ""
    valid = validity.compose(request, permit, claims, issuer, now)
    key = request.csr.public_key
    extensions = [
        profile.key_usage(key),
        profile.extended_key_usage(permit.extended_key_usages),
        profile.subject_key_identifier(key),
        issuer.authority_key_identifier,
    ]
    if alternative_names:
        extensions.append(profile.subject_alternative_name(alternative_names, critical=not common_name))
    if not claims.disable_smallstep_extensions:
        extensions.append(profile.provisioner(grant.provisioner))
    return written(issuer, valid, encode_common_name(common_name), key, tuple(extensions), now)


def written(
    issuer: Issuer,
    valid: validity.Validity,
    subject: bytes,
    key: SubjectPublicKey,
    extensions: tuple[Extension, ...],
    now: datetime,
) -> TBSCertificate:
    """A certificate of ``issuer`` with a new serial number."""
    return TBSCertificate(
        serial_number=new_serial_number(now),
        signature=issuer.algorithm,
        issuer=issuer.subject,
        not_before=valid.not_before,
        not_after=valid.not_after,
        subject=subject,
        subject_public_key=key,
        extensions=extensions,
    )


def new_serial_number(now: datetime) -> int:
    """Sixteen octets: a zero bit, 47 bits of milliseconds, 80 random bits (RFC 5280 §4.1.2.2).

    That they ascend keeps insertions at the end of the store's index; nothing relies on it.
    """
    milliseconds = int(now.timestamp() * 1000) & (1 << 47) - 1
    return milliseconds << 80 | secrets.randbits(80)


async def sign(approval: Approval, now: datetime) -> IssuedX509:
    """The certificate, not yet on record; raises Unavailable."""
    issuer, tbs = approval.issuer, approval.tbs
    try:
        with contained:
            der = tbs.assemble(octets(await within(SIGNING_DEADLINE, issuer.signer.sign(approval.der))))
    except Exception as error:
        fault = told(error, repr)
        raise Unavailable(f"signers.{issuer.name}: the signer gave no valid signature: {fault}") from error
    return IssuedX509(certificate=der, chain=issuer.chain_der, issuance=_issuance(approval, der, now))


def octets(signature: object) -> bytes:
    """A signature's plain octets, whatever class they came in; raises TypeError or ValueError where there are none."""
    if not isinstance(signature, bytes | bytearray | memoryview) or not len(plain := bytes(memoryview(signature))):
        raise TypeError(f"a signature must be octets, at least one, not {type(signature).__name__}")
    return plain


async def record(authority: Authority, issued: IssuedX509, commit: Commit, grant: Grant) -> None:
    """The certificate is durably on record with everything else in ``commit``; listeners will hear of it."""
    await authority.store.commit(commit)
    tell_issued(authority, issued.issuance, grant)


def tell_issued(authority: Authority, issuance: Issuance, grant: Grant) -> None:
    """Listeners will hear of the certificate, and of who it was that asked for it."""
    event = Issued(
        issuance=issuance,
        at=issuance.issued_at,
        request_id=issuance.request_id,
        subject=grant.subject,
        evidence=grant.evidence,
    )
    authority.listeners.tell(event)


def _issuance(approval: Approval, der: bytes, now: datetime) -> Issuance:
    tbs, old, permit = approval.tbs, approval.replaces, approval.permit
    replaces = (
        CertificateId(kind=CertificateKind.X509, issuer=issuer_digest(old), serial_number=old.serial_number)
        if old
        else None
    )
    return Issuance(
        id=approval.issuer.id_of(tbs.serial_number),
        certificate=der,
        provisioner=approval.grant.provisioner,
        subject=permit.subject_common_name if isinstance(permit, SignX509) else permit.certificate.subject,
        names=tuple(map(names.text, tbs.names)),
        not_before=tbs.not_before,
        not_after=tbs.not_after,
        issued_at=now,
        request_id=request_id.get(),
        replaces=replaces,
    )
