"""The windows experiment at small sizes, and its figure."""

import json
import math

import jax
import numpy as np
import pandas as pd
import pytest

from experiments import windows
from experiments.problems import systems
from experiments.problems.argru import ARGRU
from parallel_rnn import ELK, Jacobi, QuasiELK
from tests.figure_scripts import draw

METHODS = {"jacobi", "picard", "quasi_deer", "deer", "quasi_elk", "elk"}
MEASURED = ["time_s", "time_repetitions"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "argru_weights.npz"
    ARGRU(key=jax.random.key(0)).save(path)
    return path


def run(folder, weights):
    output = folder / "windows.csv"
    sizes = ["--systems", "argru", "--argru-length", "50", "--argru-windows", "20", "50"]
    command = [*sizes, "--repetitions", "2", "--weights", str(weights), "--output", str(output)]
    windows.main(command)
    return pd.read_csv(output)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, weights):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    run(folder, weights)
    return folder


def test_one_row_for_each_method_and_window(fresh):
    table = pd.read_csv(fresh / "windows.csv")
    cells = table.groupby("evaluation")
    assert list(cells.get_group("sequential").method) == ["sequential"]
    for evaluation, window in (("whole", 50), ("windows", 20)):
        rows = cells.get_group(evaluation)
        assert set(rows.method) == METHODS and len(rows) == len(METHODS)
        assert set(rows.window) == {window}
    assert set(table.status) == {"reached"} and (table.mad < 1e-3).all()
    assert (table.time_s > 0).all()
    assert json.loads((fresh / "windows.json").read_text())["configuration"]["argru_length"] == 50


def test_work_counts_all_evaluations(fresh):
    table = pd.read_csv(fresh / "windows.csv").set_index(["evaluation", "method"])
    assert table.work_evaluations["sequential", "sequential"] == 50
    found = table.loc["windows"]
    assert set(found.num_windows) == {3}
    assert (found.work_evaluations == (found.num_steps + 3) * 20).all()
    undamped = found.loc[["jacobi", "picard", "quasi_deer", "deer"]]
    assert (undamped.num_steps <= 3 * 20).all()


@pytest.mark.slow
def test_two_runs_differ_in_time_only(fresh, weights, tmp_path):
    first = pd.read_csv(fresh / "windows.csv").drop(columns=MEASURED)
    pd.testing.assert_frame_equal(run(tmp_path, weights).drop(columns=MEASURED), first)


def test_figure(fresh):
    files = draw("windows", fresh)
    text = files["windows.svg"].decode()
    assert all(words in text for words in ("AR GRU", "T = 50", "ELK, whole sequence"))


def settings(weights, **changes):
    values = {
        "systems": ("argru",),
        "weights": str(weights),
        "argru_length": 30,
        "argru_windows": (10,),
        "argru_dampings": (1e-6, 1e-2),
        "lorenz96_length": 30,
        "lorenz96_windows": (10,),
        "lorenz96_dampings": (1e-3, 1e-1),
        "seed": 0,
        "max_steps": 100,
        "tolerance": 1e-6,
        "repetitions": 5,
        "cell_seconds": 1.0,
    }
    return windows.Settings(**{**values, **changes})


def jacobi_row(chosen):
    system = systems.argru(ARGRU.load(chosen.weights), chosen.argru_length, chosen.seed)
    task = windows.Task("argru", "whole", "jacobi", 30, Jacobi(rtol=1e-6, atol=1e-6))
    return windows.measure(chosen, system, task, windows.program(chosen, system, task))


def test_too_few_iterations_are_marked(weights):
    row = jacobi_row(settings(weights, max_steps=2))
    assert row["status"] == windows.MISSED
    assert all(math.isnan(row[name]) for name in ("num_steps", "work_evaluations", "time_s"))


def test_a_long_cell_is_called_once(weights):
    assert jacobi_row(settings(weights))["time_repetitions"] == 5
    assert jacobi_row(settings(weights, cell_seconds=1e-9))["time_repetitions"] == 1


def test_lorenz96_has_the_paper_s_dampings(weights):
    chosen = settings(weights, systems=("lorenz96",), lorenz96_dampings=(0.5, 0.25))
    found = {"lorenz96": systems.lorenz96(30)}
    listed = windows.tasks(chosen, found)
    assert len(listed) == 1 + 2 * len(METHODS)
    solvers = [task.solver for task in listed]
    assert {one.damping for one in solvers if isinstance(one, ELK)} == {0.5}
    assert {one.damping for one in solvers if isinstance(one, QuasiELK)} == {0.25}
    assert np.isfinite(np.asarray(found["lorenz96"].answer)).all()
