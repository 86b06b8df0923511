"""The house rules that a machine can keep: budgets, seams, and who may import what."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mica

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/mica"
PLUGINS = sorted(folder for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").exists())
MODULES = sorted([*CORE.rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")])

#: Which modules of the core may import a library. Few, so that it can be replaced.
IMPORTERS = {
    "pluggy": {"hookspecs.py", "hooks.py"},
    "cattrs": {"structuring.py"},
    "tomlkit": {"foundation.py", "cli/ca/documents.py", "cli/ca/migration/document.py"},
    "tomllib": {"config.py", "cli/ca/documents.py"},
    "rich": {"cli/progress.py"},
    "jwt": {"tokensignatures.py", "testing/ca.py", "testing/signins.py"},
    "idna": {"names.py"},
    "sqlite3": set(),
    "jwcrypto": {"jwe.py"},
    "asyncssh": {"cli/ssh/agentlink.py"},
    "httpcore": {"dialing.py"},
}
#: What plugins may import of mica besides the names in ``mica.__all__``.
PUBLISHED_MODULES = {
    "mica",
    "mica.cli.kit",
    "mica.cli.renewal.schedule",
    "mica.cli.renewal.verdict",
    "mica.client",
    "mica.client.oauth",
    "mica.client.sources",
    "mica.clock",
    "mica.constraints",
    "mica.jwa",
    "mica.jwe",
    "mica.jwk",
    "mica.keyfiles",
    "mica.keyrules",
    "mica.krl",
    "mica.logs.fields",
    "mica.names",
    "mica.orders",
    "mica.pkix.PublicKey",
    "mica.pkix.UNREADABLE",
    "mica.principals",
    "mica.sshcert",
    "mica.sshkeys",
    "mica.sshorders",
    "mica.sshsignatures",
    "mica.structuring.structure",
    "mica.tokens",
    "mica.tokensignatures",
}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every import: module, and the name that is taken from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_and_its_functions_keep_their_budgets(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    long = {function.name: lines for function in _functions(path) if (lines := _body_lines(function)) > 45}
    assert long == {}


def test_a_protocol_has_at_most_eight_members() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(re.match(r"Protocol\b", ast.unparse(b)) for b in node.bases):
                assert sum(isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) for member in node.body) <= 8


def test_no_module_is_named_for_having_no_concept() -> None:
    nameless = {"util", "utils", "common", "helpers", "base", "misc", "manager"}
    assert [_name(path) for path in MODULES if path.stem in nameless] == []


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_library_is_imported_by_the_modules_that_are_named_for_it(library: str) -> None:
    importers = {
        str(path.relative_to(CORE))
        for path in CORE.rglob("*.py")
        if any(module == library or module.startswith(f"{library}.") for module, _ in _imports(path))
    }
    assert importers <= IMPORTERS[library]


def test_the_core_knows_no_plugin() -> None:
    packages = {f"mica_{folder.name}" for folder in PLUGINS}
    for path in CORE.rglob("*.py"):
        assert not {module.partition(".")[0] for module, _ in _imports(path)} & packages, path


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_what_mica_publishes_and_no_other_plugin(folder: Path) -> None:
    for path in folder.glob("src/**/*.py"):
        for module, name in _imports(path):
            package = module.partition(".")[0]
            assert not package.startswith("mica_") or package == f"mica_{folder.name}", path
            if package == "mica":
                published = module in PUBLISHED_MODULES - {"mica"} or f"{module}.{name}" in PUBLISHED_MODULES
                published |= module == "mica" and (name is None or name in mica.__all__)
                # A plugin's proof has the kit, and nothing else has it (see test_imports).
                published |= path.name == "contracts.py" and f"{module}.".startswith("mica.testing.")
                assert published, f"{path}: {name or 'all'} of {module} is not published"


def test_the_system_is_asked_for_the_time_in_one_place() -> None:
    asking = [
        _name(path) for path in MODULES if re.search(r"datetime\.(now|utcnow|today)\(|time\.time\(", path.read_text())
    ]
    assert asking == ["core/src/mica/clock.py"]


def test_every_published_name_can_be_imported() -> None:
    for name in mica.__all__:
        assert getattr(mica, name) is not None


def test_what_a_type_checker_sees_of_mica_is_what_there_is() -> None:
    (checked,) = [node for node in ast.parse((CORE / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    imported = [name.asname for node in checked.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(["__version__", *map(str, imported)]) == sorted(mica.__all__)


def test_every_public_function_and_class_says_what_is_true_afterwards() -> None:
    silent = [
        f"{_name(path)}:{node.name}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
        and not any("click" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert silent == []


@pytest.mark.parametrize("folder", [ROOT / "core", *PLUGINS], ids=lambda folder: folder.name)
def test_a_distribution_is_complete(folder: Path) -> None:
    project = (folder / "pyproject.toml").read_text()
    assert (folder / "README.md").exists()
    assert list(folder.glob("src/*/py.typed"))
    assert f'version = "{mica.__version__}"' in project
    assert 'license = "Apache-2.0"' in project
    assert 'requires-python = ">=3.11,<3.15"' in project
