"""Evil plugins in a CA that is served: whatever they raise, no worker ends, and others are served meanwhile."""

from pathlib import Path

import pytest

from mica.keyfiles import generate
from mica.testing.ca import TestCA
from mica.testing.exchange import ask, order
from mica.testing.plugins import enable, install
from mica.testing.service import free_port, served

PLUGIN = """
import asyncio
from mica import Route, hookimpl

ERRORS = {
    "exit": SystemExit, "interrupt": KeyboardInterrupt, "cancel": asyncio.CancelledError, "group": BaseException,
    "error": RuntimeError,
}

@hookimpl
async def refuse_x509(grant):
    what, _, when = grant.subject.partition(".")[0].partition("-")
    if when == "later":
        await asyncio.sleep(0.01)
    if what in ERRORS:
        raise ERRORS[what]("canary-77")

@hookimpl
def notify(event):
    raise SystemExit("canary-77")

async def fail(request):
    raise ERRORS[request.path_params["value"]]("canary-77")

@hookimpl
def routes(services):
    return [Route("GET", "/evil_errors/{}", fail)]
"""
ERRORS = ("exit", "interrupt", "cancel", "group", "error")


def test_whatever_a_plugin_raises_ends_no_worker_and_harms_nobody_else(tmp_path: Path) -> None:
    module = tmp_path / "evil_errors.py"
    module.write_text(PLUGIN)
    install(tmp_path / "site", module)
    ca = TestCA.found(tmp_path / "ca", port=free_port())
    enable(ca, module.stem)
    key = generate("EC-P256")
    with served(ca, workers=1, site=tmp_path / "site") as service:
        before = service.workers()
        for error in ERRORS:
            for name in (f"{error}.example", f"{error}-later.example"):
                refused = ask(service, "POST", "/sign", order(service, name, key=key))
                assert (refused.status, b"canary" in refused.body) == (403, False), name
            reply = ask(service, "GET", f"/evil_errors/{error}")
            assert (reply.status, b"canary" in reply.body) == (500, False)
            assert ask(service, "POST", "/sign", order(service, "svc.example", key=key)).status == 201
        assert service.workers() == before
        log = service.log.read_text()
    assert log.count("plugin evil_errors failed in refuse_x509") == 2 * len(ERRORS)
    assert log.count("plugin evil_errors failed in notify") >= len(ERRORS)


def test_a_name_that_two_distributions_claim_is_refused_and_both_are_named(
    tmp_path: Path,
) -> None:
    for name in ("genuine", "shadow"):
        metadata = tmp_path / f"site/{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[mica]\nevil_twin = {name}\n")
        (tmp_path / f"site/{name}.py").write_text("raise AssertionError('it must not be imported')\n")
    ca = TestCA.found(tmp_path / "ca", port=free_port())
    enable(ca, "evil_twin")
    claim = "claimed by genuine and shadow; uninstall one"
    with pytest.raises(RuntimeError, match=claim) as refused, served(ca, workers=1, site=tmp_path / "site"):
        pytest.fail("it is served")
    assert "must not be imported" not in str(refused.value)
