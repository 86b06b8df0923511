"""The provisioner in a CA that is served: races of two processes, and what holds after kill -9."""

from collections import Counter
from http.client import HTTPSConnection

import pytest

from mica.clock import system_clock
from mica.grants import Operation
from mica.testing.ca import TestCA
from mica.testing.line_crowd import at_once, crowd, kill
from mica.testing.line_races import is_reusable
from mica.testing.line_scene import Line, LineScene, Order
from mica.testing.service import served

_USES = 200


class ServedLine(LineScene):
    """``mica ca serve`` with the installed plugin, in two processes."""

    @pytest.mark.asyncio
    async def test_200_uses_of_one_token_at_two_processes_serve_once_and_none_does_after_kill_9(
        self, ca: TestCA
    ) -> None:
        if not self.plugin:
            pytest.skip("processes of their own need the plugin's name and its table in ca.toml: plugin, table()")
        ca.clock.moment = system_clock()
        async with self.started(ca) as line:
            before, after = [await self._orders(line) for _ in range(2)]
        with served(ca) as service:
            with crowd(service, _USES) as connections:
                for order in before.values():
                    _race(connections, order)
            kill(service)
            log = service.log.read_text()
        assert "Traceback" not in log and "please report" not in log, f"a request failed; raise a MicaError:\n{log}"
        async with self.started(ca) as line:  # what the processes have left on disk is all that is known
            await _hold(line, before, after)

    async def _orders(self, line: Line) -> dict[Operation, Order]:
        """One order for each operation whose token serves once."""
        orders = {operation: await self.order(line, operation) for operation in self.ordered}
        return {operation: order for operation, order in orders.items() if not await is_reusable(line, order)}


def _race(connections: list[HTTPSConnection], order: Order) -> None:
    """One of the uses at once is served."""
    statuses = Counter(at_once(connections, order.path, dict(order.body)))
    served_once = statuses[200] + statuses[201] == 1
    refused = sum(statuses[status] for status in (400, 401, 403))
    assert served_once and refused == len(connections) - 1, (
        f"of {len(connections)} uses of one token for {order.operation} in two processes, one must be served and the "
        f"others refused; the statuses are {dict(statuses)}. Grant OneTime, under one id in every process"
    )


async def _hold(line: Line, spent: dict[Operation, Order], unused: dict[Operation, Order]) -> None:
    """What served before serves no more, and what had not been used serves once."""
    for order in spent.values():
        assert (await line.ask(order)).is_refused, f"after kill -9 a token for {order.operation} serves again"
    for order in unused.values():
        first, second = [await line.ask(order) for _ in range(2)]
        assert first.is_served, f"after a restart a good token for {order.operation} is not served: {first}"
        assert second.is_refused, f"a token for {order.operation} serves twice: {second}"
