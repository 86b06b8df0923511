"""When an SSH certificate is valid: what was asked for, what is granted, what the claims allow."""

from datetime import datetime, timedelta

from mica.claims import Durations
from mica.durations import format_go
from mica.errors import MalformedRequest
from mica.grants import SignSSH
from mica.requests import SSHSignRequest
from mica.validity import Validity, resolved, rfc3339, whole, window_faults


def compose(
    request: SSHSignRequest, permit: SignSSH, durations: Durations, backdate: timedelta, now: datetime
) -> Validity:
    """What is granted, else what was asked for; else the default, cut to what the permit allows."""
    start = resolved(permit.valid_after if permit.valid_after is not None else request.valid_after, now)
    end = resolved(permit.valid_before if permit.valid_before is not None else request.valid_before, now)
    base = start or now
    if start is None:
        start = max(filter(None, (now - backdate, permit.not_before)))
    if end is None:
        end = min(filter(None, (resolved(durations.default, base), permit.not_after)))
    return Validity(not_before=whole(start), not_after=whole(end))


def continued(valid_after: datetime, valid_before: datetime, backdate: timedelta, now: datetime) -> Validity:
    """The validity of a renewed certificate: as long as the old one's, from now."""
    start = whole(now - backdate)
    return Validity(not_before=start, not_after=start + (valid_before - valid_after))


def check(validity: Validity, permit: SignSSH, durations: Durations, backdate: timedelta, now: datetime) -> list[str]:
    """Every reason why a certificate must not have this validity; raises MalformedRequest when it makes no sense."""
    first, last = validity.not_before, validity.not_after
    if last < now:
        raise MalformedRequest(f"ssh certificate validBefore cannot be in the past; vb={rfc3339(last)}")
    if last < first:
        raise MalformedRequest(
            f"ssh certificate validBefore cannot be before validAfter; vb={rfc3339(last)}, va={rfc3339(first)}"
        )
    return check_length(validity, durations, backdate, now) + window_faults(
        validity, permit, first="validAfter", last="validBefore"
    )


def check_length(validity: Validity, durations: Durations, backdate: timedelta, now: datetime) -> list[str]:
    """Where the length, or the distance of the start, is not what the claims allow."""
    longest, faults = durations.max + backdate, []
    if validity.length > longest:
        faults.append(
            f"requested duration of {format_go(validity.length)} is greater than maximum accepted duration for "
            f"selected provisioner of {format_go(longest)}"
        )
    if validity.length < durations.min:
        faults.append(
            f"requested duration of {format_go(validity.length)} is less than minimum accepted duration for "
            f"selected provisioner of {format_go(durations.min)}"
        )
    if validity.not_before > now + durations.max:
        faults.append(f"validAfter ({rfc3339(validity.not_before)}) lies further ahead than a certificate may last")
    return faults
