"""The rooms of the package and of `experiments`: what they import, and what their first files hold.

And the names of the tests that mirror them.
"""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clones import ROOT

PACKAGE = ROOT / "src" / "parallel_rnn"
EXPERIMENTS = ROOT / "experiments"
# From the ground up: a room imports from itself and from those before it.
ROOMS = {
    PACKAGE: (
        *("_types", "_renamed", "_values", "_finite", "_programs", "_linear", "cells"),
        *("_recurrence", "_right", "_solvers", "_chunks", "_gradients", "_automatic"),
        *("_calls", "_advise", "__init__"),
    ),
    EXPERIMENTS: ("harness", "catalogue", "datasets", "problems", "gpu", "lent", "experiments"),
}
# It reads results and imports no experiment.
REPORTING = ("harness", "catalogue", "reporting")
MODULES = {house: sorted(house.rglob("*.py")) for house in ROOMS}
EVERY = [path for modules in MODULES.values() for path in modules]


def house_of(path: Path) -> Path:
    return next(house for house in ROOMS if path.is_relative_to(house))


def room(path: Path) -> str:
    """The folder in its house that a module lies in; its own name where that is in the list."""
    house = house_of(path)
    inner = path.relative_to(house).parts[0].removesuffix(".py")
    return inner if (house / inner).is_dir() or inner in ROOMS[house] else house.name


def imported(path: Path) -> Iterator[Path]:
    """The modules of its own house that a file imports, without `.py`."""
    house = house_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            inner = (node.module or "").replace(".", "/")
            place = path.parents[node.level - 1] / inner if node.level else house.parent / inner
            for file in (place / alias.name for alias in node.names):
                found = file if file.is_dir() or file.with_suffix(".py").is_file() else place
                if found.is_relative_to(house):
                    yield found


def allowed(path: Path) -> tuple[str, ...]:
    own, rooms = room(path), ROOMS[house_of(path)]
    if own == "reporting":
        return REPORTING
    assert own in rooms, f"{path} lies in none of the rooms {', '.join(rooms)}"
    return rooms[: rooms.index(own) + 1]


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_imports_upwards(path):
    for module in imported(path):
        assert room(module) in allowed(path), module


@pytest.mark.parametrize("path", [*EXPERIMENTS.glob("*.py")], ids=lambda path: path.stem)
def test_no_experiment_is_imported_by_another(path):
    assert not [module for module in imported(path) if room(module) == "experiments"]


INITS = [path for path in EVERY if path.name == "__init__.py" and path.parent != PACKAGE]


@pytest.mark.parametrize("path", INITS, ids=str)
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
