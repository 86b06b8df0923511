"""Why a genuine token is refused all the same."""

from mica import Unauthorized


def unusable(reason: str) -> Unauthorized:
    """A genuine token that orders something impossible: its bearer may know why."""
    return Unauthorized(reason, public=reason)
