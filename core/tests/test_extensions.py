"""An extension has settings of its own, settings at each provisioner, a beginning and an end."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from mica import Context, ExtensionContext, Grant, Kind, TBSCertificate, Unavailable, hookimpl, kind
from mica.authority import Authority
from mica.errors import ConfigError, Refused
from mica.issuance import sign_token
from mica.requests import SignRequest
from mica.testing.ca import TestCA, csr
from mica.testing.plugins import add_jwk_provisioner, append


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """``[plugin.quota]``."""

    least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerQuota:
    """``quota = { … }`` of a provisioner."""

    names: int = 1


class Quotas:
    """So many names a certificate, as its provisioner's table says; and a diary of what happens to it."""

    diary: list[str]

    def __init__(self, config: Quota, context: ExtensionContext) -> None:
        self._tables = context.tables
        self.diary = []

    async def start(self) -> None:
        self.diary.append("started")

    async def aclose(self) -> None:
        self.diary.append("closed")

    @hookimpl
    def refuse_x509(self, tbs: TBSCertificate, grant: Grant) -> str | None:
        quota = self._tables.get(grant.provisioner.name)
        return "too many names" if quota is not None and len(tbs.names) > quota.names else None


class QuotaPlugin:
    """The plugin, as a module would be one."""

    @hookimpl
    def register_extensions(self) -> Iterable[Kind[Any]]:
        return [kind("quota", Quota, Quotas, provisioners=ProvisionerQuota)]


def _authority(ca: TestCA) -> Authority:
    return ca.authority({"quota": QuotaPlugin()})


async def test_a_provisioners_own_settings_reach_the_extension_and_bind_that_provisioner_alone(ca: TestCA) -> None:
    other = add_jwk_provisioner(ca, "narrow")
    append(ca, "quota = { names = 1 }\n")
    authority = _authority(ca)
    await authority.start()
    request = SignRequest(csr=csr("a.example", "b.example"))
    sans = {"sans": ["a.example", "b.example"]}
    await sign_token(authority, request, ca.token("a.example", **sans))
    with pytest.raises(Refused, match="too many names"):
        await sign_token(authority, request, other.token("a.example", iss="narrow", **sans))
    await authority.aclose()


def test_what_a_provisioner_says_to_an_extension_is_read_strictly_with_its_place(ca: TestCA) -> None:
    add_jwk_provisioner(ca, "narrow")
    append(ca, 'quota = { names = "2", more = 1 }\n')
    with pytest.raises(ConfigError) as caught:
        _authority(ca)
    assert set(caught.value.faults) == {
        "provisioners[1].quota.names: must be an integer, not a string",
        'provisioners[1].quota: extra field "more"; known: names',
    }


def test_settings_for_an_extension_that_is_not_enabled_stop_the_start(ca: TestCA) -> None:
    add_jwk_provisioner(ca, "narrow")
    append(ca, "quota = { names = 1 }\n")
    with pytest.raises(ConfigError, match=r'provisioners\[1\]: extra field "quota"'):
        ca.authority()


def test_one_member_of_a_provisioners_table_belongs_to_one_plugin(ca: TestCA) -> None:
    class Greedy:
        @hookimpl
        def register_extensions(self) -> Iterable[Kind[Any]]:
            return [kind("key", Quota, Quotas, provisioners=ProvisionerQuota)]

    with pytest.raises(ConfigError, match="the plugins jwk and key both claim the field key; disable one"):
        ca.authority({"key": Greedy()})


async def test_an_extension_begins_before_the_first_request_and_ends_with_the_authority(ca: TestCA) -> None:
    authority = _authority(ca)
    (quotas,) = (extension for extension in authority.extensions if isinstance(extension, Quotas))
    assert quotas.diary == []
    await authority.start()
    assert quotas.diary == ["started"]
    await authority.aclose()
    assert quotas.diary == ["started", "closed"]


async def test_an_extension_that_cannot_start_stops_the_start(ca: TestCA) -> None:
    class Broken(Quotas):
        async def start(self) -> None:
            raise Unavailable("the disk is full")

    class Plugin:
        @hookimpl
        def register_extensions(self) -> Iterable[Kind[Any]]:
            return [kind("quota", Quota, Broken)]

    authority = ca.authority({"quota": Plugin()})
    with pytest.raises(Unavailable, match="the disk is full"):
        await authority.start()
    await authority.aclose()


async def test_a_policy_that_cannot_judge_now_leaves_the_token_for_another_try(ca: TestCA) -> None:
    class Resting:
        resting = True

        @hookimpl
        def refuse_x509(self, tbs: TBSCertificate) -> str | None:
            if self.resting:
                raise Unavailable("it rests")
            return None

    plugin = Resting()
    authority = ca.authority({"resting": plugin})
    await authority.start()
    request, token = SignRequest(csr=csr("a.example")), ca.token("a.example")
    with pytest.raises(Unavailable, match="plugin resting: it rests"):
        await sign_token(authority, request, token)
    plugin.resting = False
    assert await sign_token(authority, request, token)
    await authority.aclose()


def test_an_ordinary_context_will_do_for_an_extension_that_has_no_settings_at_provisioners(ca: TestCA) -> None:
    class Plain:
        def __init__(self, config: Quota, context: Context) -> None:
            self.url = context.url

        @hookimpl
        def refuse_x509(self, tbs: TBSCertificate) -> str | None:
            return None

    class Plugin:
        @hookimpl
        def register_extensions(self) -> Iterable[Kind[Any]]:
            return [kind("plain", Quota, Plain)]

    (plain,) = ca.authority({"plain": Plugin()}).extensions
    assert isinstance(plain, Plain)
    assert plain.url == ca.url
