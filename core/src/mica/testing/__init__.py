"""Contract suites and fixtures for plugin authors: subclass a contract, and pytest says whether a plugin keeps it."""

import pkgutil

import pytest

# So that a contract's assertion that fails shows what it compared.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
