"""The fixtures of the authors' kit serve our own tests as well; and the files that take longest come first."""

import pytest

pytest_plugins = ["mica.testing"]

#: The files that take longest, half a minute and more, longest first. Several processes share the files among
#: themselves, in this order and then in the usual one: what is long and comes last keeps one of them busy alone.
LONGEST = (
    "test_renewal_daemon", "test_writing_plugins", "test_scaffolds", "test_afternoon", "contracts", "test_faults",
    "test_docs_cli", "test_broken_token_provisioner", "test_broken_store",
    "test_ssh_renewal_daemon", "test_web_service", "test_sshd_ca", "test_cli_ca_offline", "test_terminals",
    "test_faultless", "test_races", "test_sshd_renewal", "test_sshd", "test_cli_progress", "test_durability",
    "test_openid_signin", "test_ssh_list", "test_oauth_listener", "test_demo", "test_basic_operations",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, the others as they were found."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
