"""The code that results depend on: found from imports, and the same whatever its layout."""

from pathlib import Path

import pytest

from experiments import catalogue
from experiments.harness.sources import Sources
from tests.clones import ROOT

REGISTRY = """
from importlib import import_module

def build(name):
    return import_module(name)

REGISTERED = (
    Method("newton", "Newton", "package:Newton"),
    Method("jacobi", "Jacobi", "package.other:Jacobi"),
)
"""
NEW = 'Method("new", "New", "package:New")'
EXPERIMENT = """
\"\"\"What it does.\"\"\"
from experiments.harness import methods
from package import solve

METHODS = ("newton",)


def measure(x):
    \"\"\"How.\"\"\"
    return solve(x + 1, METHODS)
"""


@pytest.fixture
def project(tmp_path):
    """A repository with an experiment, a package of two modules and a list of two methods."""
    files = {
        "experiments/__init__.py": "",
        "experiments/mine.py": EXPERIMENT,
        "experiments/harness/__init__.py": "",
        "experiments/harness/methods.py": REGISTRY,
        "src/package/__init__.py": "from ._solve import solve",
        "src/package/_solve.py": "def solve(x, methods): return x",
        "src/package/other.py": "class Jacobi: pass",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(project: Path, *named: str) -> str:
    return Sources(project).digest("experiments.mine", named=named)


def change(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("experiments/mine.py", "return solve", "# why\n    return solve"),
        ("experiments/mine.py", "How.", "In which way."),
        ("experiments/mine.py", "What it does.", "What else."),
        ("experiments/mine.py", "x + 1, METHODS", "\n        x + 1,\n        METHODS,\n    "),
        ("experiments/mine.py", '"newton"', "'newton'"),
        ("src/package/_solve.py", ": return x", ":\n    'doc'\n    return x"),
        ("src/package/other.py", "pass", "x = 1"),
        ("experiments/harness/methods.py", '"Jacobi", "package', '"jacobi", "package'),
        ("experiments/harness/methods.py", "REGISTERED = (", f"REGISTERED = ({NEW},"),
    ],
)
def test_what_changes_no_result_changes_no_digest(project, name, old, new):
    before = digest(project)
    change(project, name, old, new)
    assert digest(project) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("experiments/mine.py", "x + 1", "x + 2"),
        ("src/package/_solve.py", "return x", "return -x"),
        ("src/package/__init__.py", "from ._solve", "from package._solve"),
        ("experiments/harness/methods.py", "return import", "return 1 or import"),
        ("experiments/harness/methods.py", '"Newton", "package', '"newton", "package'),
    ],
)
def test_changed_code_changes_the_digest(project, name, old, new):
    before = digest(project)
    change(project, name, old, new)
    assert digest(project) != before


def test_a_method_that_the_settings_name_counts_with_its_module(project):
    before = digest(project, "jacobi", "something else")
    assert before != digest(project)
    change(project, "src/package/other.py", "pass", "x = 1")
    assert digest(project, "jacobi") != before


def test_every_file_is_parsed_once(monkeypatch):
    from experiments.harness import sources

    parsed = []
    parse = sources._parse
    monkeypatch.setattr(sources, "_parse", lambda path: parsed.append(path) or parse(path))
    found = Sources(ROOT)
    for one in catalogue.EXPERIMENTS:
        found.digest(f"experiments.{one.name}")
    again = [path for path in {*parsed} if parsed.count(path) > 1]
    assert len(parsed) > 50
    assert again == [ROOT / sources.REGISTRY]  # its list apart, and the rest of it


def test_sources_of_an_experiment_follow_its_imports():
    found = Sources(ROOT).files("experiments.gru_scaling")
    assert {
        "experiments/__init__.py",
        "experiments/gru_scaling.py",
        "experiments/harness/records.py",
        "experiments/harness/timing.py",
        "src/parallel_rnn/__init__.py",
        "src/parallel_rnn/_calls/solve.py",
        "src/parallel_rnn/cells/__init__.py",
        "src/parallel_rnn/cells/_gru.py",
    } <= set(found)
    assert "experiments/gru_accuracy.py" not in found
