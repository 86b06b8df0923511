"""A certificate of the CA that renews itself: what the loop needs to know of the files and of the CA."""

from datetime import timedelta
from typing import Generic

import click

from mica.cli.ca.answers import reported
from mica.cli.console import wants_json
from mica.cli.endings import as_cli_error
from mica.cli.errors import FileProblem, RefusedByCA
from mica.cli.files import settle
from mica.cli.renewal.automation import Automation
from mica.cli.renewal.loop import Hopeless, Keeper
from mica.cli.renewal.parts import Open, Pair, Product, Reach, Way
from mica.cli.renewal.schedule import Lifetime
from mica.client import IdentityRejected, Refused
from mica.clock import system_clock
from mica.errors import MicaError

#: Statuses by which a CA says no to this certificate, whoever asks how often. Others may pass.
_FOR_GOOD = (401, 403)
_SKEW = timedelta(seconds=30)


def keep(pair: Pair[Open], way: Way[Open, Product], automation: Automation, reach: Reach) -> None:
    """The certificate was renewed for as long as the process was to run; raises CLIError when it cannot be any more."""
    reach()  # what is wrong with the command line or with the root is told now
    opened = pair.read()
    automation.check_against(opened.lifetime)
    from mica import logs  # asyncio is slow to import, and help needs none of it

    logs.configure("json" if wants_json() else "text")
    keeper = Keeper(
        Upkeep(pair, way, reach), rule=automation.rule, back_off=automation.back_off, aftermath=automation.aftermath
    )
    keeper.run(mended=opened.mended)


class Upkeep(Generic[Open, Product]):
    """The pair as a ``Renewable``. The root is read anew each time: it may have been replaced, too."""

    def __init__(self, pair: Pair[Open], way: Way[Open, Product], reach: Reach) -> None:
        self._pair = pair
        self._way = way
        self._reach = reach
        self._context = click.get_current_context()
        self._seen: tuple[object, ...] = ()
        self._opened: Open | None = None

    def look(self) -> Lifetime:
        """The pair was read, and can be asked for; raises FileProblem."""
        self._seen = self._pair.signature()
        opened = self._pair.read()
        if opened.mended:
            self._seen = self._pair.signature()
        opened.check_fit()
        self._opened = opened
        return opened.lifetime

    def changed(self) -> bool:
        """Whether a file is another now."""
        return self._pair.signature() != self._seen

    def name(self) -> str:
        """As the certificate says it, or the file."""
        return self._current.name or str(self._pair.certificate)

    @property
    def done(self) -> str:
        """As the command says it."""
        return self._way.done

    def ask(self) -> Product:
        """What the CA made of the pair; raises CLIError, and Hopeless when it will never make anything."""
        with self._context.scope(cleanup=False):  # click keeps its context for each thread
            self._check()
            settle(self._way.outputs, force=True)
            try:
                with reported():
                    return self._way.make(self._reach(), self._current)
            except RefusedByCA as error:
                if isinstance(error.__cause__, Refused) and _is_for_good(error.__cause__):
                    raise Hopeless(error) from error
                raise
            except (OSError, MicaError) as error:
                raise as_cli_error(error) from error

    def save(self, product: Product) -> None:
        """The files hold it; raises FileProblem."""
        product.save()

    @property
    def _current(self) -> Open:
        assert self._opened is not None, "look comes first"
        return self._opened

    def _check(self) -> None:
        try:
            self._way.check(self._current)
        except FileProblem as error:
            raise Hopeless(error) from error


def _is_for_good(error: Refused) -> bool:
    """Whether asking again is in vain. Not while the clocks differ, by which tokens and certificates are judged."""
    if isinstance(error, IdentityRejected) or error.status not in _FOR_GOOD:
        return False
    return error.date is None or abs(system_clock() - error.date) <= _SKEW
