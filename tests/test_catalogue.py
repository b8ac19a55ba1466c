"""The catalogue: it fits the files, and says so where it does not."""

import shutil
import subprocess
import sys

import pytest

from experiments import catalogue
from experiments.catalogue import CatalogueError, check
from experiments.harness.configuration import read_schema
from tests.clones import ROOT


def test_it_fits_the_files():
    check(ROOT)


def test_it_is_read_without_jax_and_pandas():
    command = "import sys, experiments.catalogue; print({'jax', 'pandas'} & sys.modules.keys())"
    answer = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


@pytest.fixture
def copy(tmp_path):
    """The files that the catalogue speaks of."""
    for name in ("experiments", "figures"):
        ignore = shutil.ignore_patterns("out", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("experiments/mine.py", "experiments/mine.py is in no entry: add an Experiment"),
        ("figures/mine.py", "figures/mine.py is in no entry: add a Figure"),
    ],
)
def test_a_file_without_an_entry_is_named(copy, name, sentence):
    (copy / name).touch()
    with pytest.raises(CatalogueError, match=sentence):
        check(copy)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("experiments/wide.py", "the experiment wide has no module experiments/wide.py"),
        ("figures/wide.py", "a figure has no script figures/wide.py"),
        ("figures/captions/wide.rst", "wide has no caption: write figures/captions/wide.rst"),
        ("figures/captions/table_2.rst", "table_2 has no caption"),
        (
            "experiments/reporting/tables/table_2.py",
            "a table has no module experiments/reporting/tables/table_2.py",
        ),
    ],
)
def test_an_entry_without_its_file_is_named(copy, name, sentence):
    (copy / name).unlink()
    with pytest.raises(CatalogueError, match=sentence):
        check(copy)


def test_a_figure_of_results_that_no_experiment_writes_is_named(monkeypatch):
    wrong = catalogue.FIGURES[0]._replace(further=("wide_tales",))
    monkeypatch.setattr(catalogue, "FIGURES", (wrong, *catalogue.FIGURES[1:]))
    with pytest.raises(CatalogueError, match="reads wide_tales, which no experiment in"):
        check(ROOT)


def test_every_experiment_has_settings():
    for one in catalogue.EXPERIMENTS:
        part = read_schema(ROOT)
        for key in (one.section or one.name).split("."):
            part = part["properties"][key]
        assert set(one.left_out) <= part["properties"].keys()


def test_names_are_given_once():
    for entries in (catalogue.EXPERIMENTS, catalogue.FIGURES, catalogue.TABLES):
        names = [one.name for one in entries]
        assert len(set(names)) == len(names)
