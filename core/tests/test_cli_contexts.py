"""Several CAs on one machine: contexts are listed, chosen, removed, and decide which files and defaults count."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pexpect
import pytest
from core.tests.cli_ca.conftest import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that knows two CAs, ``prod`` and ``staging``; none is current."""
    made = Machine(tmp_path, tmp_path / "home")
    for name in ("prod", "staging"):
        authority = made.home / "contexts" / "authorities" / f"{name}.example"
        (authority / "certs").mkdir(parents=True)
        defaults(authority, {"ca-url": f"https://{name}.example:1", "root": str(tmp_path / f"{name}.crt")})
        (made.home / "contexts" / "profiles" / name).mkdir(parents=True)
    record(made, {name: {"authority": f"{name}.example", "profile": name} for name in ("staging", "prod")})
    return made


def record(machine: Machine, contexts: object) -> None:
    (machine.home / "contexts" / "contexts.json").write_text(json.dumps(contexts))


def defaults(folder: Path, said: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "defaults.json").write_text(json.dumps(said))


def missing_root(machine: Machine, *arguments: str) -> str:
    """Which root a command would trust; there is none, and it says so."""
    ran = machine.mica("ca", "health", *arguments, code=5)
    return ran.err.partition("error: ")[2].partition(": ")[0].rpartition("/")[2]


def test_the_current_context_is_listed_first_and_marked(machine: Machine) -> None:
    assert machine.mica("context", "list").out == "prod\nstaging\n"
    assert machine.mica("context", "select", "staging").err == "✔ Context: staging\n"
    assert machine.mica("context", "list").out == "▶ staging\nprod\n"
    listed = json.loads(machine.mica("context", "list", "--json").out)["contexts"]
    assert listed[0] == {"name": "staging", "authority": "staging.example", "profile": "staging", "current": True}
    assert [entry["current"] for entry in listed] == [True, False]


def test_no_contexts_are_told_on_stderr(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path / "home")
    ran = machine.mica("context", "list")
    assert (ran.out, ran.err.startswith("There are no contexts in ")) == ("", True)
    assert json.loads(machine.mica("context", "list", "--json").out) == {"contexts": []}
    assert "no context is current" in machine.mica("context", "current", code=1).err
    assert "there are no contexts" in machine.mica("context", "select", code=1).err
    assert "there is no context 'x'" in machine.mica("context", "select", "x", code=2).err
    machine.mica("context", "select", "--none")
    assert not machine.home.exists()


def test_the_current_context_is_told(machine: Machine) -> None:
    machine.mica("context", "select", "prod")
    assert machine.mica("context", "current").out == "prod\n"
    told = json.loads(machine.mica("context", "current", "--json").out)
    assert told == {"name": "prod", "authority": "prod.example", "profile": "prod"}


def test_a_flag_beats_the_environment_which_beats_the_current_context(machine: Machine) -> None:
    machine.mica("context", "select", "prod")
    assert missing_root(machine) == "prod.crt"
    machine.environment["MICA_CONTEXT"] = "staging"
    assert missing_root(machine) == "staging.crt"
    for flag in (["--context", "prod"], ["--context=prod"]):
        assert missing_root(machine, *flag) == "prod.crt"
    before = machine.mica("--context", "prod", "ca", "health", code=5)
    assert "prod.crt" in before.err
    assert "staging.crt" in machine.mica("--context", "prod", "ca", "health", "--context", "staging", code=5).err


def test_the_profiles_defaults_beat_those_of_the_authority(machine: Machine) -> None:
    contexts = machine.home / "contexts"
    defaults(contexts / "profiles" / "prod", {"root": "of-the-profile.crt"})
    assert missing_root(machine, "--context", "prod") == "of-the-profile.crt"
    machine.environment["MICA_ROOT"] = "of-the-environment.crt"
    assert missing_root(machine, "--context", "prod") == "of-the-environment.crt"
    assert missing_root(machine, "--context", "prod", "--root", "of-the-flag.crt") == "of-the-flag.crt"


def test_another_name_of_a_flag_in_the_profile_beats_its_first_name_in_the_authority(machine: Machine) -> None:
    contexts = machine.home / "contexts"
    defaults(contexts / "authorities" / "prod.example", {"curve": "P-384", "kty": "EC"})
    defaults(contexts / "profiles" / "prod", {"crv": "no-curve"})
    ran = machine.mica("ca", "certificate", "a", "a.crt", "a.key", "--context", "prod", code=5)
    assert ran.err.startswith(f"error: {contexts}/profiles/prod/defaults.json: invalid value for '--curve'")


def test_a_file_of_defaults_cannot_choose_a_context(machine: Machine) -> None:
    for key in ("context", "authority", "profile"):
        defaults(machine.home / "contexts" / "profiles" / "prod", {key: "prod"})
        ran = machine.mica("ca", "health", "--context", "prod", code=5)
        assert f"'{key}' cannot be a default" in ran.err


def test_path_tells_where_the_files_are(machine: Machine) -> None:
    contexts = machine.home / "contexts"
    assert machine.mica("path", "--base").out == f"{machine.home}\n"
    assert machine.mica("path", "--context", "prod").out == f"{contexts}/authorities/prod.example\n"
    assert machine.mica("path", "--profile", "--context", "prod").out == f"{contexts}/profiles/prod\n"
    machine.mica("context", "select", "staging")
    assert machine.mica("path").out == f"{contexts}/authorities/staging.example\n"
    machine.mica("path", "--base", "--profile", code=2)


def test_without_contexts_everything_is_in_one_folder(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path / "home")
    assert machine.mica("path").out == machine.mica("path", "--base").out == f"{machine.home}\n"
    assert "only contexts have profiles" in machine.mica("path", "--profile", code=1).err
    machine.environment["MICA_CONTEXT"] = "prod"
    assert "there is no context 'prod'" in machine.mica("path", code=2).err


def test_the_plain_layout_counts_when_no_context_is_current(machine: Machine) -> None:
    defaults(machine.home, {"ca-url": "https://plain.example", "root": "plain.crt"})
    assert missing_root(machine) == "plain.crt"
    machine.mica("context", "select", "prod")
    assert missing_root(machine) == "prod.crt"
    machine.mica("context", "select", "--none")
    assert missing_root(machine) == "plain.crt"


def test_without_a_terminal_a_command_that_needs_a_ca_asks_for_the_flag(machine: Machine) -> None:
    ran = machine.mica("ca", "health", code=6)
    assert "hint: answer it with --context; one of prod, staging" in ran.err
    assert "--context" in machine.mica("ca", "serve", code=6).err


def test_what_needs_no_ca_asks_for_no_context(machine: Machine) -> None:
    machine.openssl("genpkey", "-algorithm", "ED25519", "-out", "x.key")
    machine.openssl("req", "-new", "-key", "x.key", "-subj", "/CN=x", "-out", "x.csr")
    assert "PRIVATE KEY" in machine.path("x.key").read_text()
    machine.mica("certificate", "inspect", "x.csr")
    machine.mica("ca", "health", "--ca-url", "https://127.0.0.1:1", "--root", "none.crt", code=5)


def test_a_menu_asks_which_context_is_meant(machine: Machine) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    child = pexpect.spawn(
        sys.executable, ["-m", "mica.cli", "ca", "health"], encoding="utf-8", timeout=30,
        env={**plain, "MICAPATH": str(machine.home), "TERM": "dumb", "NO_COLOR": "1"},
    )  # fmt: skip
    child.expect("Which context would you like to use")
    child.sendline("2")
    child.expect("✔ Context: staging")
    child.expect("mica context select staging makes it the current one")
    child.expect("staging.crt: there is no such file")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5
    assert not (machine.home / "contexts" / "current-context.json").exists()


def test_a_removed_context_takes_its_folders_along(machine: Machine) -> None:
    record(
        machine,
        {
            "prod": {"authority": "prod.example", "profile": "prod"},
            "prod-as-admin": {"authority": "prod.example", "profile": "admin"},
        },
    )
    contexts = machine.home / "contexts"
    defaults(contexts / "profiles" / "admin", {})
    ran = machine.mica("context", "remove", "prod-as-admin", code=6)
    assert f"To be removed: {contexts}/profiles/admin\n" in ran.err
    assert "prod.example" not in ran.err
    assert "--force" in ran.err
    assert machine.mica("context", "list").out == "prod\nprod-as-admin\n"
    machine.mica("context", "remove", "prod-as-admin", "--force")
    assert not (contexts / "profiles" / "admin").exists()
    assert (contexts / "authorities" / "prod.example").exists()
    machine.mica("context", "remove", "prod", "--force")
    assert not (contexts / "authorities" / "prod.example").exists()
    assert (contexts / "authorities" / "staging.example").exists()
    assert machine.mica("context", "list").out == ""


def test_the_current_context_is_not_removed(machine: Machine) -> None:
    machine.mica("context", "select", "prod")
    ran = machine.mica("context", "remove", "prod", "--force", code=1)
    assert "'prod' is the current context, and stays" in ran.err
    assert (machine.home / "contexts" / "authorities" / "prod.example").exists()
    machine.mica("context", "remove", "nothing", "--force", code=2)


def test_removing_warns_of_the_keys_of_a_ca(machine: Machine) -> None:
    secrets = machine.home / "contexts" / "authorities" / "prod.example" / "secrets"
    secrets.mkdir()
    (secrets / "root_ca_key").touch()
    assert f"The keys of a CA are in {secrets}." in machine.mica("context", "remove", "prod", code=6).err


def test_removing_follows_no_link(machine: Machine) -> None:
    elsewhere = machine.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (machine.home / "contexts" / "authorities" / "linked").symlink_to(elsewhere)
    record(machine, {"linked": {"authority": "linked", "profile": "linked"}})
    machine.mica("context", "remove", "linked", "--force")
    assert (elsewhere / "precious").exists()
    assert not (machine.home / "contexts" / "authorities" / "linked").is_symlink()


@pytest.mark.parametrize("name", ["..", ".", "../x", "a/b", "a\\b", "a b", "a\nb", "\x1b[31m", "", "-x", "é" * 100])
def test_a_name_that_could_lead_elsewhere_is_refused(machine: Machine, name: str) -> None:
    for entry in (
        {name: {"authority": "a", "profile": "a"}},
        {"a": {"authority": name, "profile": "a"}},
        {"a": {"authority": "a", "profile": name}},
    ):
        record(machine, entry)
        ran = machine.mica("path", "--context", "a", code=5)
        assert "cannot be the name of a" in ran.err
        assert "\x1b" not in ran.err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {}}', '{"a": {"authority": 1, "profile": "x"}}'])
def test_contexts_that_cannot_be_read_are_a_file_problem(machine: Machine, text: str) -> None:
    place = machine.home / "contexts" / "contexts.json"
    place.write_text(text)
    for command in (["context", "list"], ["path"], ["ca", "health"], ["context", "select", "prod"]):
        assert machine.mica(*command, code=5).err.startswith(f"error: {place}: ")
    machine.mica("version")


def test_a_current_context_that_is_gone_is_told_with_the_remedy(machine: Machine) -> None:
    place = machine.home / "contexts" / "current-context.json"
    place.write_text('{"context": "gone"}')
    ran = machine.mica("ca", "health", code=5)
    assert ran.err.startswith(f"error: {place}: there is no context 'gone'")
    assert "mica context select" in ran.err
    machine.mica("context", "select", "prod")
    assert missing_root(machine) == "prod.crt"


def test_contexts_that_are_removed_at_once_do_not_return(machine: Machine) -> None:
    names = [f"c{number}" for number in range(8)]
    record(machine, {name: {"authority": name, "profile": name} for name in [*names, "kept"]})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: machine.mica("context", "remove", name, "--force"), names))
    assert machine.mica("context", "list").out == "kept\n"


def test_a_machine_without_contexts_pays_nothing_for_them(tmp_path: Path) -> None:
    program = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", program, "ca", "provisioner", "list"],
        env={**os.environ, "MICAPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "mica.cli.paths" in ran.stderr.split()
    assert "mica.cli.contexts" not in ran.stderr.split()
