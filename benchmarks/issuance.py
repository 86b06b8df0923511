"""Durable ``POST /sign`` and ``POST /renew``: server CPU for each certificate, as multiples of one P-256 signature.

Budgets: sign over keep-alive ≤ 28, a new connection for each ≤ 68, renewal over mutual TLS ≤ 22.
"""

import json
import secrets
import ssl
import tempfile
import time
from pathlib import Path

import jwt
import uvloop
from load import Outcome, request, run
from service import cpu_seconds, memory_megabytes
from yardstick import microseconds

from mica.testing.ca import TestCA, csr_pem, public_jwk
from mica.testing.exchange import obtain
from mica.testing.service import Service, free_port, served

SIGNS, CONNECTIONS, RENEWALS = 6000, 600, 3000


def main() -> None:
    """Prints one line for each load."""
    unit = microseconds()
    print(f"yardstick: one P-256 signature = {unit:.1f} µs")
    with tempfile.TemporaryDirectory() as home, served(TestCA.found(Path(home), port=free_port())) as service:
        context = service.context()
        _load(service, _signs(service, 500), context, None, unit)  # warms up
        _load(service, _signs(service, SIGNS), context, "sign, keep-alive (≤ 28)", unit)
        fresh = _signs(service, CONNECTIONS, close=True)
        _load(service, fresh, context, "sign, new connection (≤ 68)", unit, keep_alive=False)
        with tempfile.TemporaryDirectory() as folder:
            credential = obtain(service, Path(folder), "svc.example")
            client = service.context()
            client.load_cert_chain(credential.certificate, credential.key)
            renewals = [request("POST", "/renew", "localhost")] * RENEWALS
            _load(service, renewals, client, "renew, mutual TLS, keep-alive (≤ 22)", unit)
        print(f"memory of each worker: {', '.join(f'{m:.0f} MB' for m in memory_megabytes(service))} (≤ 90)")


def _load(
    service: Service,
    requests: list[bytes],
    context: ssl.SSLContext,
    title: str | None,
    unit: float,
    *,
    keep_alive: bool = True,
) -> None:
    before = cpu_seconds(service)
    outcome: Outcome = uvloop.run(run(requests, service.port, context, connections=32, keep_alive=keep_alive))
    cpu = (cpu_seconds(service) - before) / len(requests) * 1e6
    if title:
        print(
            f"{title}: {cpu / unit:.1f} yardsticks ({cpu:.0f} µs CPU) each, {outcome.rate:.0f}/s, "
            f"p50 {outcome.percentile(50):.1f} ms, p99 {outcome.percentile(99):.1f} ms"
        )


def _signs(service: Service, count: int, *, close: bool = False) -> list[bytes]:
    csr, now, ca = csr_pem("svc.example"), int(time.time()), service.ca
    kid = public_jwk(ca.provisioner_key.public_key())["kid"]
    claims = {"iss": "admin", "sub": "svc.example", "aud": f"{ca.url}/1.0/sign", "nbf": now, "iat": now}
    requests = []
    for _ in range(count):
        payload = {**claims, "exp": now + 300, "jti": secrets.token_hex(32), "sans": ["svc.example"]}
        token = jwt.encode(payload, ca.provisioner_key, "ES256", {"kid": kid})
        body = json.dumps({"csr": csr, "ott": token}).encode()
        requests.append(request("POST", "/1.0/sign", "localhost", body, close=close))
    return requests


if __name__ == "__main__":
    main()
