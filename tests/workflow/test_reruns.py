"""What runs again: what an edit means for results, not that a file was edited (dry runs)."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from experiments import catalogue
from experiments.harness.sources import Sources
from tests.clones import ROOT, run_smoke

pytestmark = pytest.mark.slow
TIMING = "experiments/harness/timing.py"
# Edits that change no result.
HARMLESS = [
    (
        "experiments/wide.py",
        "def stepped(form: str) -> Method:",
        "def stepped(form: str) -> Method:  #",
    ),
    (
        "experiments/gru_scaling.py",
        '"""What the first run of',
        '"""This is what the first run of',
    ),
    ("experiments/harness/outcome.py", "def first_below(", "\n\ndef first_below("),
    ("src/parallel_rnn/_calls/solve.py", "import jax\n", "import jax  # of course\n"),
    (TIMING, '"""Programs are compiled', '"""All programs are compiled'),
]


@contextmanager
def edited(clone: Path, name: str, old: str, new: str) -> Iterator[None]:
    """A file of a clone with a text replaced, for as long as the block takes."""
    path = clone / name
    text = path.read_text()
    assert text.count(old) == 1, name
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def measuring(plan: str) -> set[str]:
    """The experiments that a dry run would start."""
    return set(re.findall(r"^measure_(\w+) +\d+$", plan, re.MULTILINE))


def test_editing_an_experiment_restarts_that_experiment_only(finished):
    with edited(finished, "experiments/wide.py", "jax.random.split(", "jax.random.split(*[], "):
        assert measuring(run_smoke(finished, "-n")) == {"wide"}


def test_comments_docstrings_and_layout_restart_nothing(finished):
    with ExitStack() as edits:
        for name, old, new in HARMLESS:
            edits.enter_context(edited(finished, name, old, new))
        assert "Nothing to be done" in run_smoke(finished, "-n")


def test_editing_the_timing_restarts_those_that_time(finished):
    sources = Sources(ROOT)
    modules = {one.name: f"experiments.{one.name}" for one in catalogue.EXPERIMENTS}
    timing = {name for name, module in modules.items() if TIMING in sources.files(module)}
    with edited(
        finished,
        TIMING,
        "return time.perf_counter() - start",
        "return -start + time.perf_counter()",
    ):
        assert measuring(run_smoke(finished, "-n")) == timing
    assert "baselines" not in timing and "gru_accuracy" not in timing
    assert {one.name for one in catalogue.EXPERIMENTS if one.timed} - timing <= {"damping"}


def test_a_method_restarts_those_that_select_it(finished):
    registry = "experiments/harness/methods.py"
    with edited(finished, registry, '"jacobi", "Jacobi"', '"jacobi", "Jacobi\'s"'):
        assert measuring(run_smoke(finished, "-n")) == {"windows"}


def test_a_solver_restarts_all_that_solve(finished):
    path = "src/parallel_rnn/_calls/solve.py"
    with edited(finished, path, "import jax\n", "import jax\n\nCHANGED = 1\n"):
        names = {one.name for one in catalogue.EXPERIMENTS} - {"baselines"}
        assert measuring(run_smoke(finished, "-n")) == names | {
            "argru_training",
            "argru_training_seed",
        }


def test_a_touched_file_restarts_nothing(finished):
    (finished / "src" / "parallel_rnn" / "_calls" / "solve.py").touch()
    assert "Nothing to be done" in run_smoke(finished, "-n")


def test_changed_parameter_runs_again(finished):
    with edited(finished, "config/scale_smoke.yaml", "warmups: 0", "warmups: 1"):
        assert measuring(run_smoke(finished, "-n")) == {"gru_scaling"}
