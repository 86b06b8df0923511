"""What ``mica plugin new`` writes is sound at once: ``mica plugin check`` finds so in an environment of a stranger.

The wheels of that environment come from this repository, pytest and the rest from ``mica-ca[testing]``.
"""

import json

import pytest
from tests.strangers.workshop import KINDS, Workshop

#: The suites that a plugin of the kind must keep.
SUITES = {
    "provisioner": {"TokenProvisionerContract", "RenewalProvisionerContract", "ProvisionerLineContract",
                    "TokenSourceContract"},
    "store": {"StoreContract"},
    "keys": {"KeyBackendContract"},
    "policy": {"PolicyContract"},
    "listener": {"ListenerContract"},
    "routes": {"RoutesContract"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_its_contracts_at_once(workshop: Workshop, plugins: dict[str, str], kind: str) -> None:
    report = json.loads(workshop.mica("plugin", "check", plugins[kind], "--json"))
    assert report["sound"]
    assert report["broken"] is None
    assert [finding for finding in report["findings"] if finding["fault"]] == []
    kept = {contract for suite in report["suites"] for contract in suite["contracts"] if suite["passed"]}
    assert kept >= SUITES[kind]
    assert [suite["name"] for suite in report["suites"] if suite["failures"] or not suite["passed"]] == []
