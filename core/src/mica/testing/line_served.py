"""The provisioner in a CA that is served: races of two processes, and what holds after kill -9."""

from collections import Counter
from http.client import HTTPSConnection

import pytest

from mica.clock import system_clock
from mica.grants import Operation
from mica.testing.ca import TestCA
from mica.testing.exchange import ask
from mica.testing.line_crowd import at_once, crowd, kill
from mica.testing.line_races import is_reusable
from mica.testing.line_scene import Line, LineScene, Order
from mica.testing.service import Service, served

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
        with served(ca) as service:
            _hold(service, before, after)
            log = service.log.read_text()
        assert "Traceback" not in log
        assert "please report" not in log

    async def _orders(self, line: Line) -> dict[Operation, Order]:
        """One order for each operation whose token serves once."""
        orders = {operation: await self.order(line, operation) for operation in self.ordered}
        return {operation: order for operation, order in orders.items() if not await is_reusable(line, order)}


def _race(connections: list[HTTPSConnection], order: Order) -> None:
    """One of the uses at once is served."""
    statuses = Counter(at_once(connections, order.path, dict(order.body)))
    assert statuses[200] + statuses[201] == 1, (order.operation, statuses)
    assert sum(statuses[status] for status in (400, 401, 403)) == len(connections) - 1, (order.operation, statuses)


def _hold(service: Service, spent: dict[Operation, Order], unused: dict[Operation, Order]) -> None:
    """What served before serves no more, and what had not been used serves once."""
    for order in spent.values():
        assert ask(service, "POST", order.path, dict(order.body)).status in (400, 401, 403), order.operation
    for order in unused.values():
        statuses = [ask(service, "POST", order.path, dict(order.body)).status for _ in range(2)]
        assert statuses[0] in (200, 201), (order.operation, statuses)
        assert statuses[1] in (400, 401, 403), (order.operation, statuses)
