"""The examples run at small size, open as notebooks, and say what was the fastest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHARED = {"stopwatch"}
SCRIPTS = sorted({path.stem for path in EXAMPLES.glob("*.py")} - SHARED)


def run(name: str) -> str:
    """What an example prints."""
    # Most of the time of a small example is compiling; how fast the programs are does not matter.
    variables = {
        "EXAMPLE_SIZE": "small",
        "MPLBACKEND": "agg",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_run_and_say_what_was_fastest(name):
    printed = run(name)
    if printed.startswith("Skipped: "):
        pytest.skip(printed)
    assert len(re.findall(r"^Fastest on this machine \(.+\): .+\.$", printed, re.MULTILINE)) == 1
    assert "Traceback" not in printed
    # Every distance to the states or gradients of `jax.lax.scan` is one of rounding.
    if name != "mixed_precision":
        gaps = re.findall(r"off by (?:about )?(\d[\d.e+-]*\d)", printed)
        assert all(float(gap) < 1e-3 for gap in gaps), gaps


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_open_as_notebooks(name):
    jupytext = pytest.importorskip("jupytext")
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    cells = jupytext.reads(text, fmt="py:percent").cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds[0] == "markdown" and cells[0].source.startswith("# ")
    assert kinds.count("markdown") >= 3
    # One idea: what a reader takes in at a sitting.
    assert 60 <= len(text.splitlines()) <= 160


@pytest.fixture
def stopwatch(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import stopwatch

    return stopwatch


def test_times_are_medians_taken_in_turn(stopwatch, monkeypatch, capsys):
    clock, called = [0.0], []
    taken = {"jax.lax.scan": [9, 2, 2, 50], "other": [9, 1, 30, 1]}  # the first is a warm-up

    def way(name):
        clock[0] += taken[name][called.count(name)]
        called.append(name)

    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock[0])
    ways = {name: lambda name=name: way(name) for name in taken}
    assert stopwatch.compare(ways, repetitions=3) == {"jax.lax.scan": 2, "other": 1}
    assert called == ["jax.lax.scan", "other"] * 4
    assert "other, 2 times as fast as jax.lax.scan." in capsys.readouterr().out


def test_the_verdict_names_the_fastest(stopwatch):
    slower = stopwatch.verdict({"chunks": 3.0, "jax.lax.scan": 2.0, "DEER": 8.0})
    assert slower.endswith(": jax.lax.scan; the next is chunks, which takes 1.5 times as long.")
    faster = stopwatch.verdict({"DEER": 3.0, "jax.lax.scan": 2.0, "chunks": 0.5})
    assert faster.endswith(": chunks, 4 times as fast as jax.lax.scan.")
