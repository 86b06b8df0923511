"""A provider's yes and no."""

from collections.abc import Mapping
from typing import Any

from mica.client.oauth.refusals import NotSignedIn

_OK = 200
_MAX_SHOWN = 200


def is_yes(status: int, said: Mapping[str, Any]) -> bool:
    """Whether a form was granted. Some providers say no with the status 200, and an ``error`` in the answer."""
    return status == _OK and "error" not in said


def granted(status: int, said: dict[str, Any]) -> dict[str, Any]:
    """``said``, which is a yes; raises NotSignedIn when it is a no."""
    if not is_yes(status, said):
        raise refusal(said.get("error") or f"HTTP status {status}", said.get("error_description"))
    return said


def refusal(error: object, description: object) -> NotSignedIn:
    """The provider's no (RFC 6749 §4.1.2.1, §5.2), as it words it, in one line: a second might pass for ours."""
    words = [" ".join(str(part)[:_MAX_SHOWN].split()) for part in (error, description) if part]
    hint = "somebody said no" if error == "access_denied" else ""
    return NotSignedIn(f"the identity provider refused: {': '.join(words) or 'without a reason'}", hint=hint)
