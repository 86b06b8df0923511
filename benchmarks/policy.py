"""What the policy plugin adds to ``POST /sign``: server CPU with 10 rules and with 10,000, beside none, in one run.

Budgets: 10 rules cost at most 5 % of a sign request, and 10,000 rules at most twice what 10 do. The three CAs take
turns, since a machine is not equally fast all the time. What the judgement of one certificate takes is also measured
by itself, in one process, where nothing else adds noise: those are the figures that the ratios are formed of.
"""

import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from load import request, run
from service import cpu_seconds

from mica import Exactly, Grant, Operation, ProvisionerRef, Reusable, SignRequest, SignX509, TBSCertificate
from mica.authority import Authority
from mica.clock import system_clock
from mica.issuance import OWN_CLAIMS, compose
from mica.names import classify
from mica.testing.ca import TestCA, csr, csr_pem
from mica.testing.plugins import append, enable
from mica.testing.service import Service, free_port, served

TURNS, REQUESTS, JUDGEMENTS = 5, 1500, 5000
NAME = "svc.harbour.example"
CSR, REQUEST = csr_pem(NAME), SignRequest(csr=csr(NAME))


def main() -> None:
    """Prints a line for each number of rules, and the ratios."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        cas = {rules: _founded(Path(home), rules) for rules in (0, 10, 10_000)}
        judging = _judging(cas)
        running = {rules: stack.enter_context(served(ca)) for rules, ca in cas.items()}
        signing = _signing(running)
    for rules, seconds in signing.items():
        print(f"sign, {rules} rules: {seconds * 1e6:.0f} µs CPU each")
    for rules, seconds in judging.items():
        print(f"the policy alone, {rules} rules: {seconds * 1e6:.1f} µs")
    print(f"10 rules, part of a sign request: {judging[10] / signing[0]:.1%} (≤ 5 %)")
    print(f"10,000 rules / 10 rules: {judging[10_000] / judging[10]:.2f} (≤ 2)")
    print(
        f"sign with 10 / with none: {signing[10] / signing[0]:.2f}, 10,000 / none: {signing[10_000] / signing[0]:.2f}"
    )


def _founded(home: Path, rules: int) -> TestCA:
    ca = TestCA.found(home / str(rules), port=free_port())
    if rules:
        enable(ca, "policy")
        append(ca, _table(rules))
    return ca


def _table(rules: int) -> str:
    """As many rules, of every kind, half of them denying; the last two let the name pass."""
    each = rules // 10
    lists = {
        "deny.dns": [f"host{n}.denied.example" for n in range(2 * each)] + [f"*.d{n}.example" for n in range(each)],
        "deny.ip": [f"10.{n >> 8}.{n & 255}.0/24" for n in range(each)],
        "deny.email": [f"user{n}@harbour.example" for n in range(each)],
        "allow.dns": [f"*.a{n}.example" for n in range(2 * each)] + [f"host{n}.example" for n in range(each - 1)],
        "allow.ip": [f"172.16.{n >> 8}.{n & 255}" for n in range(each)],
        "allow.uri": [f"*.u{n}.example" for n in range(each)],
    }
    lists["allow.dns"].append("*.harbour.example")
    sides = {
        side: {k.partition(".")[2]: v for k, v in lists.items() if k.startswith(side)} for side in ("allow", "deny")
    }
    lines = [
        f"[plugin.policy.x509.{side}]\n" + "".join(f"{kind} = {json.dumps(listed)}\n" for kind, listed in found.items())
        for side, found in sides.items()
    ]
    return "\n" + "\n".join(lines)


def _judging(cas: dict[int, TestCA]) -> dict[int, float]:
    """Seconds of CPU for each judgement, as the line asks for it, by the number of rules."""
    authorities = {rules: ca.authority() for rules, ca in cas.items() if rules}
    found: dict[int, list[float]] = {rules: [] for rules in authorities}
    for turn in range(TURNS):
        for rules, authority in authorities.items():
            found[rules].append(uvloop.run(_judged(authority, turn)))
    return {rules: min(seconds) for rules, seconds in found.items()}  # noise only ever adds


async def _judged(authority: Authority, turn: int) -> float:
    """Seconds of CPU for each of many certificates, which nobody has judged yet."""
    orders = [_order(authority, f"svc{turn}-{n}.harbour.example") for n in range(JUDGEMENTS)]
    begun = time.process_time()
    for request_, tbs, grant in orders:
        if await authority.hooks.objections(request_, tbs, grant):
            raise RuntimeError("the policy was to let the name pass")
    return (time.process_time() - begun) / JUDGEMENTS


def _order(authority: Authority, name: str) -> tuple[SignRequest, TBSCertificate, Grant]:
    """A certificate as it is when policies are asked: the core has read it."""
    permit = SignX509(subject_common_name=name, names=Exactly(names=(classify(name),)))
    grant = Grant(
        provisioner=ProvisionerRef(name="admin", type="JWK"),
        operation=Operation.X509_SIGN,
        subject=name,
        spend=Reusable(reason="nothing is issued"),
        expires_at=system_clock(),
        permits=(permit,),
    )
    tbs = compose(REQUEST, grant, permit, OWN_CLAIMS, authority.issuer, system_clock())
    _ = tbs.names
    return REQUEST, tbs, grant


def _signing(running: dict[int, Service]) -> dict[int, float]:
    """Seconds of CPU for each certificate, by the number of rules: the medians of the turns."""
    cpu: dict[int, list[float]] = {rules: [] for rules in running}
    for service in running.values():
        _turn(service, 300)  # warms up
    for _ in range(TURNS):
        for rules, service in running.items():
            cpu[rules].append(_turn(service, REQUESTS))
    return {rules: statistics.median(seconds) for rules, seconds in cpu.items()}


def _turn(service: Service, count: int) -> float:
    ca, before = service.ca, cpu_seconds(service)
    ca.clock.moment = system_clock()
    bodies = ({"csr": CSR, "ott": ca.token(NAME, sans=[NAME])} for _ in range(count))
    orders = [request("POST", "/1.0/sign", "localhost", json.dumps(body).encode()) for body in bodies]
    uvloop.run(run(orders, service.port, service.context(), connections=32))
    return (cpu_seconds(service) - before) / count


if __name__ == "__main__":
    main()
