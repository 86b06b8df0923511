"""Whatever is killed, the file is sound."""

import sqlite3
from pathlib import Path

from mica_storage_sqlite.contracts import TestSQLiteStore as _Contract


def test_after_kill_9_sqlite_finds_no_fault_in_the_file(tmp_path: Path) -> None:
    for number in range(2):
        with _Contract().worker("work", tmp_path, tmp_path / f"said {number}") as worker:
            worker.wait_for("done", 50)
            worker.kill()
        connection = sqlite3.connect(tmp_path / "db" / "mica.db")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
