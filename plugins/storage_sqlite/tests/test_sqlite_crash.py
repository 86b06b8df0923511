"""Processes that are killed, and processes that share a file: what was acknowledged is on record."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mica import CertificateId, CertificateKind, TokenReused
from mica.testing.contexts import Clock, make_context
from mica.testing.records import make_id, make_order, make_token
from mica_storage_sqlite import SQLiteConfig, SQLiteStore

LOAD = Path(__file__).with_name("load.py")


class Load:
    """The program ``load.py`` at work in a process of its own."""

    def __init__(self, directory: Path, output: Path) -> None:
        self._output = output
        with output.open("w") as file:
            self._process = subprocess.Popen([sys.executable, LOAD, directory], stdout=file)
        self.go_on(1)

    def go_on(self, octets: int) -> None:
        """It has acknowledged so much more."""
        size, deadline = self._output.stat().st_size, time.monotonic() + 20
        while self._output.stat().st_size < size + octets:
            assert time.monotonic() < deadline, "nothing is acknowledged"
            time.sleep(0.01)

    def kill(self) -> list[list[str]]:
        """It is dead at once (SIGKILL); what it had acknowledged, without a last line that it did not finish."""
        self._process.kill()
        self._process.wait()
        return [line.split() for line in self._output.read_text().rpartition("\n")[0].splitlines()]


async def verify(directory: Path, acknowledged: list[list[str]]) -> None:
    store = SQLiteStore(SQLiteConfig(), make_context(Clock(), directory))
    await store.start()
    for event, number, token in acknowledged:
        id = CertificateId(kind=CertificateKind.X509, issuer=make_id().issuer, serial_number=int(number))
        assert await store.find(id) is not None
        assert event == "issued" or await store.revocation(id) is not None
        assert await store.is_spent(make_token(id=token))
    with pytest.raises(TokenReused):
        await store.commit(make_order(spends=(make_token(id=acknowledged[-1][2]),)))
    await store.commit(make_order())
    await store.aclose()


async def test_what_was_acknowledged_before_kill_9_is_on_record(tmp_path: Path) -> None:
    acknowledged = []
    for octets in (20_000, 50_000, 10_000):
        load = Load(tmp_path, tmp_path / "output")
        load.go_on(octets)
        acknowledged += load.kill()
        await verify(tmp_path, acknowledged)
    connection = sqlite3.connect(tmp_path / "db" / "mica.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_processes_that_share_a_file_lose_nothing_when_one_is_killed(tmp_path: Path) -> None:
    one, two = Load(tmp_path, tmp_path / "one"), Load(tmp_path, tmp_path / "two")
    one.go_on(20_000)
    two.go_on(20_000)
    first = one.kill()
    two.go_on(20_000)
    await verify(tmp_path, first + two.kill())
