"""``mica ca policy test`` and ``mica ca policy ask``: what the policy of ca.toml says, without issuing anything."""

from typing import TYPE_CHECKING, Any

import click

from mica.cli.kit import CLIError, FileProblem, ca_config, options, printable, product, read_input, report, wants_json

if TYPE_CHECKING:
    from pathlib import Path

    from mica_policy.cases import Case, Outcome

_KINDS = ("x509", "ssh user", "ssh host")


@click.command(
    epilog=options.examples("mica ca policy test cases.toml", "mica ca policy test cases.toml --json"),
)
@click.argument("file", metavar="FILE", type=options.File(readable=False))
@ca_config
@options.json_output
def test(file: "Path", ca_config: "Path | None") -> int:
    """Hold the cases in FILE against the policy of ca.toml; 1 when one comes out otherwise than it says.

    FILE is TOML, or - for stdin, with tables [[cases]]: kind ("x509", "ssh user", "ssh host"), provisioner,
    common_name, names or principals, renewal, and what is expected: "allow" or "deny", with a part of the reason.
    Neither keys nor passwords are needed, and the rules are judged in shadow mode too.
    """
    from mica_policy.cases import read_cases

    place = "stdin" if str(file) == "-" else str(file)
    cases = read_cases(read_input(file), place)
    outcomes = _outcomes(cases, ca_config, place)
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    if wants_json():
        report({"passed": not wrong, "cases": [outcome.described for outcome in outcomes]})
    else:
        for outcome in outcomes:
            for line in outcome.lines:
                product(printable(line))
        product(f"{len(outcomes) - len(wrong)} of {len(outcomes)} cases are as expected")
    return 1 if wrong else 0


@click.command(
    epilog=options.examples(
        "mica ca policy ask svc.example 10.0.0.1",
        "mica ca policy ask --kind 'ssh user' --provisioner admin alice alice@harbour.example",
    ),
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--kind", type=click.Choice(_KINDS), metavar="KIND", default="x509", help="x509, ssh user or ssh host [x509]."
)
@click.option("--common-name", metavar="TEXT", default="", help="Common name of the X.509 certificate.")
@click.option("--renewal", is_flag=True, help="Ask about the renewal of such a certificate.")
@options.provisioner_name
@ca_config
@options.json_output
def ask(names: tuple[str, ...], ca_config: "Path | None", **flags: Any) -> int:
    """Tell whether the policy of ca.toml lets a certificate carry these NAMEs; 1 when it does not.

    For SSH they are its principals. In shadow mode it is told what would be refused.
    """
    from mica_policy.cases import Case

    is_x509 = flags["kind"] == "x509"
    case = Case(
        kind=flags["kind"],
        provisioner=flags["provisioner"],
        common_name=flags["common_name"],
        names=names if is_x509 else (),
        principals=() if is_x509 else names,
        renewal=flags["renewal"],
        expected="allow",
    )
    (outcome,) = _outcomes((case,), ca_config, "NAME")
    if wants_json():
        report(outcome.answer)
    else:
        for line in outcome.answer_lines:
            product(printable(line))
    return 0 if outcome.as_expected else 1


def _outcomes(cases: "tuple[Case, ...]", ca_config: "Path | None", place: str) -> "list[Outcome]":
    """What becomes of each case; raises CLIError when ca.toml or a case cannot be used."""
    from mica.cli.kit import read_extension
    from mica_policy import plugin
    from mica_policy.cases import judge

    found = read_extension(ca_config, "policy", plugin)
    if not found.enabled:
        raise FileProblem(
            f"{found.path}: the plugin policy is not enabled, and none of its rules is in force",
            hint='add "policy" to plugins',
        )
    strangers = sorted({case.provisioner for case in cases if case.provisioner} - set(found.provisioners))
    if strangers:
        known = ", ".join(found.provisioners) or "none"
        raise CLIError(f"{place}: {found.path} has no provisioner {strangers[0]!r}", hint=f"provisioners: {known}")
    return [judge(found.extension, case) for case in cases]
