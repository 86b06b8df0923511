"""Tokens on their way to being spent: of several requests with one token, one goes on while the others are refused."""

from dataclasses import dataclass, field
from types import TracebackType

from mica.errors import TokenReused
from mica.grants import Grant, OneTime
from mica.records import SpentToken
from mica.roles import Store


@dataclass(slots=True)
class InFlight:
    """The one-time tokens that a request of this process holds.

    The store decides who wins; this spares the losers' signatures, and gives a refused request's token back.
    """

    store: Store
    held: set[tuple[str, str]] = field(default_factory=set)

    def hold(self, grant: Grant) -> "Hold":
        """An asynchronous context in which nobody else here holds the grant's token, which has not been spent.

        It gives what the commit must spend; entering raises TokenReused.
        """
        return Hold(self, grant)


class Hold:
    """One request's hold on its token, if it has a one-time token."""

    __slots__ = ("_in_flight", "_key", "_token")

    def __init__(self, in_flight: InFlight, grant: Grant) -> None:
        self._in_flight = in_flight
        self._key: tuple[str, str] | None = None
        spend = grant.spend
        self._token = (
            SpentToken(provisioner=grant.provisioner.name, id=spend.id, until=spend.until)
            if isinstance(spend, OneTime)
            else None
        )

    async def __aenter__(self) -> tuple[SpentToken, ...]:
        token, held = self._token, self._in_flight.held
        if token is None:
            return ()
        key = (token.provisioner, token.id)
        if key in held:
            raise TokenReused("another request holds this token")
        held.add(key)
        try:
            if await self._in_flight.store.is_spent(token):
                raise TokenReused("this token has been used")
        except BaseException:
            held.discard(key)
            raise
        self._key = key
        return (token,)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._key is not None:
            self._in_flight.held.discard(self._key)
