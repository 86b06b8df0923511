"""What a suite leaves untried and says so, which is no fault of the plugin's. Any other skip proves nothing."""

import os
from typing import NoReturn

import pytest

#: How the reason begins, by which ``mica plugin check`` tells it from the reason of any other skip.
MARK = "not tried: "


def does_not_concern(reason: str) -> NoReturn:
    """The test is skipped, since ``reason`` leaves nothing of the plugin's to try; ``mica plugin check`` lists it."""
    pytest.skip(MARK + reason)


def cannot_be_tried(reason: str) -> NoReturn:
    """The same where this machine or this user cannot; it fails where MICA_REQUIRE_ALL is set."""
    if os.environ.get("MICA_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(MARK + reason)
