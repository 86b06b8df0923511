"""Durable ``POST /ssh/sign`` beside ``POST /sign``, at one CA: SSH certificates are to be no slower than X.509's.

The two take turns, since a machine is not equally fast all the time. Budget: ssh / x509 ≥ 1, in certificates for each
second of the workers' CPU time.
"""

import base64
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from load import request, run
from service import cpu_seconds

from mica.clock import system_clock
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA, csr_pem
from mica.testing.service import Service, free_port, served

TURNS, REQUESTS = 5, 1500


def main() -> None:
    """Prints a line for each kind, and their ratio."""
    with tempfile.TemporaryDirectory() as home:
        ca = TestCA.found(Path(home), port=free_port(), ssh=True)
        with served(ca) as service:
            compare(service)


def compare(service: Service) -> None:
    """The kinds take turns; the figures of each are the medians of its turns."""
    kinds: dict[str, Callable[[TestCA, int], list[bytes]]] = {"x509": _x509_orders, "ssh": _ssh_orders}
    for orders in kinds.values():
        _turn(service, orders(service.ca, 500))  # warms up
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    rate: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(TURNS):
        for name, orders in kinds.items():
            used, per_second = _turn(service, orders(service.ca, REQUESTS))
            cpu[name].append(used)
            rate[name].append(per_second)
    for name in kinds:
        median = statistics.median(cpu[name])
        print(f"{name}: {median * 1e6:.0f} µs CPU each, {statistics.median(rate[name]):.0f}/s")
    ratios = [x509 / ssh for x509, ssh in zip(cpu["x509"], cpu["ssh"], strict=True)]
    print(f"ssh / x509, certificates for each second of CPU: {statistics.median(ratios):.2f} (≥ 1)")


def _turn(service: Service, orders: list[bytes]) -> tuple[float, float]:
    """Seconds of CPU for each certificate, and certificates for each second."""
    before = cpu_seconds(service)
    outcome = uvloop.run(run(orders, service.port, service.context(), connections=32))
    return (cpu_seconds(service) - before) / len(orders), outcome.rate


def _x509_orders(ca: TestCA, count: int) -> list[bytes]:
    ca.clock.moment = system_clock()
    csr = csr_pem("svc.example")
    bodies = ({"csr": csr, "ott": ca.token("svc.example", sans=["svc.example"])} for _ in range(count))
    return [request("POST", "/1.0/sign", "localhost", json.dumps(body).encode()) for body in bodies]


def _ssh_orders(ca: TestCA, count: int) -> list[bytes]:
    ca.clock.moment = system_clock()
    key = SSHPublicKey.of(ec.generate_private_key(ec.SECP256R1()).public_key())
    order = {"publicKey": base64.b64encode(key.blob).decode(), "certType": "user", "principals": ["alice"]}
    bodies = (order | {"ott": ca.ssh_token("alice@harbour.example", "user", ["alice"])} for _ in range(count))
    return [request("POST", "/1.0/ssh/sign", "localhost", json.dumps(body).encode()) for body in bodies]


if __name__ == "__main__":
    main()
