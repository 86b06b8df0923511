"""The provisioners of an authority: who they are, under which claims, and whether they are ready."""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mica.claims import Claims, ClaimsConfig
from mica.containment import contained
from mica.deadlines import within
from mica.errors import ConfigError, Unauthorized, told
from mica.grants import Grant, Operation
from mica.permits import plain
from mica.records import ProvisionerRef
from mica.roles import Closeable, Keyed, Provisioner, RenewalProvisioner, Startable, TokenProvisioner
from mica.tokens import UnverifiedToken

#: Between two attempts to start a provisioner that could not start, in seconds: at first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
#: How long a provisioner may take to start or to answer.
DEADLINE = 10.0

_log = logging.getLogger("mica.provisioners")


@dataclass(slots=True)
class Entry:
    """One configured provisioner."""

    provisioner: Provisioner
    claims: Claims
    claims_config: ClaimsConfig
    reason: str = ""
    """Why it is not ready; empty when it is."""
    name: str = field(init=False)
    type: str = field(init=False)
    operations: frozenset[Operation] = field(init=False)
    """What the provisioner said when it was built. What it says later, it says too late."""
    tokens: TokenProvisioner | None = field(init=False)
    """The provisioner, where it vouches for the bearers of tokens. Found once: asking a Protocol is slow."""
    renewals: RenewalProvisioner | None = field(init=False)
    """The provisioner, where it lets certificates be renewed."""
    public_keys: tuple[bytes, ...] = field(init=False)
    """The keys that it believes, where it tells them; SubjectPublicKeyInfo."""

    def __post_init__(self) -> None:
        provisioner = self.provisioner
        self.name, self.type = plain(provisioner.name), plain(provisioner.type)
        if type(self.type) is not str or not self.type:
            raise ConfigError([f"its plugin must say of which type it is, as clients know it, not {self.type!r}"])
        declared = provisioner.operations
        if not isinstance(declared, set | frozenset) or not all(isinstance(each, Operation) for each in declared):
            raise ConfigError([f"its type {self.type} must declare operations: a frozenset of mica.Operation"])
        self.operations = frozenset(declared)
        self.tokens = provisioner if isinstance(provisioner, TokenProvisioner) else None
        self.renewals = provisioner if isinstance(provisioner, RenewalProvisioner) else None
        self.public_keys = tuple(key.spki for key in provisioner.public_keys) if isinstance(provisioner, Keyed) else ()

    @property
    def ready(self) -> bool:
        """Whether it can be asked."""
        return not self.reason

    def describe(self) -> Mapping[str, Any]:
        """Its object in ``GET /provisioners``."""
        own = {"type": self.type, "name": self.name}
        description: dict[str, Any] = own | self._described() | own
        if claims := self.claims_config.describe():
            description["claims"] = claims
        if self.reason:
            description |= {"state": "Uninitialized", "stateReason": self.reason}
        return description

    def _described(self) -> dict[str, Any]:
        """What the provisioner adds, as JSON has it; nothing when that is no JSON, and the log says so."""
        try:
            with contained:
                described = json.dumps(dict(self.provisioner.describe()), allow_nan=False)
            own: dict[str, Any] = json.loads(described)
            return own
        except Exception:
            _log.exception("provisioner %s failed in describe", self.name)
            return {}

    def require_ready(self) -> None:
        """It is ready; raises Unauthorized, which the client may know, when it is not."""
        if self.reason:
            told = f'provisioner "{self.name}" is disabled due to an initialization error'
            raise Unauthorized(f"{told}: {self.reason}", public=told)

    async def start(self) -> bool:
        """Whether it is ready now."""
        try:
            with contained:
                if isinstance(self.provisioner, Startable):
                    await within(DEADLINE, self.provisioner.start())
        except Exception as error:
            late = isinstance(error, TimeoutError)
            self.reason = "it did not start in time" if late else told(error) or told(error, repr)
            _log.warning("provisioner %s is not ready: %s", self.name, self.reason)
            return False
        self.reason = ""
        return True


@dataclass(frozen=True, slots=True)
class Registry:
    """All provisioners, in the order of the configuration."""

    entries: tuple[Entry, ...]
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def named(self, name: str) -> Entry | None:
        """The provisioner of that name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    async def start(self) -> None:
        """Each provisioner has been started once; those that failed are tried again until they succeed."""
        for entry in self.entries:
            if isinstance(entry.provisioner, Startable):
                entry.reason = "it has not been started yet"
        outcomes = await asyncio.gather(*(entry.start() for entry in self.entries))
        for entry, ready in zip(self.entries, outcomes, strict=True):
            if not ready:
                task = asyncio.create_task(_retry(entry))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Nothing is tried any more, and every provisioner has given back what it held."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self.entries:
            if isinstance(entry.provisioner, Closeable):
                try:
                    with contained:
                        await within(DEADLINE, entry.provisioner.aclose())
                except Exception:
                    _log.exception("provisioner %s failed to close", entry.name)

    def recognize(self, token: UnverifiedToken) -> tuple[Entry, TokenProvisioner]:
        """The one provisioner that takes the token for its own; raises Unauthorized when there is none, or several."""
        claimants = [
            (entry, entry.tokens)
            for entry in self.entries
            if entry.tokens is not None and _recognizes(entry, entry.tokens, token)
        ]
        if not claimants:
            raise Unauthorized("no provisioner recognises the token: check iss, kid and aud")
        if len(claimants) > 1:
            claiming = ", ".join(entry.name for entry, _ in claimants)
            raise Unauthorized(f"several provisioners claim the token: {claiming}")
        return claimants[0]


def matches(entry: Entry, operation: Operation, grant: object) -> bool:
    """Whether what came back is a grant of this provisioner for this operation."""
    return (
        isinstance(grant, Grant)
        and isinstance(grant.provisioner, ProvisionerRef)
        and grant.provisioner.name == entry.name
        and grant.provisioner.type == entry.type
        and grant.operation is operation
    )


def of_one_name(entries: Iterable[Entry]) -> list[str]:
    """What is wrong with the names: empty, the reserved one, or taken twice."""
    faults: list[str] = []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        where = f"provisioners[{index}].name"
        if not entry.name or not entry.name.isprintable():
            faults.append(f"{where}: must be printable text")
        if entry.name == "mica":
            faults.append(f'{where}: "mica" is the authority\'s own; choose another')
        if entry.name in seen:
            faults.append(f'{where}: "{entry.name}" is taken by an earlier provisioner')
        seen.add(entry.name)
    return faults


def _recognizes(entry: Entry, provisioner: TokenProvisioner, token: UnverifiedToken) -> bool:
    """A provisioner that fails to answer does not recognise the token, and the log says so."""
    try:
        with contained:
            answer: object = provisioner.recognizes(token)
    except Exception:
        _log.exception("provisioner %s failed in recognizes", entry.name)
        return False
    if answer is not True and answer is not False:
        _log.error("provisioner %s answered recognizes with %s, not with a bool", entry.name, type(answer).__name__)
    return answer is True


async def _retry(entry: Entry) -> None:
    wait = FIRST_RETRY
    while True:
        await asyncio.sleep(wait)
        if await entry.start():
            _log.info("provisioner %s is ready", entry.name)
            return
        wait = min(2 * wait, LAST_RETRY)
