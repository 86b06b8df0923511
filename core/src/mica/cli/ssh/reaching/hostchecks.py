"""Whether the CA knows a host: asked for every ``ssh`` on the machine, and so answered from what is known already.

Nothing here waits long, and nothing fails because the CA is away.
"""

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from mica.cli import options, paths
from mica.cli.console import warn
from mica.cli.ssh.reaching.hostmemory import Memory, Verdict
from mica.clock import system_clock

Source = Literal["ca", "cache", "stale", "none"]

#: How long an answer counts, by what it was.
FRESH = {True: timedelta(minutes=5), False: timedelta(minutes=1)}
#: How long nobody waits again for a CA that did not answer.
RESPITE = timedelta(seconds=30)
#: How long the CA has for an answer, the search for its address included.
PATIENCE = timedelta(seconds=1.5)
_LONGEST = 255  # RFC 1035 §2.3.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is known of ``host``, and by whom."""

    host: str
    known: bool
    source: Source
    problem: str | None = None
    """Why the CA did not say."""


def answer(host: str, ca_url: str | None, root: Path | None) -> Answer:
    """Whether the CA at ``ca_url`` has certified ``host``; False when nobody can tell. Raises Usage, FileProblem."""
    url = options.require_ca_url(ca_url)
    name = canonical(host)
    if name is None:
        return Answer(host=host, known=False, source="none", problem="it is not the name of a host")
    memory, now = Memory.read(paths.mica_path() / "ssh" / "checked_hosts.json", url), system_clock()
    last = memory.verdict(name)
    if last is not None and now - FRESH[last.known] < last.at <= now:
        return Answer(host=name, known=last.known, source="cache")
    if memory.away is not None and now - RESPITE < memory.away <= now:
        return _without_ca(name, last, "the CA did not answer a moment ago")
    return _asked(name, last, memory, root, now)


def canonical(host: str) -> str | None:
    """``host`` as certificates have it: in lower case, without a last dot or brackets. None when it cannot be one."""
    bare = host.removesuffix(".").lower()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    with suppress(ValueError):
        return str(ipaddress.ip_address(bare))
    if not bare or len(bare) > _LONGEST or not bare.isprintable() or any(c.isspace() or c in ",*?!" for c in bare):
        return None
    return bare


def tell(answer: Answer) -> None:
    """Why the CA did not say is on stderr, where it did not."""
    if answer.problem is not None:
        warn(f"{answer.host}: {answer.problem}" + ("; its last answer counts" if answer.source == "stale" else ""))


def _asked(name: str, last: Verdict | None, memory: Memory, root: Path | None, now: datetime) -> Answer:
    from mica.cli.ssh.asking import in_time, ssh_of  # what is known already needs neither the client nor TLS
    from mica.client import ClientError

    ca = ssh_of(memory.ca_url, root, patience=PATIENCE)
    try:
        known = in_time(lambda: ca.check_host(name), PATIENCE)
    except ClientError as error:
        memory.keep_away(now)
        return _without_ca(name, last, str(error))
    memory.keep(name, Verdict(known=known, at=now))
    return Answer(host=name, known=known, source="ca")


def _without_ca(name: str, last: Verdict | None, problem: str) -> Answer:
    if last is None:
        return Answer(host=name, known=False, source="none", problem=problem)
    return Answer(host=name, known=last.known, source="stale", problem=problem)
