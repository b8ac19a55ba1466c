"""The wide GRUs at small sizes, and their figure."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import wide
from tests.figure_scripts import draw

SMALL = ["--dims", "2", "5", "--length", "30", "--window", "10", "--chunk", "7", "--seeds", "2"]
SMALL += ["--repetitions", "2"]


def run(folder, *changes):
    output = folder / "wide.csv"
    wide.main([*SMALL, *changes, "--output", str(output)])
    return pd.read_csv(output)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    run(folder)
    return folder


def test_one_row_a_timed_call(fresh):
    table = pd.read_csv(fresh / "wide.csv")
    assert list(table.columns) == [*wide.COLUMNS]
    counts = table.groupby(["dim", "method", "seed", "repetition"]).size()
    assert len(counts) == 2 * len(wide.METHODS) * 2 * 2 and set(counts) == {1}
    assert set(table.status) == {"ok"} and (table.time_s > 0).all()
    assert (table.max_abs_error < 1e-4).all()


def test_only_the_solver_counts(fresh):
    table = pd.read_csv(fresh / "wide.csv")
    solved = table[~table.method.isin(wide.STEPPED)]
    assert table.drop(solved.index)[["num_steps", "num_windows"]].isna().to_numpy().all()
    windows = solved.groupby("method").num_windows.unique().map(list).to_dict()
    assert windows == {"quasi_deer": [1], "windowed_quasi_deer": [3], "chunks": [1]}
    assert (solved.num_steps >= solved.num_windows).all()


def test_a_second_run_differs_in_times_only(fresh, tmp_path):
    first, second = pd.read_csv(fresh / "wide.csv"), run(tmp_path)
    pd.testing.assert_frame_equal(
        first.drop(columns="time_s"), second.drop(columns="time_s"), check_exact=True
    )


def test_draws_differ():
    first, second = (wide.problem(4, 10, seed) for seed in (0, 1))
    assert first.xs.shape == (10, 4) and first.xs.dtype == np.float32
    assert not np.array_equal(first.xs, second.xs)
    assert not np.array_equal(first.cell.weight_ih, second.cell.weight_ih)


def test_failures_are_rows():
    def no_memory(cell, s0, xs):
        raise RuntimeError("RESOURCE_EXHAUSTED: no more")

    def astray(cell, s0, xs):
        return wide.Outcome(jnp.full_like(xs, jnp.inf), jnp.array(False))

    programs = {
        "sequential": wide.stepped("sequential"),
        "quasi_deer": no_memory,
        "inputs_first": astray,
    }
    rows = list(wide.measure_problem(programs, wide.problem(2, 10, 0), repetitions=1))
    status = {row["method"]: row["status"] for row in rows}
    assert status == {
        "quasi_deer": "out of memory",
        "sequential": "ok",
        "inputs_first": "not converged",
    }
    assert ["time_s" in row for row in rows] == [False, True, True]


def test_figure(fresh):
    files = draw("wide", fresh)
    assert set(files) == {f"wide{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files["wide.svg"].decode()
    assert all(
        words in text for words in ("sequential time / time", "inputs first", "weights (MB)")
    )
