"""The rules of ARCHITECTURE.md, read from the source: who may import whom, who prints, how long."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "accelsim"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
LEAVES = {"errors", "files", "formats", "trace", "result", "locate", "config", "kernels"}

# What each room may import of this package, besides itself. The modules that join rooms are free.
MAY_IMPORT = {
    "errors": set(),
    "result": set(),
    "kernels": {"locate"},
    "files": {"errors"},
    "formats": {"errors"},
    "trace": {"errors", "files", "formats"},
    "locate": {"errors"},
    "config": {"errors"},
    "functional": {"files", "trace", "formats", "errors", "config", "kernels", "locate"},
    "hardware": {"trace", "formats", "errors", "config", "kernels", "locate"},
    # DesignConfig is what a family of designs is made of: checks quote its keys.
    "engine": {"trace", "hardware", "result", "kernels", "formats", "errors", "config"},
    "explore": {"engine", "hardware", "trace", "result", "files", "kernels", "errors", "config"},
    "report": {"files", "result", "errors"},
    "rtl": {"hardware", "engine", "formats", "files", "errors", "config", "kernels", "locate"},
    "progress": {"kernels"},
    "cli": {
        "__init__",
        "api",
        "catalogue",
        "circuits",
        "inference",
        "sweeps",
        "errors",
        "printing",
        "progress",
        "report",
    },
    "printing": {"api", "report"},
}
JOINERS = {"api", "catalogue", "circuits", "inference", "manifest", "papers", "sweeps", "workloads"}
ENTRANCES = {"__init__", "__main__"}

MEAN_FUNCTION_LINES = 15
MODULE_LINES, KERNEL_MODULE_LINES = 400, 500
# Functions past 60 lines, and why.
LONG_FUNCTIONS: dict[str, str] = {}
FORBIDDEN_NAMES = {"utils", "helpers", "misc", "common", "manager", "data", "obj", "info"}


def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _imports(module: str) -> Iterator[str]:
    """Yield modules of this package that ``module`` imports anywhere, in functions too."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found = [node.module or ""]
            if node.module and (PACKAGE.parent / node.module.replace(".", "/")).is_dir():
                found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            parts = name.split(".")
            if parts[0] == "accelsim":
                inside = parts[1] if len(parts) > 1 else "__init__"
                yield "__init__" if inside.startswith("__") else inside


def _room(module: str) -> str:
    return module.split(".")[0]


def _functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    room = _room(module)
    if room in JOINERS | ENTRANCES:
        return
    assert room in MAY_IMPORT, f"{room} is no room of ARCHITECTURE.md"
    strangers = set(_imports(module)) - MAY_IMPORT[room] - {room}
    assert not strangers, f"{module} imports {sorted(strangers)}"


def test_network_and_hardware_never_meet_outside_the_modules_that_join_them() -> None:
    assert "hardware" not in MAY_IMPORT["functional"]
    assert "functional" not in MAY_IMPORT["hardware"]
    both = {
        module for module in MODULES if {"functional", "hardware"} <= set(_imports(module)) - {""}
    }
    assert both <= JOINERS


def test_the_rules_see_an_import_inside_a_function() -> None:
    assert "functional" in set(_imports("api"))  # imported lazily, where it is needed
    assert "report" in set(_imports("cli"))


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"cli", "printing", "progress"}))
def test_only_the_command_line_prints(module: str) -> None:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"print", "click.echo", "sys.stdout.write", "sys.stderr.write"}, (
                f"{module}:{node.lineno} prints"
            )


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"kernels"}))
def test_one_decorator_is_the_only_use_of_njit(module: str) -> None:
    words = set(re.findall(r"\w+", ast.unparse(_tree(module))))
    assert not words & {"njit", "jit", "vectorize", "guvectorize", "prange"}


def test_the_one_decorator_uses_njit() -> None:
    assert "numba.njit" in ast.unparse(_tree("kernels")).replace("_numba()", "numba")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    limit = KERNEL_MODULE_LINES if "kernels" in set(_imports(module)) else MODULE_LINES
    assert len(text.splitlines()) <= limit


def test_functions_are_short_and_long_ones_have_a_reason() -> None:
    lengths = {f"{m}.{f.name}": _lines(f) for m in MODULES for f in _functions(m)}
    assert sum(lengths.values()) / len(lengths) <= MEAN_FUNCTION_LINES
    assert {name for name, lines in lengths.items() if lines > 60} <= set(LONG_FUNCTIONS)


def test_modules_have_telling_names() -> None:
    assert not {part for module in MODULES for part in module.split(".")} & FORBIDDEN_NAMES


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    if MODULES[module].read_text(encoding="utf-8").strip():
        assert ast.get_docstring(_tree(module))


def test_the_architecture_names_every_room_and_no_other() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = page.split("```")[1]
    named = set(re.findall(r"^  (\w+)(?:\.py|/)", block, flags=re.MULTILINE))
    rooms = {_room(module) for module in MODULES} - {"__init__", "__main__"}
    assert named == rooms


def test_the_version_is_stated_once() -> None:
    from accelsim import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = readme.split("```")[1].removeprefix("\n").splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(".venv/bin/accelsim run ternary_os_32x32")
    assert lines[1].endswith(".venv/bin/pytest")


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tests_import_each_other_as_pytest_finds_them() -> None:
    # `python -m pytest` would also find `tests.NAME`, plain `pytest` does not.
    for path in sorted((ROOT / "tests").glob("*.py")):
        assert not re.search(r"^\s*(from|import) tests\b", path.read_text(), re.MULTILINE), path
