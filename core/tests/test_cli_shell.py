"""The ``mica`` command as its users meet it: real processes, and a real distribution that brings commands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = '''
import json
import click
from mica.cli import errors, options
from mica.cli.kit import ask_text, chosen, product, report, say
from mica.errors import ConfigError, MalformedRequest


@click.command()
@options.connection
@options.validity
@options.token
@options.key
@options.provisioner
@options.force
@options.insecure
@options.json_output
@options.password_file("Password of the key")
@click.option("--san", multiple=True)
@click.option("--mtls/--no-mtls", default=True)
@click.option("--origin", cls=options.CommandLineOnly)
@click.argument("names", nargs=-1)
def show(**values):
    """Show what arrived."""
    say("said")
    product(json.dumps(values, default=str))


@click.command()
@options.json_output
@click.argument("how")
def fail(how):
    """Fail as told."""
    if how == "told":
        raise errors.RefusedByCA("the CA said\\x1b[31m no", hint="ask again", request_id="r1")
    if how == "code":
        return 7
    if how == "interrupt":
        raise KeyboardInterrupt
    raise {
        "usage": errors.Usage("no"), "unreachable": errors.Unreachable("no"), "refused": errors.RefusedByCA("no"),
        "file": errors.FileProblem("no"), "prompt": errors.PromptNeeded("no"), "cancelled": errors.Cancelled("no"),
        "mica": MalformedRequest("no"), "config": ConfigError(["a: no", "b: no"]), "bug": KeyError("no"),
        "os": PermissionError(13, "Permission denied", "x.key"), "recursion": RecursionError(), "memory": MemoryError(),
    }[how]


@click.command()
def much():
    """Write much."""
    for _ in range(100000):
        product("a line that nobody reads")
'''


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., Path]:
    """Makes an installed distribution with the given commands, and says where."""

    def bring(distribution: str, *entry_points: str, where: str = "site", module: str = "demo") -> Path:
        site = tmp_path / where
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        lines = [
            "[console_scripts]",
            "x = y:z",
            "",
            "[mica.commands]",
            "# a comment",
            *entry_points,
            "",
            "[other]",
            "a = b:c",
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (site / f"{module}.py").write_text(COMMANDS)
        return site

    return bring


@pytest.fixture
def demo(bring: Callable[..., Path]) -> Path:
    return bring("demo", "demo.show = demo:show", "demo.fail=demo:fail", "demo.deep.much = demo:much")


@pytest.fixture
def mica(tmp_path: Path, demo: Path) -> Run:
    """Runs ``mica`` in an empty MICAPATH, with the commands of the distribution ``demo`` installed."""

    def mica(*args: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "NO_COLOR"))}
        environment = {**clean, "MICAPATH": str(tmp_path / "mica"), "PYTHONPATH": str(demo), **(env or {})}
        return subprocess.run(
            [sys.executable, "-m", "mica.cli", *args],
            env=environment, capture_output=True, text=True, check=False, timeout=60, **options,
        )  # fmt: skip

    return mica


def values(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for arguments in (["--help"], ["ca", "--help"], ["help", "ca", "provisioner"], ["version"]):
        result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        loaded = {name.partition(".")[0] for name in result.stderr.split()} | set(result.stderr.split())
        heavy = {
            "cryptography",
            "asyncio",
            "pluggy",
            "importlib.metadata",
            "rich",
            "cattrs",
            "jwt",
            "ssl",
            "json",
            "tomllib",
        }
        assert not loaded & heavy, arguments


def test_help_lists_groups_and_commands_on_stdout(mica: Run) -> None:
    result = mica("--help")
    assert result.returncode == 0
    assert not result.stderr
    for line in ("  ca  *Run a certificate authority", "  version  *Print the version", "  demo"):
        assert re.search(line, result.stdout)


def test_help_of_a_command_is_reached_both_ways(mica: Run) -> None:
    asked, flag, short = mica("help", "demo", "show"), mica("demo", "show", "--help"), mica("demo", "show", "-h")
    assert asked.stdout == flag.stdout == short.stdout
    assert "Usage: mica demo show [OPTIONS] [NAMES]..." in asked.stdout
    assert "--non-interactive" in asked.stdout


def test_help_of_a_group_shows_a_plugins_commands_with_their_first_line(mica: Run) -> None:
    assert "  show  Show what arrived." in mica("demo", "--help").stdout


def test_help_of_a_group_runs_no_module_of_a_plugin(mica: Run, demo: Path) -> None:
    (demo / "demo.py").write_text(COMMANDS + "\nprint('run')\n")
    assert mica("demo", "fail", "code").stdout == "run\n"
    shown = mica("demo", "--help").stdout
    assert "  show  Show what arrived." in shown and "run" not in shown


def test_help_of_a_group_runs_the_module_of_a_command_that_is_no_function_with_a_docstring(
    mica: Run, demo: Path
) -> None:
    (demo / "demo.py").write_text("import click\nshow = fail = much = click.Command('x', help='Made at once. More.')\n")
    assert "  show  Made at once." in mica("demo", "--help").stdout


def test_help_on_nothing_is_a_usage_error(mica: Run) -> None:
    result = mica("help", "ca", "nothing")
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no command 'ca nothing'" in result.stderr


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version_is_one_line(mica: Run, arguments: list[str]) -> None:
    from mica import __version__

    assert mica(*arguments).stdout == f"mica {__version__}\n"


def test_an_unknown_command_suggests_the_nearest(mica: Run) -> None:
    result = mica("ca", "sing")
    assert result.returncode == 2
    assert result.stderr == "error: there is no command 'ca sing'; did you mean 'ca sign'?\nhint: mica ca --help\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "show", "--nothing"], "error: no such option '--nothing'"),
        (["demo", "show", "--kty", "DSA"], "error: invalid value for '--kty': 'DSA' is not one of"),
        (["demo", "show", "--not-after", "24"], "'24' is neither an RFC 3339 time nor a duration such as 24h"),
        (["demo", "show", "--not-after", "2031-13-01T00:00:00Z"], "is neither an RFC 3339 time nor a duration"),
        (["demo", "show", "--ca-url", "http://ca.example"], "a CA is reached by https only"),
        (["demo", "show", "--ca-url", "https://ca.example:port"], "is not a URL such as https://ca.example:8443"),
        (["demo", "fail"], "error: missing argument 'HOW'\nhint: mica demo fail --help\n"),
        (["demo", "show", "--mtls=perhaps"], "error: invalid value 'perhaps' for flag '--mtls': true or false"),
    ],
)
def test_a_usage_error_is_told_in_two_lines_on_stderr_and_exits_2(
    mica: Run, arguments: list[str], message: str
) -> None:
    result = mica(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("usage", 2), ("unreachable", 3), ("refused", 4), ("file", 5), ("os", 5), ("prompt", 6), ("cancelled", 6),
        ("interrupt", 6), ("mica", 1), ("config", 5), ("bug", 1), ("recursion", 1), ("memory", 1), ("code", 7),
    ],
)  # fmt: skip
def test_every_failure_has_its_exit_code_and_no_stack_trace(mica: Run, how: str, code: int) -> None:
    result = mica("demo", "fail", how)
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    assert how == "code" or "error: " in result.stderr


def test_an_error_has_a_hint_and_a_request_id_and_no_control_characters(mica: Run) -> None:
    result = mica("demo", "fail", "told")
    assert result.stderr == "error: the CA said\\x1b[31m no\nhint: ask again\nrequest id: r1\n"


def test_errors_are_json_when_json_is_asked_for(mica: Run) -> None:
    told = json.loads(mica("demo", "fail", "told", "--json").stderr)["error"]
    assert told == {"code": "refused", "message": "the CA said\x1b[31m no", "hint": "ask again", "request_id": "r1"}
    assert json.loads(mica("demo", "fail", "--json", "--nothing").stderr)["error"]["code"] == "usage"


def test_micadebug_shows_the_stack_trace(mica: Run) -> None:
    assert "Traceback" in mica("demo", "fail", "bug", env={"MICADEBUG": "1"}).stderr


def test_stdout_carries_the_product_alone(mica: Run) -> None:
    result = mica("demo", "show")
    json.loads(result.stdout)
    assert result.stderr == "said\n"


def test_a_flag_beats_the_environment_which_beats_the_defaults(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "mica").mkdir()
    (tmp_path / "mica" / "defaults.json").write_text('{"issuer": "file", "ca-url": "file.example", "size": 3072}')
    environment = {"MICA_PROVISIONER": "env"}
    assert values(mica("demo", "show", "--issuer", "flag", env=environment))["provisioner"] == "flag"
    assert values(mica("demo", "show", env=environment))["provisioner"] == "env"
    assert values(mica("demo", "show", env={"MICA_ISSUER": "alias"}))["provisioner"] == "alias"
    by_default = values(mica("demo", "show"))
    assert (by_default["provisioner"], by_default["size"]) == ("file", 3072)
    assert by_default["ca_url"] == "https://file.example"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--provisioner", "a", "--issuer", "b"], "'--provisioner' and '--issuer'"),
        (["--issuer=b", "--provisioner=a"], "'--provisioner' and '--issuer'"),
        (["--curve", "P-256", "x", "--crv", "P-256"], "'--curve' and '--crv'"),
        (["--force", "-f"], "'--force' and '-f'"),
    ],
)
def test_both_names_of_one_flag_are_a_wrong_command_line(mica: Run, arguments: list[str], names: str) -> None:
    result = mica("demo", "show", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {names} are two names of one flag")


def test_a_value_that_looks_like_a_flag_is_no_second_name(mica: Run) -> None:
    assert values(mica("demo", "show", "--provisioner", "a", "--token", "--issuer"))["token"] == "--issuer"
    assert values(mica("demo", "show", "--provisioner", "a", "--", "--issuer"))["names"] == ["--issuer"]


def test_a_bad_value_is_told_by_its_variable(mica: Run) -> None:
    for variable, value in (("MICA_CRV", "P-1"), ("MICA_NOT_AFTER", "soon"), ("MICA_FORCE", "perhaps")):
        result = mica("demo", "show", env={variable: value})
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"error: {variable}: invalid value for '--")
        assert result.stderr.endswith("hint: mica demo show --help\n")
    result = mica("version", env={"MICA_NON_INTERACTIVE": "perhaps"})
    assert result.stderr.startswith("error: MICA_NON_INTERACTIVE: ")


def test_a_bad_value_is_told_by_its_file(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "mica").mkdir()
    (tmp_path / "mica" / "defaults.json").write_text('{"size": "many"}')
    result = mica("demo", "show")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"error: {tmp_path}/mica/defaults.json: invalid value for '--size'")
    assert mica("demo", "show", "--size", "nothing").returncode == 2
    assert values(mica("demo", "show", "--size", "2048"))["size"] == 2048


def test_booleans_in_the_environment_are_read_as_such(mica: Run) -> None:
    for value, meant in (("0", False), ("false", False), ("1", True), ("true", True), ("", False)):
        assert values(mica("demo", "show", env={"MICA_FORCE": value}))["force"] is meant


def test_config_names_another_file_of_defaults(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"token": "t", "force": true, "san": ["a", "b"]}')
    found = values(mica("--config", str(tmp_path / "other.json"), "demo", "show"))
    assert (found["token"], found["force"], found["san"]) == ("t", True, ["a", "b"])
    assert mica("--config", "missing.json", "demo", "show").returncode == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"token": {}}',
        '{"token": null}',
        '{"token": ["a"]}',
        '{"token": true}',
        "[" * 100_000,
        '{"a":\x00}',
    ],
)
def test_defaults_that_cannot_be_used_are_a_file_problem(mica: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "mica").mkdir()
    (tmp_path / "mica" / "defaults.json").write_text(text)
    result = mica("demo", "show")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"error: {tmp_path}/mica/defaults.json: ")


def test_a_repeatable_flag_is_split_at_commas_in_the_environment_only(mica: Run) -> None:
    assert values(mica("demo", "show", env={"MICA_SAN": "a.example, b.example"}))["san"] == ["a.example", "b.example"]
    assert values(mica("demo", "show", "--san", "a,b", "--san", "c"))["san"] == ["a,b", "c"]
    assert values(mica("demo", "show", "--san", "c", env={"MICA_SAN": "a,b"}))["san"] == ["c"]


def test_a_flag_for_the_command_line_only_ignores_the_environment(mica: Run) -> None:
    assert values(mica("demo", "show", env={"MICA_ORIGIN": "x"}))["origin"] is None
    assert values(mica("demo", "show", "--origin", "x"))["origin"] == "x"


def test_booleans_can_be_switched_off_and_on_by_value(mica: Run) -> None:
    assert values(mica("demo", "show", "--mtls=false"))["mtls"] is False
    assert values(mica("demo", "show", "--mtls=true"))["mtls"] is True
    assert values(mica("demo", "show", "--force=false", env={"MICA_FORCE": "true"}))["force"] is False
    assert values(mica("demo", "show", env={"MICA_MTLS": "false"}))["mtls"] is False
    assert values(mica("demo", "show", "--", "--mtls=false"))["names"] == ["--mtls=false"]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ca.example", "https://ca.example"),
        ("https://ca.example:8443/1.0/sign?x", "https://ca.example:8443"),
        ("localhost:8443", "https://localhost:8443"),
        ("::1", "https://[::1]"),
        ("[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_the_address_of_a_ca_is_completed(mica: Run, given: str, url: str) -> None:
    assert values(mica("demo", "show", "--ca-url", given))["ca_url"] == url


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_needs_no_defaults(mica: Run, tmp_path: Path, flag: str) -> None:
    (tmp_path / "mica").mkdir()
    (tmp_path / "mica" / "defaults.json").write_text("no JSON")
    assert mica("demo", "show", "--force").returncode == 5
    assert "Show what arrived." in mica("demo", "show", "--force", flag).stdout


def test_a_value_that_looks_like_a_question_for_help_is_a_value(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "mica").mkdir()
    (tmp_path / "mica" / "defaults.json").write_text('{"provisioner": "admin"}')
    assert values(mica("demo", "show", "--token", "--help"))["provisioner"] == "admin"


def test_a_reader_that_goes_away_is_no_error(mica: Run, demo: Path) -> None:
    command = f"{sys.executable} -m mica.cli demo deep much | head -1"
    result = subprocess.run(
        ["sh", "-c", command], env={**os.environ, "PYTHONPATH": str(demo)}, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("a line that nobody reads\n", "")


def test_a_full_disk_behind_stdout_is_a_file_problem(demo: Path) -> None:
    result = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m mica.cli version >/dev/full"], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (5, "error: stdout: cannot be written: no space left on device\n")


def test_a_closed_stdout_is_a_file_problem() -> None:
    result = subprocess.run(["sh", "-c", f"{sys.executable} -m mica.cli version >&-"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (5, "error: stdout is closed, and this command writes there\n")


def test_a_locale_without_our_letters_is_no_error(mica: Run) -> None:
    result = mica("demo", "show", "--token", "✔", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert result.returncode == 0


def test_a_command_of_a_plugin_may_not_shadow_one_of_core(mica: Run, bring: Callable[..., Path]) -> None:
    place = bring("evil_one", "ca.sign = demo:show", where="evil")
    result = mica("demo", "show", env={"PYTHONPATH": str(place)})
    assert result.returncode == 1
    assert "the command 'ca sign' of evil-one collides with 'ca sign' of mica" in result.stderr
    assert "hint: uninstall evil-one" in result.stderr


def test_two_plugins_may_not_bring_one_command(mica: Run, demo: Path, bring: Callable[..., Path]) -> None:
    place = bring("another", "demo.show.more = demo:show", where="evil")
    result = mica("demo", "show", env={"PYTHONPATH": f"{demo}:{place}"})
    assert "the command 'demo show more' of another collides with 'demo show' of demo" in result.stderr
    assert "hint: uninstall another or demo" in result.stderr


def test_a_command_that_cannot_be_loaded_names_its_distribution(mica: Run, bring: Callable[..., Path]) -> None:
    place = bring("broken", "broken.a = nothing:here", "broken.b = demo:nothing", "broken.c = demo:json", where="b")
    for name in "abc":
        result = mica("broken", name, env={"PYTHONPATH": str(place)})
        assert result.returncode == 1
        assert f"the command 'broken {name}' of broken cannot be loaded" in result.stderr
    shown = mica("broken", "--help", env={"PYTHONPATH": str(place)})
    assert shown.returncode == 0 and "(the command 'broken a' of broken cannot be" in shown.stdout


def test_entry_points_that_are_no_commands_are_refused(mica: Run, bring: Callable[..., Path]) -> None:
    place = bring("odd", "Not A Name = demo:show", where="odd")
    assert "odd: 'Not A Name = demo:show' is not a command" in mica("demo", env={"PYTHONPATH": str(place)}).stderr


def test_commands_of_core_are_found_without_a_search_for_plugins(mica: Run, bring: Callable[..., Path]) -> None:
    place = bring("evil", "version = demo:show", where="evil")
    assert mica("version", env={"PYTHONPATH": str(place)}).returncode == 0
    assert mica("ca", "health", "--help", env={"PYTHONPATH": str(place)}).returncode == 0


def test_the_shell_completes_commands(mica: Run) -> None:
    result = mica("", env={"_MICA_COMPLETE": "bash_complete", "COMP_WORDS": "mica ca pro", "COMP_CWORD": "2"})
    assert result.stdout == "plain,provisioner\n"


def test_the_kit_for_authors_of_commands_has_all_that_it_lists_and_imports_cryptography_late() -> None:
    program = (
        "import sys; from mica.cli import kit; assert 'cryptography' not in sys.modules\n"
        "print(*[name for name in kit.__all__ if getattr(kit, name, None) is None])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "\n"
