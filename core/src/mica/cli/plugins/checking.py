"""``mica plugin check``."""

from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.kit import CLIError, printable, product, progress, report, wants_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mica.cli.plugins.statics import Finding
    from mica.cli.plugins.suites import Ran, Suite


@click.command(epilog=options.examples("mica plugin check jwk --static"))
@click.argument("name")
@click.option("--static", is_flag=True, help="Do not run its suites: look at what is installed alone.")
@options.json_output
def check(name: str, static: bool) -> None:
    """Tell whether the installed plugin NAME is sound: its metadata, its hooks and settings, and its contracts.

    The suites of its contracts module are run, and every role and hook that it has must be proved by one. They need
    mica-ca[testing], and may take minutes.
    """
    from mica.cli.plugins import statics, suites  # import much

    plugin = statics.examine(name)
    findings = list(plugin.findings)
    ran = suites.Ran()
    if plugin.offer is not None:
        findings.append(_has_contracts(plugin.contracts, name))
        if plugin.contracts and not static:
            with progress(f"running the suites of {plugin.contracts}"):
                ran = suites.run(plugin.contracts)
            findings += suites.missing(plugin, ran.suites)
    faults = [f for f in findings if f.fault]
    failures = sum(len(suite.failures) for suite in ran.suites)
    sound = not faults and not failures and not ran.broken
    if wants_json():
        report(_members(name, sound, findings, ran))
    else:
        product("\n".join(printable(line) for line in _lines(findings, ran)))
    if not sound:
        raise CLIError(f"the plugin {name} is not sound: {_count(len(faults), failures, ran.broken)}")


def _has_contracts(module: str, name: str) -> "Finding":
    from mica.cli.plugins.statics import CONTRACTS, Finding

    remedy = f'[project.entry-points."{CONTRACTS}"] {name} = "mica_{name}.contracts", and install it again'
    fault = "" if module else f'it has no entry point "{name}" of the group {CONTRACTS}'
    return Finding(what="brings its contracts along", fault=fault, remedy=remedy)


def _lines(findings: "Iterable[Finding]", ran: "Ran") -> "Iterable[str]":
    for finding in findings:
        yield f"{'✘' if finding.fault else '✔'} {finding.what}"
        if finding.fault:
            yield f"    fault:  {finding.fault}"
            yield f"    remedy: {finding.remedy}"
    for suite in ran.suites:
        yield from _suite(suite)
    if ran.broken:
        yield "✘ the suites can be run"
        yield from (f"    {line}" for line in ran.broken.splitlines()[-20:])


def _suite(suite: "Suite") -> "Iterable[str]":
    made_of = f" ({suite.contracts[0]})" if suite.contracts else ""
    total = suite.passed + len(suite.failures)
    yield f"{'✘' if suite.failures else '✔'} {suite.name}{made_of}: {suite.passed} of {total} passed"
    for failure in suite.failures:
        yield f"    ✘ {failure.sentence}"
        yield from (f"        {line}" for line in failure.message.splitlines()[:8])
        yield f"        at {failure.place}"
    for untried in suite.untried:
        yield f"    - {untried.sentence}: not tried, {untried.reason}"


def _members(name: str, sound: bool, findings: "Iterable[Finding]", ran: "Ran") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "plugin": name,
        "sound": sound,
        "findings": [asdict(finding) | ({} if finding.fault else {"remedy": ""}) for finding in findings],
        "suites": [asdict(suite) for suite in ran.suites],
        "broken": ran.broken or None,
    }


def _count(faults: int, failures: int, broken: str) -> str:
    counted = [f"{faults} of what was looked at is wrong"] if faults else []
    counted += [f"{failures} tests failed"] if failures else []
    counted += ["its suites cannot be run"] if broken else []
    return ", ".join(counted)
