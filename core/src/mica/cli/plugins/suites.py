"""The suites in a plugin's contracts module: run by pytest in a process of their own, and compared with its roles."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mica.cli.plugins.inspection import answered_by, built_class
from mica.cli.plugins.statics import CONTRACTS, Examined, Finding

_PATIENCE = 1800
_SETTINGS = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
python_files = *.py
"""
#: The suites that a role must be in, each with any of these names, by the hook through which it is offered.
OF_ROLE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "register_stores": (("StoreContract",),),
    "register_key_backends": (("KeyBackendContract", "KeyCreatorContract"),),
    "register_x509_signers": (("X509SignerContract",),),
    "register_ssh_signers": (("SSHSignerContract",),),
}
OF_HOOK = {
    "refuse_x509": "PolicyContract",
    "refuse_ssh": "PolicyContract",
    "notify": "ListenerContract",
    "routes": "RoutesContract",
}
OF_ABILITY = {
    "authorize": ("TokenProvisionerContract", "ProvisionerLineContract"),
    "authorize_renewal": ("RenewalProvisionerContract",),
    "create": ("KeyCreatorContract",),
    "revocations": ("RevocationListContract",),
}
OF_CLIENT = "TokenSourceContract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One test that failed: its sentence, what it says, and where."""

    sentence: str
    message: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Untried:
    """One test that was left out, and why that is no fault."""

    sentence: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Suite:
    """One class of the contracts module."""

    name: str
    contracts: tuple[str, ...]
    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    untried: list[Untried] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What pytest found; ``broken`` is why it could not run."""

    suites: tuple[Suite, ...] = ()
    broken: str = ""


def run(module: str) -> Ran:
    """The suites of the contracts module have been run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        report.touch()
        (Path(folder) / "pytest.ini").write_text(_SETTINGS)
        options = [
            "-c",
            f"{folder}/pytest.ini",
            "--rootdir",
            folder,
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
        ]
        plugins = ["-p", "mica.testing", "-p", "mica.cli.plugins.suitereports"]
        command = [sys.executable, "-m", "pytest", "-q", *options, *plugins, "--pyargs", module]
        environment = os.environ | {"MICA_SUITE_REPORT": str(report), "HYPOTHESIS_STORAGE_DIRECTORY": folder}
        try:
            done = subprocess.run(  # noqa: S603 - this program, no shell
                command, capture_output=True, text=True, env=environment, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            return Ran(broken=f"the suites were not done after {_PATIENCE // 60} minutes")
        lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    broken = [str(line["message"]) for line in lines if line["event"] == "broken"]
    if not broken and done.returncode not in (0, 1):
        broken = [(done.stdout + done.stderr).strip() or f"pytest ended with {done.returncode}"]
    return Ran(suites=tuple(_suites(lines)), broken="\n".join(broken))


def required(plugin: Examined) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What the plugin offers, and the names of suites of which its contracts must have one."""
    kinds = plugin.offer.kinds if plugin.offer else {}
    for hook, found in kinds.items():
        for kind in found:
            for names in OF_ROLE.get(hook, ()):
                yield f"offers {kind.name}, through {hook}", names
            for ability in _abilities(hook, built_class(kind)):
                yield from ((f"offers {kind.name}, which can {ability}", (name,)) for name in OF_ABILITY[ability])
            for answered in answered_by(kind):
                yield f"answers {answered}", (OF_HOOK[answered],)
    for hook in plugin.offer.hooks if plugin.offer else ():
        yield f"answers {hook}", (OF_HOOK[hook],)
    for client in plugin.clients:
        yield f"makes tokens of the type {client}", (OF_CLIENT,)


def missing(plugin: Examined, suites: Iterable[Suite]) -> list[Finding]:
    """A finding for each role, ability and hook: whether a suite of the contracts proves it."""
    proved = {name for suite in suites for name in suite.contracts}
    findings = {
        (what, names): Finding(
            what=f"{names[0]} proves it, since it {what}",
            fault="" if proved.intersection(names) else f"it {what}, and its contracts have no {names[0]}",
            remedy=f"class Test…({names[0]}) in the module that the entry point of {CONTRACTS} names",
        )
        for what, names in required(plugin)
    }
    return list(findings.values())


def _abilities(hook: str, built: type[Any] | None) -> list[str]:
    """The optional abilities that the class has; where it cannot be told what is built, a provisioner takes tokens."""
    of_hook = {
        "register_provisioners": ("authorize", "authorize_renewal"),
        "register_key_backends": ("create",),
        "register_stores": ("revocations",),
    }.get(hook, ())
    if built is None:
        return [*of_hook[:1]] if hook == "register_provisioners" else []
    return [ability for ability in of_hook if hasattr(built, ability)]


def _suites(lines: Iterable[Mapping[str, Any]]) -> Iterator[Suite]:
    suites: dict[str, Suite] = {}
    for line in lines:
        if line["event"] == "suite":
            suites[line["name"]] = Suite(name=line["name"], contracts=tuple(line["suites"]))
        elif line["event"] == "test":
            parts = line["nodeid"].split("::")
            owner = parts[1] if len(parts) > 2 else parts[0]
            suite = suites.setdefault(owner, Suite(name=owner, contracts=()))
            if line["outcome"] == "passed":
                suite.passed += 1
            elif line["outcome"] == "untried":
                suite.untried.append(Untried(sentence=_sentence(parts[-1]), reason=str(line["message"])))
            else:
                suite.failures.append(_failure(parts[-1], line))
    yield from suites.values()


def _sentence(test: str) -> str:
    """A test's name is its sentence."""
    name, bracket, case = test.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" ({case.removesuffix(']')})" if bracket else "")


def _failure(test: str, line: Mapping[str, Any]) -> Failure:
    message = str(line["message"]).strip()
    if line["outcome"] == "skipped":
        message = f"it was skipped, and proves nothing: {message}"
    return Failure(sentence=_sentence(test), message=message, place=str(line["place"]))
