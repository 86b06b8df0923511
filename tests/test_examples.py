"""The example plugins do what their READMEs say."""

import importlib.util
import logging
from pathlib import Path
from types import ModuleType

import pytest
from core.tests.sshorders import held, host, user

from mica.authority import Authority
from mica.errors import ConfigError, Refused
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.requests import SignRequest, SSHRenewRequest
from mica.sshrenewal import renew_ssh
from mica.testing.ca import TestCA, csr

EXAMPLES = Path(__file__).parents[1] / "examples"


def _zones() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mica_zones", EXAMPLES / "mica-ca-zones/src/mica_zones/__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _authority(ca: TestCA, table: str) -> Authority:
    path = ca.directory / "ca.toml"
    path.write_text(path.read_text() + table)
    return ca.authority({"zones": _zones()})


async def test_names_outside_the_zones_are_refused_and_others_are_told(
    ca: TestCA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    authority = _authority(ca, '\n[plugin.zones]\nallow = ["harbour.example", "internal"]\n')
    await authority.start()
    for name in ("harbour.example", "svc.harbour.example", "db.internal"):
        await sign_token(authority, SignRequest(csr=csr(name)), ca.token(name))
    for name in ("evil.example", "notharbour.example", "10.0.0.1", "harbour.example.evil.example"):
        with pytest.raises(Refused, match="is in none of the zones harbour.example, internal"):
            await sign_token(authority, SignRequest(csr=csr(name)), ca.token(name))
    await authority.aclose()
    assert "issued for svc.harbour.example" in caplog.text


async def test_hosts_outside_the_zones_get_no_ssh_certificate_new_or_renewed(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, ssh=True)
    before, key = ca.authority(), generate("EC-P256")
    await before.start()
    stranger = await host(ca, before, key, "notharbour.example")
    await before.aclose()
    authority = _authority(ca, '\n[plugin.zones]\nallow = ["harbour.example"]\n')
    await authority.start()
    web = await host(ca, authority, key, "web.harbour.example")
    await renew_ssh(authority, SSHRenewRequest(), held(ca, web, key, "/ssh/renew"))
    with pytest.raises(Refused, match=r"evil\.example is in none of the zones harbour\.example"):
        await host(ca, authority, key, "evil.example")
    with pytest.raises(Refused, match=r"notharbour\.example is in none of the zones"):
        await renew_ssh(authority, SSHRenewRequest(), held(ca, stranger, key, "/ssh/renew"))
    await user(ca, authority, "alice")  # the names of accounts are in no zone
    await authority.aclose()


def test_a_mistake_in_its_table_is_told_like_any_other(ca: TestCA) -> None:
    with pytest.raises(ConfigError, match='plugin.zones: extra field "alow"; known: allow'):
        _authority(ca, '\n[plugin.zones]\nalow = ["harbour.example"]\n')
