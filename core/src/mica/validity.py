"""When a certificate is valid: what was asked for, what is granted, what the claims and the issuer allow."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mica.claims import Claims
from mica.durations import format_go
from mica.errors import MalformedRequest
from mica.grants import SignSSH, SignX509
from mica.issuers import Issuer
from mica.requests import SignRequest, TimeOrDuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The first and the last moment of a certificate, in whole seconds (RFC 5280 §4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    @property
    def length(self) -> timedelta:
        """From the first moment to the last."""
        return self.not_after - self.not_before


def compose(request: SignRequest, permit: SignX509, claims: Claims, issuer: Issuer, now: datetime) -> Validity:
    """What was asked for; and where nothing was asked, the default, cut to what the permit and the issuer allow."""
    start = resolved(request.not_before, now)
    base = start or now
    end = resolved(request.not_after, base)
    if start is None:
        start = max(filter(None, (now - issuer.backdate, permit.not_before, issuer.not_before)))
    if end is None:
        default = resolved(claims.default_tls_cert_duration, base)
        end = min(filter(None, (default, permit.not_after, issuer.not_after)))
    return Validity(not_before=whole(start), not_after=whole(end))


def check(validity: Validity, permit: SignX509, claims: Claims, issuer: Issuer, now: datetime) -> list[str]:
    """Every reason why a certificate must not have this validity; raises MalformedRequest when it makes no sense."""
    first, last = validity.not_before, validity.not_after
    if last < now:
        raise MalformedRequest(f"notAfter cannot be in the past; na={rfc3339(last)}")
    if last < first:
        raise MalformedRequest(f"notAfter cannot be before notBefore; na={rfc3339(last)}, nb={rfc3339(first)}")
    return _length_faults(validity, claims, issuer, now) + window_faults(validity, permit)


def _length_faults(validity: Validity, claims: Claims, issuer: Issuer, now: datetime) -> list[str]:
    longest, shortest = claims.max_tls_cert_duration + issuer.backdate, claims.min_tls_cert_duration
    faults = []
    if validity.length > longest:
        faults.append(
            f"requested duration of {format_go(validity.length)} is more than the authorized maximum certificate "
            f"duration of {format_go(longest)}"
        )
    # The issuer's own end is no fault of the request: near it, certificates get shorter.
    if validity.length < shortest and validity.not_after != issuer.not_after:
        faults.append(
            f"requested duration of {format_go(validity.length)} is less than the authorized minimum certificate "
            f"duration of {format_go(shortest)}"
        )
    if validity.not_before > now + claims.max_tls_cert_duration:
        faults.append(f"notBefore ({rfc3339(validity.not_before)}) lies further ahead than a certificate may last")
    return faults


def window_faults(
    validity: Validity, permit: SignX509 | SignSSH, *, first: str = "notBefore", last: str = "notAfter"
) -> list[str]:
    """Where the validity lies outside of the permit's window; ``first`` and ``last`` are what its ends are called."""
    faults = []
    if permit.not_before is not None and validity.not_before < whole(permit.not_before):
        faults.append(
            f"requested certificate {first} ({rfc3339(validity.not_before)}) is before the active validity window "
            f"of the provisioning credential ({rfc3339(permit.not_before)})"
        )
    if permit.not_after is not None and validity.not_after > permit.not_after:
        faults.append(
            f"requested certificate {last} ({rfc3339(validity.not_after)}) is after the expiration of the "
            f"provisioning credential ({rfc3339(permit.not_after)})"
        )
    return faults


def continued(not_before: datetime, not_after: datetime, issuer: Issuer, now: datetime) -> Validity:
    """The validity of a renewed certificate: as long as the old one's, from now, and never beyond the issuer's."""
    length = not_after - not_before
    start = max(now - issuer.backdate, issuer.not_before)
    end = min(start + length, issuer.not_after)
    return Validity(not_before=whole(start), not_after=whole(end))


def resolved(asked: TimeOrDuration | None, base: datetime) -> datetime | None:
    """The moment that was asked for, a duration being counted from ``base``; raises MalformedRequest."""
    if isinstance(asked, timedelta):
        try:
            return base + asked
        except OverflowError as error:
            raise MalformedRequest(f"a duration of {format_go(asked)} leads out of the calendar") from error
    return asked


def whole(moment: datetime) -> datetime:
    """The moment without the fraction of its second."""
    return moment.replace(microsecond=0)


def rfc3339(moment: datetime) -> str:
    """As messages have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
