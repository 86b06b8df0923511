"""A CA that is served, with its audit log: under load, killed, its file renamed, its disk full."""

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from plugins.auditlog.tests.conftest import verified

from mica.testing.ca import TestCA
from mica.testing.exchange import Answer, ask, order
from mica.testing.plugins import append, enable
from mica.testing.service import Service, free_port, served


def _found(folder: Path, table: str = "") -> TestCA:
    ca = TestCA.found(folder, port=free_port())
    enable(ca, "auditlog")
    append(ca, f"\n[plugin.auditlog]\n{table}\n")
    return ca


def _sign(service: Service, number: int) -> Answer:
    return ask(service, "POST", "/1.0/sign", order(service, f"svc{number}.example"))


def _issued(*logs: Path) -> set[str]:
    lines = [json.loads(line) for log in logs for line in log.read_bytes().splitlines() if line.endswith(b"}")]
    return {name for line in lines if line["event"] == "issued" for name in line["certificate"]["names"]}


def test_three_workers_under_load_write_one_chain_across_renames_with_everything_in_it(tmp_path: Path) -> None:
    ca = _found(tmp_path / "ca", "max_size = 60000")
    log = ca.directory / "audit/audit.jsonl"
    with served(ca, workers=3) as service, ThreadPoolExecutor(6) as pool:
        for round_ in range(3):
            answers = list(pool.map(lambda number: _sign(service, number), range(round_ * 100, round_ * 100 + 100)))
            assert {answer.status for answer in answers} == {201}
            assert _sign_refused(service) == 403
            log.rename(log.with_name(f"audit.jsonl.old{round_}"))
    report = verified(log)
    assert report.sound and report.found == [] and len(report.files) > 3
    assert {f"svc{number}.example" for number in range(300)} <= _issued(*report.files)
    denied = [line for path in report.files for line in path.read_bytes().splitlines() if b'"event":"denied"' in line]
    assert len(denied) == 3
    assert json.loads(denied[0])["request_id"]


def _sign_refused(service: Service) -> int:
    body = order(service, "svc.example")
    body["csr"] = order(service, "evil.example")["csr"]
    return ask(service, "POST", "/1.0/sign", body).status


def test_workers_that_are_killed_leave_a_log_that_goes_on(tmp_path: Path) -> None:
    ca, dice = _found(tmp_path / "ca"), random.Random(4711)
    log = ca.directory / "audit/audit.jsonl"
    with served(ca, workers=2) as service, ThreadPoolExecutor(4) as pool:
        for round_ in range(5):
            orders = [pool.submit(_sign, service, round_ * 100 + number) for number in range(20)]
            time.sleep(dice.uniform(0.02, 0.3))
            for pid in service.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
            for each in orders:
                with suppress(OSError, ValueError):  # whoever was being served by the one that was killed
                    each.result()
            report = verified(log)
            assert report.sound, report.found
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                if _sign(service, 9999).status == 201:
                    break
            time.sleep(0.2)
    assert verified(log).sound
    assert "svc9999.example" in _issued(log)


def _fill(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


def _wait_for(service: Service, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in service.log.read_text():
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.05)


def test_a_full_disk_stops_a_ca_that_must_not_issue_unseen_until_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    log = small_disk / "audit/audit.jsonl"
    ca = _found(tmp_path / "ca", f'path = "{log}"\non_failure = "refuse"')
    with served(ca, workers=1) as service:
        assert _sign(service, 0).status == 201
        _fill(small_disk / "filler")
        count = 1
        while (status := _sign(service, count).status) == 201:  # until the last free page of the disk is full
            count += 1
            time.sleep(0.02)
        assert status == 503
        _wait_for(service, "nothing is issued until it can be")
        (small_disk / "filler").unlink()
        _wait_for(service, "can be written again")
        assert _sign(service, 999).status == 201
    report = verified(log)
    assert report.sound
    assert {*(f"svc{number}.example" for number in range(count)), "svc999.example"} <= _issued(log)
    assert f"svc{count}.example" not in _issued(log)


def test_a_full_disk_does_not_stop_a_ca_that_must_go_on(tmp_path: Path, small_disk: Path) -> None:
    log = small_disk / "audit/audit.jsonl"
    ca = _found(tmp_path / "ca", f'path = "{log}"')
    with served(ca, workers=1) as service:
        _fill(small_disk / "filler")
        assert {_sign(service, number).status for number in range(30)} == {201}
        _wait_for(service, "certificates are issued all the same")
        (small_disk / "filler").unlink()
        _wait_for(service, "can be written again")
    assert verified(log).sound
    assert {f"svc{number}.example" for number in range(30)} <= _issued(log)


def test_secrets_never_reach_the_log(tmp_path: Path) -> None:
    ca = _found(tmp_path / "ca")
    with served(ca, workers=1) as service:
        tokens = []
        for number in range(3):
            body = order(service, f"svc{number}.example")
            tokens.append(body["ott"])
            for _ in range(2):  # the second time it is refused
                ask(service, "POST", "/1.0/sign", body)
            ask(service, "POST", "/1.0/sign", {"csr": body["csr"], "ott": body["ott"][:-4] + "AAAA"})
            ask(service, "POST", "/1.0/sign", {"csr": body["csr"], "ott": f"canary-{number}"})
        scalar = ca.provisioner_key.private_numbers().private_value
    text = "".join(path.read_text() for path in (ca.directory / "audit").iterdir())
    assert text.count('"event":"denied"') == 9
    assert not [part for token in tokens for part in token.split(".") if part in text]
    assert "canary" not in text and str(scalar) not in text and f"{scalar:x}" not in text
