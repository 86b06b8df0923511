"""What can go wrong, as one hierarchy.

    MicaError
    ├── ConfigError            the configuration cannot be used; only at start-up
    ├── MalformedRequest       the request cannot be understood
    │   └── AlreadyRevoked     the certificate is revoked already
    ├── Unauthorized           who asks could not be established; clients learn no reason
    │   ├── Untimely           a time claim of the credential forbids it now
    │   ├── TokenReused        the one-time token has been spent
    │   └── CertificateRevoked a revoked certificate was presented, or raced with its revocation
    ├── Refused                who asks is known, what they ask for is not permitted
    ├── NotFound
    ├── Conflict               another record has taken the place
    ├── TooLarge
    ├── Unsupported            the operation is not offered here
    └── Unavailable            a part that is needed does not answer
        └── Undecided          the store may yet record what it was given

The classes know no status codes; ``mica.web.errors`` has the one table. What they hold besides their message has a
default, for the subclass of a plugin that forgets to call ``__init__``.
"""

from collections.abc import Callable, Iterable
from datetime import datetime


class MicaError(Exception):
    """The root of every error that mica raises on purpose. The message gives rule, place and remedy."""


class ConfigError(MicaError):
    """The configuration cannot be used; ``faults`` has every mistake, each with its path and remedy."""

    faults: tuple[str, ...] = ()

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class MalformedRequest(MicaError):
    """The request cannot be understood."""


class AlreadyRevoked(MalformedRequest):
    """The certificate is on record as revoked."""


class Unauthorized(MicaError):
    """Who asks could not be established. The message goes to the log; ``public`` is what a client may learn."""

    public: str | None = None

    def __init__(self, reason: str, *, public: str | None = None) -> None:
        self.public = public
        super().__init__(reason)


class Untimely(Unauthorized):
    """A time claim forbids the credential now; ``rule`` says which one, without the moment that it names."""

    def __init__(self, rule: str, moment: datetime) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {moment.isoformat()}")


class TokenReused(Unauthorized):
    """The one-time token has been spent, or another request holds it."""


class CertificateRevoked(Unauthorized):
    """The certificate is revoked, possibly since this request began."""


class Refused(MicaError):
    """What is asked for is not permitted; ``reasons`` has every objection, not only the first."""

    reasons: tuple[str, ...] = ()

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


class NotFound(MicaError):
    """There is no such thing."""


class Conflict(MicaError):
    """Another record has taken the place that this one wants."""


class TooLarge(MicaError):
    """The request exceeds a limit."""


class Unsupported(MicaError):
    """This authority does not offer the operation."""


class Unavailable(MicaError):
    """A part that is needed (the store, a key, an identity provider) does not answer now."""


class Undecided(Unavailable):
    """The store has not said whether it has recorded what it was given, and may do so yet."""


def told(error: BaseException, form: Callable[[object], str] = str) -> str:
    """What ``error`` says of itself, in this ``form``; only its type, where saying it fails as well."""
    try:
        return str.__str__(form(error))
    except Exception:  # the plugin boundary: an exception may be as broken as what raised it
        return f"an unreadable {type(error).__name__}"
