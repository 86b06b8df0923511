"""Whether revocation lists out of files say that a certificate is revoked (RFC 5280 §6.3)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mica.cli.kit import rfc3339
from mica_certtool.judging.paths import Chain, title
from mica_certtool.judging.validation import Fault
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, extension

Lists = Sequence[x509.CertificateRevocationList]

#: Critical extensions that are evaluated here; a list with another one says something that is not understood (§5.2).
_UNDERSTOOD = frozenset({x509.IssuingDistributionPoint.oid})


def revocations(chain: Chain, lists: Lists, now: datetime) -> list[Fault]:
    """Why ``lists`` speak against ``chain``, leaf first and anchor last; also when they are silent about the leaf.

    Of the issuers between, those are checked on which there is a list. No list is fetched.
    """
    return [fault for index in range(len(chain) - 1) for fault in _of_one(chain, index, lists, now)]


def _of_one(chain: Chain, index: int, lists: Lists, now: datetime) -> Iterator[Fault]:
    certificate, issuer = chain[index], chain[index + 1]
    own = [one for one in lists if one.issuer == certificate.issuer]
    objections = [(one, _objection(one, issuer, now, is_ca=index > 0)) for one in own]
    good = [one for one, objection in objections if objection is None]
    for one in good:
        if (text := _revoked(one, certificate)) is not None:
            yield Fault(certificate=certificate, message=text)
    if good or (index and not own):
        return
    if not own:
        yield Fault(
            certificate=certificate, message=f"is on no revocation list of its issuer {title(issuer)}: none given"
        )
    for _, objection in objections:
        text = f"has an unknown state of revocation: the list of its issuer {title(issuer)} {objection}"
        yield Fault(certificate=certificate, message=text)


def _objection(
    revocation_list: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime, *, is_ca: bool
) -> str | None:
    """Why ``revocation_list`` says nothing that counts; None when it does (§6.3.3)."""
    start, end = revocation_list.last_update_utc, revocation_list.next_update_utc
    if now < start:
        return f"is not yet valid: it begins on {rfc3339(start)}"
    if end is not None and now > end:
        return f"was to be replaced on {rfc3339(end)}"
    if not _is_signed(revocation_list, issuer):
        return "is not signed by it"
    try:
        usage = extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.crl_sign:
            return "is signed by a key that may not sign lists (cRLSign)"
        return _scope(revocation_list, is_ca=is_ca)
    except UNREADABLE_EXTENSIONS as error:
        return f"has extensions that cannot be read: {error}"


def _scope(revocation_list: x509.CertificateRevocationList, *, is_ca: bool) -> str | None:
    for one in revocation_list.extensions:
        if one.critical and one.oid not in _UNDERSTOOD:
            return f"has a critical extension that is not understood ({one.oid.dotted_string})"
    point = extension(revocation_list, x509.IssuingDistributionPoint)  # §5.2.5
    if point is None:
        return None
    elsewhere = point.only_contains_user_certs if is_ca else point.only_contains_ca_certs
    if elsewhere or point.indirect_crl or point.only_contains_attribute_certs or point.only_some_reasons:
        return "covers other certificates, or only some reasons"
    return None


def _is_signed(revocation_list: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return revocation_list.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # TypeError says no
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _revoked(revocation_list: x509.CertificateRevocationList, certificate: x509.Certificate) -> str | None:
    entry = revocation_list.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return None
    try:
        reason = extension(entry, x509.CRLReason)
    except UNREADABLE_EXTENSIONS:
        reason = None
    if reason is not None and reason.reason is x509.ReasonFlags.remove_from_crl:
        return None
    return f"was revoked on {rfc3339(entry.revocation_date_utc)}" + (f" ({_words(reason)})" if reason else "")


def _words(reason: x509.CRLReason) -> str:
    """``key compromise`` for keyCompromise."""
    return reason.reason.name.replace("_", " ")
