"""A certificate: written, signed, held against the rules. Nobody is given one that breaks them."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mica import Extension, SubjectPublicKey, TBSCertificate
from mica.cli.kit import CLIError, FileProblem, PrivateKey, Usage, lint_certificate, rfc3339, say
from mica_certtool.judging import paths
from mica_certtool.making import chains, contents, issuers
from mica_certtool.making.issuers import Issuer
from mica_certtool.reading import asn1

if TYPE_CHECKING:
    from mica_certtool.making.profiles import Profile

When = datetime | timedelta | None
_FIRST_YEAR = 1950  # the first that a UTCTime can name (RFC 5280 §4.1.2.5.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate is to say of its subject."""

    subject: bytes
    """Its Name in DER, as it came."""
    key: SubjectPublicKey
    extensions: tuple[Extension, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The first and the last moment of a certificate, in whole seconds (RFC 5280 §4.1.2.5)."""

    not_before: datetime
    not_after: datetime


def validity(
    not_before: When, not_after: When, *, lifetime: timedelta, issuer: Issuer | None, now: datetime
) -> Validity:
    """What was asked for, durations counted from ``now``; else from now, for ``lifetime`` or until the issuer ends.

    Raises Usage for what makes no sense or exceeds the issuer's, FileProblem when the issuer is not valid yet.
    """
    try:
        start = _resolved(not_before, now) or now
        end = _resolved(not_after, now) or start + lifetime
    except OverflowError as error:
        raise Usage("flags '--not-before', '--not-after': the duration leads out of the calendar") from error
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    if issuer is not None:
        end = _within(start, end, not_before, not_after, issuer)
    if end <= start or start.year < _FIRST_YEAR:
        raise Usage(
            f"a certificate cannot be valid from {rfc3339(start)} until {rfc3339(end)}",
            hint="--not-before is a time from 1950 on, --not-after a later one; durations count from now",
        )
    if end <= now:
        say(f"The certificate has expired already, at {rfc3339(end)}.")
    return Validity(not_before=start, not_after=end)


def certify(wanted: Wanted, issuer: Issuer, valid: Validity) -> x509.Certificate:
    """A certificate by ``issuer``, that keeps every rule of RFC 5280; raises CLIError naming those it would break."""
    if wanted.key.key == issuer.certificate.public_key():
        raise CLIError(
            f"the certificate would be for the key of its issuer, {issuer.place}",
            hint="a CA's key serves that CA alone; make another key",
        )
    tbs = _written(
        wanted,
        valid,
        signature=issuers.algorithm(issuer.key),
        issuer=asn1.parts(issuer.certificate).subject,
        authority=chains.key_identifier(issuer.certificate),
    )
    return _signed(tbs, issuer.key, issuer.certificate, *issuer.above)


def certify_itself(wanted: Wanted, key: PrivateKey, valid: Validity) -> x509.Certificate:
    """A certificate signed by the key that it is for; as ``certify``."""
    tbs = _written(wanted, valid, signature=issuers.algorithm(key), issuer=wanted.subject, authority=None)
    return _signed(tbs, key)


def check_path_length(profile: "Profile", asked: int | None, issuer: Issuer) -> None:
    """``issuer`` may have a CA below it that has ``asked`` CAs below itself; raises FileProblem, Usage."""
    allowed = issuer.path_length
    if not profile.is_ca or allowed is None:
        return
    if allowed == 0:
        raise FileProblem(
            f"{issuer.place}: {paths.title(issuer.certificate)} may issue leaves only: its path length is 0",
            hint="name a CA above it",
        )
    if asked is not None and asked >= allowed:
        raise Usage(
            f"invalid value {asked} for flag '--path-len': the issuer, {issuer.place}, has the path length {allowed}",
            hint=f"at most {allowed - 1}",
        )


def _resolved(asked: When, now: datetime) -> datetime | None:
    return now + asked if isinstance(asked, timedelta) else asked


def _within(start: datetime, end: datetime, not_before: When, not_after: When, issuer: Issuer) -> datetime:
    """The end, cut to the issuer's when nobody asked for it: what lies beyond is valid nowhere (RFC 5280 §6.1)."""
    first, last = issuer.certificate.not_valid_before_utc, issuer.certificate.not_valid_after_utc
    if start < first and not_before is None:
        raise FileProblem(f"{issuer.place}: is not valid before {rfc3339(first)}", hint="or give --not-before")
    if start < first:
        raise Usage(f"flag '--not-before': the issuer, {issuer.place}, is not valid before {rfc3339(first)}")
    if end > last and not_after is not None:
        raise Usage(
            f"flag '--not-after': the issuer, {issuer.place}, ends at {rfc3339(last)}, and nothing outlives its issuer",
            hint="ask for less, or renew the issuer",
        )
    if end > last:
        say(f"The certificate ends with its issuer, at {rfc3339(last)}.")
    return min(end, last)


def _written(
    wanted: Wanted, valid: Validity, *, signature: bytes, issuer: bytes, authority: bytes | None
) -> TBSCertificate:
    return TBSCertificate(
        serial_number=1 + secrets.randbelow((1 << 128) - 1),  # positive, at most 20 octets (RFC 5280 §4.1.2.2)
        signature=signature,
        issuer=issuer,
        not_before=valid.not_before,
        not_after=valid.not_after,
        subject=wanted.subject,
        subject_public_key=wanted.key,
        extensions=(*wanted.extensions, *contents.identifiers(wanted.key, authority)),
    )


def _signed(tbs: TBSCertificate, key: PrivateKey, *issuing: x509.Certificate) -> x509.Certificate:
    """The certificate, whose signature verifies and that breaks no rule; ``issuing`` has the issuer, and its issuers.

    The rules are held against the octets that come out, not against what they were made from.
    """
    octets = tbs.assemble(issuers.sign(key, tbs.der))
    if findings := lint_certificate(octets, [each.public_bytes(Encoding.DER) for each in issuing]):
        raise CLIError(f"this certificate must not be made: {'; '.join(findings)}")
    certificate = x509.load_der_x509_certificate(octets)
    if not paths.is_signed_by(certificate, next(iter(issuing), certificate)):
        raise CLIError("the key made a signature that does not verify; nothing was written")
    return certificate
