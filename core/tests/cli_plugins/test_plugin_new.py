"""``mica plugin new``: every kind of project is complete, passes the tools of others, and its own tests."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from core.tests.cli_plugins.distributions import install_recorded

from mica.authority import Authority
from mica.cli import main
from mica.cli.plugins import rendering
from mica.web import certificates, pages, provisioners

KINDS = ("provisioner", "store", "keys", "policy", "listener", "routes")
#: The shortest name and the longest: lines are broken alike.
NAMES = ("q", "door_badge", "abcdefghi_jklmnopqrs")


def mica(*arguments: str | Path, code: int = 0, site: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mica.cli", *map(str, arguments)]
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def new(tmp_path: Path, kind: str, name: str = "door_badge") -> Path:
    """The project."""
    mica("plugin", "new", name, "--kind", kind, "--directory", tmp_path / name)
    return tmp_path / name


def tool(project: Path, *arguments: str, site: Path | None = None) -> str:
    """What a Python tool says of the project, which it is content with."""
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {}) | {"RUFF_NO_CACHE": "true"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=project, capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(project: Path, site: Path) -> Path:
    """``site`` has the project as its wheel installs it, RECORD and all."""
    tool(project, "hatchling", "build", "-d", "dist", "-t", "wheel")
    (wheel,) = (project / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_project_of_any_name_is_well_formed(tmp_path: Path, kind: str, name: str) -> None:
    project = new(tmp_path, kind, name)
    tool(project, "ruff", "check", ".")
    tool(project, "ruff", "format", "--check", ".")
    left = [path for path, text in texts(project).items() if "NAME" in path or "${" in text.replace("${{", "")]
    assert left == []


def test_projects_of_all_kinds_have_types_and_pass_their_own_tests(tmp_path: Path) -> None:
    """One run for all, since most of it is spent on what they share; tests/strangers has their contracts run."""
    projects = [new(tmp_path, kind, f"our_{kind}") for kind in KINDS]
    settings = projects[0] / "pyproject.toml"
    folders = [f"{project.name}/tests" for project in projects]
    tool(tmp_path, "mypy", "--config-file", str(settings), *(f"{project.name}/src" for project in projects), *folders)
    for project in projects:
        built(project, tmp_path / "site")
    options = ("-c", str(settings), "--rootdir", str(tmp_path), "-p", "no:cacheprovider")
    said = tool(tmp_path, "pytest", "-v", *options, *folders, site=tmp_path / "site")
    assert [project.name for project in projects if f"test_{project.name}.py" not in said] == []


def test_the_same_name_makes_the_same_files(tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    done = mica("plugin", "new", "badge", "--kind", "store", "--directory", one, "--json")
    mica("plugin", "new", "badge", "--kind", "store", "--directory", two)
    assert texts(one) == texts(two)
    report = json.loads(done.stdout)
    assert sorted(texts(one)) == sorted(report["files"])
    assert {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/tests.yml"} <= set(report["files"])


@pytest.mark.parametrize("name", ["", "Badge", "1st", "door-badge", "_x", "x_", "a__b", "class", "../x", "jwk",
                                  "x" * 21, "ключ", "a b", "testing\n"])  # fmt: skip
def test_a_name_that_cannot_be_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    done = mica("plugin", "new", name, "--kind", "policy", "--directory", tmp_path / "there", code=2)
    assert "name" in done.stderr
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("class", "store", "'class' is a word of Python's"),
        ("Door-Badge", "store", "a letter first: door_badge"),
        ("claims", "policy", "every provisioner has a setting of that name"),
        ("file", "keys", "URIs of that scheme belong to mica_filekeys"),
        ("sign", "routes", "the CA itself serves what is below it"),
    ],
)
def test_a_name_that_the_kind_cannot_have_is_refused_with_the_reason(
    tmp_path: Path, name: str, kind: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugin", "new", name, "--kind", kind, "--directory", str(tmp_path / "there")]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "there").exists()


async def test_no_plugin_is_named_as_a_path_of_the_core(authority: Authority) -> None:
    served = [route for module in (certificates, pages, provisioners) for route in module.routes(authority)]
    first = {route.path.split("/")[1] for route in served}
    assert {segment for segment in first if segment.isalnum()} | {"crl"} == rendering.SERVED  # where there is one


def test_the_name_of_an_installed_plugin_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    install_recorded(tmp_path / "site", "crane")
    done = mica(
        "plugin", "new", "crane", "--kind", "policy", "--directory", tmp_path / "x", code=2, site=tmp_path / "site"
    )
    assert "is the name of a plugin of crane" in done.stderr


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/mine.txt").write_text("mine")
    done = mica("plugin", "new", "badge", "--kind", "policy", "--directory", tmp_path / "there", code=5)
    assert "is not empty" in done.stderr
    assert texts(tmp_path / "there") == {"mine.txt": "mine"}


def test_a_place_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    done = mica("plugin", "new", "badge", "--kind", "policy", "--directory", tmp_path / "there", code=5)
    assert "there: cannot be written" in done.stderr
