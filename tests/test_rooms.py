"""The rooms of `experiments`: which may import from which, and what their first files hold.

And the names of the tests that mirror them.
"""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clones import ROOT

EXPERIMENTS = ROOT / "experiments"
# From the ground up: a room imports from itself and from those before it.
ROOMS = ("harness", "catalogue", "datasets", "problems", "gpu", "lent", "experiments")
# It reads results and imports no experiment.
REPORTING = ("harness", "catalogue", "reporting")
MODULES = sorted(EXPERIMENTS.rglob("*.py"))


def room(module: str) -> str:
    """The folder in `experiments` that a module lies in; the catalogue; or the experiments."""
    inner = module.split(".")[1]
    return inner if (EXPERIMENTS / inner).is_dir() or inner == "catalogue" else "experiments"


def imported(path: Path) -> Iterator[str]:
    """The modules of `experiments` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("experiments"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                place = ROOT / inner.replace(".", "/")
                found = place.is_dir() or place.with_suffix(".py").is_file()
                yield inner if found else str(node.module)


def allowed(path: Path) -> tuple[str, ...]:
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return REPORTING if own == "reporting" else ROOMS[: ROOMS.index(own) + 1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(EXPERIMENTS).as_posix())
def test_nothing_imports_upwards(path):
    for module in imported(path):
        assert room(module) in allowed(path), module


@pytest.mark.parametrize("path", [*EXPERIMENTS.glob("*.py")], ids=lambda path: path.stem)
def test_no_experiment_is_imported_by_another(path):
    assert not [module for module in imported(path) if room(module) == "experiments"]


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_an_init_holds_a_sentence_and_what_others_use_of_the_room(path):
    first, *exports = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    for export in exports:
        assert isinstance(export, ast.ImportFrom) and export.level == 1
        assert all(name.asname == name.name for name in export.names)


def test_no_two_files_of_tests_have_one_name():
    """Pytest imports them by their names, and stops where all are collected at once."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [one for one, other in pairwise(names) if one == other] == []
