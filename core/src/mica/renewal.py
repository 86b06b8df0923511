"""The line, for a certificate that continues another: renew, and rekey.

What is renewed is on record, byte for byte the certificate that was presented, and its key is in the presenter's hands:
the TLS handshake proved that, or a renew token signed by the key. Where an issuer's ``renew_unrecorded`` is set, its
signature stands in for a record that is missing, and for nothing else.
"""

import dataclasses
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica import der, profile, validity
from mica.authority import Authority
from mica.authorization import authorize_renewal
from mica.ceiling import Draft, check
from mica.claims import Claims
from mica.denials import Telling
from mica.errors import CertificateRevoked, Refused, Unauthorized
from mica.grants import Grant, Operation
from mica.issuance import IssuedX509, record, sign, written
from mica.issuers import AUTHORITY_KEY_IDENTIFIER, Issuer, issuer_digest
from mica.pkix import Extension, SubjectPublicKey, TBSCertificate, tbs_parts
from mica.records import Commit, Issuance
from mica.renewtokens import RenewToken, verify_renew_token
from mica.requests import RenewRequest
from mica.unrecorded import unrecorded


async def renew(authority: Authority, request: RenewRequest) -> IssuedX509:
    """The certificate's continuation is on record; its presenter's possession of the key was proved by TLS.

    Raises Unauthorized, CertificateRevoked, Refused.
    """
    operation = Operation.X509_REKEY if request.csr else Operation.X509_RENEW
    with Telling(authority, operation) as denial:
        issuance = await on_record(authority, request.certificate)
        grant, entry = await authorize_renewal(authority, issuance, operation)
        denial.grant = grant
        _require_renewable(request.certificate, entry.claims, authority.now())
        return await _continue(authority, request, grant, entry.claims)


async def renew_by_token(authority: Authority, raw: str) -> IssuedX509:
    """As ``renew``, where a token signed by the certificate's key proves the possession. The token serves once."""
    with Telling(authority, Operation.X509_RENEW) as denial:
        token: RenewToken = verify_renew_token(raw, authority.audiences, authority.now())
        issuance = await on_record(authority, token.certificate)
        grant, entry = await authorize_renewal(authority, issuance, Operation.X509_RENEW)
        token.require_issuer(entry.name)
        grant = denial.grant = dataclasses.replace(grant, spend=token.spend)
        _require_renewable(token.certificate, entry.claims, authority.now())
        return await _continue(authority, RenewRequest(certificate=token.certificate), grant, entry.claims)


async def on_record(authority: Authority, certificate: x509.Certificate) -> Issuance:
    """The record of exactly this certificate, which is not revoked; raises Unauthorized, CertificateRevoked.

    Where the issuer renews what is not on record, that is what would have been; and then it may raise Refused.
    """
    digest = issuer_digest(certificate)
    issuer = next((issuer for issuer in authority.issuers.values() if issuer.digest == digest), None)
    if issuer is None:
        raise Unauthorized("the certificate was not issued by an issuer of this authority")
    issuance = await authority.store.find(issuer.id_of(certificate.serial_number))
    if issuance is None and issuer.renew_unrecorded:
        issuance = unrecorded(issuer, certificate)
    if issuance is None or issuance.certificate != certificate.public_bytes(serialization.Encoding.DER):
        raise Unauthorized("the certificate is not on record here")
    if await authority.store.revocation(issuance.id) is not None:
        raise CertificateRevoked(f"the certificate {certificate.serial_number} is revoked")
    return issuance


def _require_renewable(certificate: x509.Certificate, claims: Claims, now: datetime) -> None:
    """The claims and the certificate itself let it be renewed now; raises Unauthorized."""
    if claims.disable_renewal:
        raise Unauthorized("renewal is disabled for the certificate's provisioner")
    if now < certificate.not_valid_before_utc:
        raise Unauthorized("the certificate is not valid yet")
    if now > certificate.not_valid_after_utc and not claims.allow_renewal_after_expiry:
        expired = f"certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} +0000 UTC"
        told_client = f"The request lacked necessary authorization to be completed: {expired}"
        raise Unauthorized(expired, public=told_client)
    if not _can_authenticate_clients(certificate):
        raise Unauthorized("the certificate is not for TLS client authentication, and cannot be renewed with")


def _can_authenticate_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


async def _continue(authority: Authority, request: RenewRequest, grant: Grant, claims: Claims) -> IssuedX509:
    digest, now = issuer_digest(request.certificate), authority.now()
    issuer = next(issuer for issuer in authority.issuers.values() if issuer.digest == digest)
    async with authority.in_flight.hold(grant) as spends:
        tbs = _compose(request, issuer, now)
        draft = Draft(request=request, tbs=tbs, grant=grant, claims=claims, issuer=issuer, now=now)
        issued = await sign(await check(authority, draft), now)
        old = issuer.id_of(request.certificate.serial_number)
        commit = Commit(issuances=(issued.issuance,), spends=spends, unless_revoked=(old,))
        await record(authority, issued, commit, grant)
        return issued


def _compose(request: RenewRequest, issuer: Issuer, now: datetime) -> TBSCertificate:
    """The old certificate with another serial number, validity, issuer and AKI; and key and SKI on rekey."""
    old = request.certificate
    parts = tbs_parts(old)
    key = request.csr.public_key if request.csr else SubjectPublicKey(parts[6], _public_key(old))
    extensions = []
    for extension in map(_extension, der.children(der.children(parts[-1])[0])):
        if extension.oid == AUTHORITY_KEY_IDENTIFIER:
            extension = issuer.authority_key_identifier
        elif extension.oid == profile.SUBJECT_KEY_IDENTIFIER and request.csr:
            extension = profile.subject_key_identifier(key)
        extensions.append(extension)
    valid = validity.continued(old.not_valid_before_utc, old.not_valid_after_utc, issuer, now)
    return written(issuer, valid, parts[5], key, tuple(extensions), now)


def _extension(element: bytes) -> Extension:
    """An Extension as it stands in a certificate (RFC 5280 §4.1)."""
    oid, *critical, value = der.children(element)
    ((_, contents, _),) = der.elements(value)
    return Extension(der.decode_oid(oid), bool(critical), contents)


def _public_key(
    certificate: x509.Certificate,
) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise Refused("the certificate's key is of a kind that is not issued here")
    return key
