"""What is turned down is told to listeners, like what is issued."""

from types import TracebackType

from mica.authority import Authority
from mica.errors import MalformedRequest, Refused, Unauthorized, told
from mica.events import Denied
from mica.grants import Grant, Operation
from mica.logs import request_id


class Telling:
    """A context: whatever is turned down inside is told to listeners, and raised on."""

    __slots__ = ("_authority", "_operation", "grant")

    def __init__(self, authority: Authority, operation: Operation) -> None:
        self._authority = authority
        self._operation = operation
        self.grant: Grant | None = None
        """Who asked, once that is known."""

    def __enter__(self) -> "Telling":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, Unauthorized | Refused | MalformedRequest):
            return
        grant = self.grant
        self._authority.listeners.tell(
            Denied(
                operation=self._operation,
                provisioner=grant.provisioner if grant else None,
                subject=grant.subject if grant else "",
                reasons=error.reasons if isinstance(error, Refused) else (told(error),),
                at=self._authority.now(),
                request_id=request_id.get(),
                evidence=grant.evidence if grant else {},
            )
        )
