"""What pluggy would skip or merge in silence is refused when a plugin is registered; whatever a policy does but answer
None is an objection."""

import asyncio
import functools
import types
from collections.abc import Callable
from typing import Any

import pluggy
import pytest

from mica import hooks
from mica.authority import Authority
from mica.errors import ConfigError, Refused
from mica.hookspecs import hookimpl
from mica.issuance import sign_token
from mica.requests import SignRequest
from mica.testing.ca import TestCA, csr

foreign = pluggy.HookimplMarker("somebody_else")


def module(**functions: Any) -> types.ModuleType:
    """A plugin with these attributes."""
    plugin = types.ModuleType("plugin")
    for name, function in functions.items():
        setattr(plugin, name, function)
    return plugin


def _refuse(tbs: object) -> str | None:
    return None


def _generator(tbs: object) -> Any:
    yield None


async def _asynchronous_registration() -> list[object]:
    return []


def _starred(*tbs: object) -> None: ...


def _keywords(**tbs: object) -> None: ...


def _defaulted(tbs: object = None) -> None: ...


def _keyword_only(*, tbs: object) -> None: ...


def _unknown(tbs: object, colour: object) -> None: ...


class Callable_:
    def __call__(self, tbs: object) -> None: ...


class WithProperty:
    @property
    def refuse_x509(self) -> Callable[[object], None]:
        return hookimpl(_refuse)


def marked(function: Any, **options: Any) -> Any:
    """A fresh copy of ``function``, marked: markers leave their trace on the function itself."""
    return hookimpl(types.FunctionType(function.__code__, {}, function.__name__, function.__defaults__), **options)


def keyword_only() -> Any:
    def refuse_x509(*, tbs: object) -> None: ...

    return hookimpl(refuse_x509)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (module(refuse_x509=marked(_generator, wrapper=True)), "wrapper"),
        (module(refuse_x509=marked(_generator, hookwrapper=True)), "hookwrapper"),
        (module(refuse_x509=marked(_refuse, optionalhook=True)), "optionalhook"),
        (module(anything=marked(_refuse, specname="refuse_x509")), "anything is no hook"),
        (module(refuse_x509=marked(_refuse, specname="notify")), "specname"),
        (module(refuse_x509=marked(_refuse, tryfirst=True)), "tryfirst"),
        (module(refuse_x509=marked(_refuse, trylast=True)), "trylast"),
        (module(refuse_x509=_refuse), "without mica.hookimpl"),
        (module(refuse_x509=foreign(types.FunctionType(_refuse.__code__, {}))), "without mica.hookimpl"),
        (module(refuse_x509=functools.partial(marked(_refuse))), "must be a plain function, not partial"),
        (module(refuse_x509=functools.lru_cache(marked(_refuse))), "must be a plain function"),
        (module(refuse_x509=Callable_()), "must be a plain function, not Callable_"),
        (WithProperty(), "must be a plain function, not property"),
        (module(refuse_x508=marked(_refuse)), "did you mean refuse_x509"),
        (module(refuse_x59=types.FunctionType(_refuse.__code__, {"__name__": "plugin"})), "did you mean refuse_x509"),
        (module(refuse_x509=marked(_starred)), "parameter tbs must be an ordinary one"),
        (module(refuse_x509=marked(_keywords)), "parameter tbs must be an ordinary one"),
        (module(refuse_x509=keyword_only()), "parameter tbs must be an ordinary one"),
        (module(refuse_x509=marked(_defaulted)), "parameter tbs has a default"),
        (module(refuse_x509=marked(_unknown)), "colour"),
        (module(refuse_x509=marked(_generator)), "is a generator function"),
        (module(register_stores=marked(_asynchronous_registration)), "must not be async"),
        (module(), "implements no hook"),
        (module(helper=_refuse), "implements no hook"),
        (module(refuse_x509=None), "must be a plain function, not NoneType"),
    ],
)
def test_what_pluggy_would_not_call_plainly_is_refused(plugin: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        hooks.Hooks().register("odd", plugin)
    assert "plugin odd" in str(refused.value)


def test_one_name_is_registered_once() -> None:
    registry = hooks.Hooks()
    registry.register("policy", module(refuse_x509=marked(_refuse)))
    with pytest.raises(ConfigError, match="plugin policy"):
        registry.register("policy", module(refuse_x509=marked(_refuse)))


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (lambda: None, "must return mica.kind"),
        (lambda: ["jwk"], "must return mica.kind"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_registration_that_offers_no_kinds_is_refused(offered: Callable[[], Any], message: str) -> None:
    def register_stores() -> Any:
        return offered()

    registry = hooks.Hooks()
    registry.register("odd", module(register_stores=hookimpl(register_stores)))
    with pytest.raises(ConfigError, match=message):
        list(registry.kinds("register_stores"))


def test_a_plugin_that_is_not_installed_is_named() -> None:
    modules, faults = hooks.load(["jwk", "nonesuch"])
    assert list(modules) == ["jwk"]
    assert "nonesuch" in faults[0]
    assert "installed: " in faults[0]


async def _ask(ca: TestCA, policy: Any) -> None:
    authority: Authority = ca.authority({"policy": module(refuse_x509=hookimpl(policy))})
    await authority.start()
    try:
        await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    finally:
        await authority.aclose()


async def test_a_policy_that_has_no_objection_lets_the_certificate_pass(ca: TestCA) -> None:
    def refuse_x509(request: SignRequest, tbs: Any, grant: Any) -> str | None:
        assert [name.value for name in tbs.names] == ["svc.example"]
        assert grant.subject == "svc.example"
        return None

    await _ask(ca, refuse_x509)


async def test_a_policy_that_objects_refuses(ca: TestCA) -> None:
    def refuse_x509(tbs: Any) -> str | None:
        return "not on a Monday"

    with pytest.raises(Refused, match="not on a Monday"):
        await _ask(ca, refuse_x509)


@pytest.mark.parametrize("answer", ["", True, False, 0, [], b"no", object()])
async def test_an_answer_that_is_neither_none_nor_text_refuses(ca: TestCA, answer: object) -> None:
    def refuse_x509(tbs: Any) -> Any:
        return answer

    with pytest.raises(Refused):
        await _ask(ca, refuse_x509)


async def test_a_policy_that_crashes_refuses(ca: TestCA, caplog: pytest.LogCaptureFixture) -> None:
    def refuse_x509(tbs: Any) -> str | None:
        raise RuntimeError("oops")

    with pytest.raises(Refused, match="policy policy failed"):
        await _ask(ca, refuse_x509)
    assert "plugin policy failed in refuse_x509" in caplog.text


async def test_a_policy_that_hangs_refuses(ca: TestCA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_x509(tbs: Any) -> str | None:
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(hooks, "DEADLINE", 0.05)
    with pytest.raises(Refused, match="policy policy failed"):
        await _ask(ca, refuse_x509)


async def test_an_asynchronous_policy_is_awaited(ca: TestCA) -> None:
    async def refuse_x509(tbs: Any) -> str | None:
        await asyncio.sleep(0)
        return "no"

    with pytest.raises(Refused, match="no"):
        await _ask(ca, refuse_x509)


async def test_a_listener_hears_after_the_record_and_its_crash_harms_nobody(ca: TestCA) -> None:
    heard = []

    def notify(event: Any) -> None:
        heard.append(type(event).__name__)
        raise RuntimeError("deaf")

    authority = ca.authority({"listener": module(notify=hookimpl(notify))})
    await authority.start()
    await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    with pytest.raises(Refused):
        await sign_token(authority, SignRequest(csr=csr("evil.example")), ca.token("svc.example"))
    await authority.aclose()
    assert heard == ["Issued", "Denied"]
