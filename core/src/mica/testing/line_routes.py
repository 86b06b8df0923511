"""The provisioner in a whole authority: which of its tokens serves where."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mica import audiences
from mica.grants import Operation
from mica.testing.line_requests import Reply, require_refused, require_served, send
from mica.testing.line_scene import ROUTES, Line, LineScene, Order
from mica.testing.makers import Maker

#: Paths of audiences: every one that means an operation, and some that mean none.
_AUDIENCES = (*audiences.PATHS, "/re-sign", "/rekey", "/sign-ssh", "/health", "/", "/x509-sign", "/acme/new-order")
#: What no route serves for a token: renewals of X.509 certificates want the certificate itself.
_NEVER = (Operation.X509_RENEW, Operation.X509_REKEY)
_OTHER_CA = "https://other.example:9443"
_SPOILED: dict[str, Any] = {"csr": "no CSR", "publicKey": "no key", "serial": "none", "passive": False}


async def show(line: Line, path: str, order: Order, token: str) -> Reply:
    """The answer to the order's body at ``path``, with the token in every place where one could stand."""
    # RFC 9110 §5.5: what is no text of a field cannot be sent as one.
    fits = token.isascii() and token.isprintable() and len(token) < 8000
    headers = {"Authorization": f"Bearer {token}"} if fits else {}
    return await send(line.app, "POST", path, {**order.body, "ott": token}, headers)


def _audiences(maker: Maker, base: str) -> Iterator[tuple[str, Any]]:
    """Every audience that a token could name, with the path that it has; in the form of the maker's own."""
    mark = str(maker.payload.get("aud", "")).partition("#")[2]
    for path, version in product(_AUDIENCES, ("", "/1.0")):
        url = f"{base}{version}{path}" + (f"#{mark}" if mark else "")
        yield path, url
        yield path, [url, "https://elsewhere.example/"]


class RoutesOfTheLine(LineScene):
    """A token serves what it orders and its provisioner declares, at the routes for that, and nothing else."""

    @pytest.mark.asyncio
    async def test_a_good_token_is_served_at_its_own_routes_and_refused_at_every_other(self, line: Line) -> None:
        wrong = []
        for ordered, (path, operation), prefix in product(self.ordered, ROUTES.items(), ("", "/1.0")):
            chosen = {ordered, operation} <= self.unbound  # by the request; the token is the same
            order = await self.order(line, operation if chosen else ordered)
            wanted = operation is ordered or chosen
            reply = await show(line, prefix + path, order, order.token)
            if not (reply.is_served if wanted else reply.is_refused):
                wrong.append((ordered, prefix + path, reply))
        assert wrong == [], "served where it should be refused, or the other way: operation ordered, route, answer"

    @pytest.mark.asyncio
    async def test_whatever_its_audience_a_token_serves_no_other_operation_than_that_names(self, line: Line) -> None:
        """A provisioner whose audiences are no URLs of the authority has its tokens refused with every one."""
        operations, wrong = line.entry.provisioner.operations, []
        for ordered in self.ordered:
            order = await self.order(line, ordered)
            is_url = str(order.maker.payload.get("aud", "")).startswith("https://")
            for (path, aud), (route, operation) in product(_audiences(order.maker, line.ca.url), ROUTES.items()):
                may = is_url and audiences.PATHS.get(path) is operation and operation in operations
                reply = await show(line, route, order, order.maker.token(aud=aud))
                if not (reply.is_refused or (may and reply.is_served and operation not in _NEVER)):
                    wrong.append((ordered, route, aud, reply))
                if reply.is_served:  # and its token is spent: what would refuse the next ones is that
                    order = await self.order(line, ordered)
        assert wrong == [], (
            "an audience served what it does not name; ask context.audiences: operation, route, aud, answer"
        )

    @pytest.mark.asyncio
    async def test_every_audience_of_the_operation_is_understood(self, line: Line) -> None:
        for ordered, version, several in product(self.ordered, ("", "/1.0"), (False, True)):
            order = await self.order(line, ordered)
            aud = str(order.maker.payload.get("aud", ""))
            if not aud.startswith(f"{line.ca.url}/"):
                continue
            url = aud.replace(f"{line.ca.url}/1.0", line.ca.url).replace(line.ca.url, line.ca.url + version)
            token = order.maker.token(aud=[url, "https://elsewhere.example/"] if several else url)
            reply = await line.ask(order, ott=token)
            require_served(reply, f"a token whose audience is {url}")

    @pytest.mark.asyncio
    async def test_a_token_for_one_authority_is_refused_by_another(self, line: Line, tmp_path: Path) -> None:
        if self.serves_elsewhere:
            assert self.unbound, "a token that names its operation can name its authority"
            return
        async with self.started(self.found(tmp_path / "other", _OTHER_CA)) as other:
            for operation in self.ordered:
                order = await self.order(line, operation)
                require_refused(await other.ask(order), f"a token for {line.ca.url}, at {_OTHER_CA}: its audience")
                require_served(await line.ask(order), "a token that another authority has refused")

    @pytest.mark.asyncio
    async def test_a_refused_request_does_not_burn_the_token(self, line: Line) -> None:
        for operation in self.ordered:
            order = await self.order(line, operation)
            elsewhere = [path for path, other in ROUTES.items() if other is not operation and other not in self.unbound]
            refused = [await line.ask(order, path) for path in elsewhere]
            if operation is not Operation.SSH_RENEW:  # its body says nothing
                refused.append(await line.ask(order, **_SPOILED))
            for reply in refused:
                require_refused(reply, f"a token for {operation}, elsewhere or with a spoiled request")
            require_served(await line.ask(order), "a token whose first requests were refused")
