"""Policies as tables, and what they say of names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mica import CertType
from mica.names import classify
from mica.structuring import structure
from mica.testing.ca import TestCA
from mica.testing.plugins import append, enable
from mica_policy.judging import NameRules, Ruleset
from mica_policy.policy import verdict
from mica_policy.presented import ssh_names, x509_order
from mica_policy.table import PolicyConfig

Reasons = Callable[..., list[str]]


def x509_reasons(table: dict[str, Any], *names: str, cn: str = "") -> list[str]:
    """Why the policy with this ``x509`` refuses a certificate with these names."""
    ruleset = Ruleset.of(structure(PolicyConfig, {"x509": table}, "plugin.policy"), "plugin.policy")
    return list(verdict([ruleset], None, list(x509_order([cn], map(classify, names)))).reasons)


def ssh_reasons(table: dict[str, Any], kind: str, *principals: str) -> list[str]:
    """Why the policy with this ``ssh`` refuses a certificate for a ``user`` or a ``host``."""
    ruleset = Ruleset.of(structure(PolicyConfig, {"ssh": table}, "plugin.policy"), "plugin.policy")
    cert_type = CertType[kind.upper()]
    return list(verdict([ruleset], cert_type, ssh_names(cert_type, principals)).reasons)


@pytest.fixture
def of_x509() -> Reasons:
    return x509_reasons


@pytest.fixture
def of_ssh() -> Reasons:
    return ssh_reasons


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., TestCA]:
    """Makes a CA whose policy this TOML is."""

    def found(policy: str, **more: Any) -> TestCA:
        ca = TestCA.found(tmp_path, **more)
        enable(ca, "policy")
        append(ca, f"\n{policy}\n")
        return ca

    return found


@pytest.fixture
def rules_of() -> Callable[..., NameRules]:
    """The rules of this ``x509``."""

    def rules_of(table: dict[str, Any]) -> NameRules:
        rules = Ruleset.of(structure(PolicyConfig, {"x509": table}, "plugin.policy"), "plugin.policy").x509
        assert rules is not None
        return rules

    return rules_of
