"""Lorenz96: the step, the paper's counts of iterations, the tables and the figure."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import lorenz96
from experiments.harness.outcome import stays_below_from
from experiments.problems.lorenz96 import Lorenz96, deviation
from tests.figure_scripts import draw

SMALL = ["--length", "60", "--starts", "2", "--dampings", "3.0", "0.1", "--elk-damping", "0.01"]
SMALL += ["--max-steps", "60", "--sweep-steps", "5", "20", "--iterates", "1", "100"]
SMALL += ["--iterates-start", "2", "--repetitions", "1"]
TABLES = ("lorenz96", "lorenz96_convergence", "lorenz96_iterates")


def run_small(folder: Path) -> dict[str, pd.DataFrame]:
    lorenz96.main([*SMALL, "--output", str(folder / "lorenz96.csv")])
    return {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the results of a small run."""
    folder = tmp_path_factory.mktemp("project")
    run_small(folder / "results" / "fresh" / "test")
    return folder


@pytest.fixture(scope="module")
def tables(project):
    fresh = project / "results" / "fresh" / "test"
    return {name: pd.read_csv(fresh / f"{name}.csv") for name in TABLES}


# The step


def field(s: np.ndarray, forcing: float) -> np.ndarray:
    return (np.roll(s, -1) - np.roll(s, 2)) * np.roll(s, 1) - s + forcing


# Dormand and Prince 1980, table 2: the rows of a, then b of the fifth order.
TABLEAU = [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
]


def dormand_prince(s: np.ndarray, forcing: float, step: float) -> np.ndarray:
    slopes, moved = [field(s, forcing)], s
    for weights in TABLEAU:
        moved = s + step * sum(a * k for a, k in zip(weights, slopes, strict=True))
        slopes.append(field(moved, forcing))
    return moved


@pytest.mark.parametrize(("size", "forcing", "step"), [(5, 8.0, 0.01), (7, 3.0, 0.05)])
def test_step_is_dormand_prince(size, forcing, step):
    s = np.random.default_rng(0).normal(2, 3, size)
    with jax.enable_x64(True):
        found = Lorenz96(size, forcing, step)(jnp.asarray(s), None)
        assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, dormand_prince(s, forcing, step), rtol=1e-14)


def test_forward_derivative():
    s = np.random.default_rng(1).normal(2, 3, 5)
    with jax.enable_x64(True):
        jacobian = jax.jacfwd(Lorenz96())(jnp.asarray(s))
    for i, nudge in enumerate(1e-6 * np.eye(5)):
        ahead, behind = dormand_prince(s + nudge, 8, 0.01), dormand_prince(s - nudge, 8, 0.01)
        np.testing.assert_allclose(jacobian[:, i], (ahead - behind) / 2e-6, atol=1e-8)


def test_starts_are_states_of_one_run():
    model = Lorenz96()
    starts = model.starts(3)
    assert starts.shape == (3, 5) and starts.dtype == jnp.float32
    run = jax.jit(lambda s: model.states(s, 12_000))(model.perturbed_rest())
    np.testing.assert_array_equal(starts, run[9_999::1_000])
    for count in (0, 11):
        with pytest.raises(ValueError, match=f"`count` is {count}; there are 1 to 10"):
            model.starts(count)


def test_deviation_sums_over_the_variables():
    zero = jnp.zeros((4, 5))
    assert float(deviation(zero.at[1].set(2), zero)) == 2.5
    assert float(deviation(zero.at[1, 0].set(jnp.nan), zero)) == math.inf


# Iterations


@pytest.mark.parametrize(("method", "most"), [("elk", 200), ("quasi_elk", 550)])
@pytest.mark.usefixtures("optimised")
def test_iterations_of_the_paper(method, most):
    settings = settings_of_the_paper()
    model = Lorenz96()
    start = model.starts(1)[0]
    expected = jax.jit(lambda s: model.states(s, settings.length))(start)
    found = lorenz96.program(settings, method)(start, expected, settings.best(method))
    assert stays_below_from(found.mad, settings.threshold) <= most
    assert found.mad[0] > 10  # zeros


def settings_of_the_paper() -> lorenz96.Settings:
    return lorenz96.Settings(
        dim=5,
        forcing=8.0,
        length=1000,
        starts=1,
        dampings=(),
        elk_damping=1 / 300,
        quasi_elk_damping=0.1,
        max_steps=550,
        threshold=0.1,
        sweep_steps=(),
        iterates_start=0,
        iterates=(),
        iterates_stride=100,
        repetitions=1,
    )


# The tables


def test_one_row_a_solve(tables, project):
    table = tables["lorenz96"]
    found = table.groupby("method")[["damping", "start"]].apply(lambda t: list(t.to_numpy()))
    sweep = {"elk": (3.0, 0.1, 0.01), "quasi_elk": (3.0, 0.1), "deer": (0,), "quasi_deer": (0,)}
    for method, dampings in sweep.items():
        pairs = [(damping, start) for damping in dampings for start in (0, 1)]
        np.testing.assert_array_equal(found[method], pairs)
    parallel = table[table["method"] != "sequential"]
    assert (parallel["run_steps"] <= 60).all() and (parallel["time_per_iteration_s"] > 0).all()
    undamped = parallel[parallel["damping"] == 0]
    assert (undamped["last_mad"] < 1e-4).all() and undamped["num_steps"].le(60).all()
    record = json.loads((project / "results/fresh/test/lorenz96.json").read_text())
    assert record["configuration"]["dampings"] == [3.0, 0.1]


def test_every_iterate_is_kept_at_the_best_damping_only(tables):
    table = tables["lorenz96_convergence"]
    for (method, damping), cells in table.groupby(["method", "damping"]):
        best = {"elk": 0.01, "quasi_elk": 0.1}.get(str(method), 0)
        kept = list(cells[cells["start"] == 0]["iteration"])
        assert (kept == [5, 20]) == (damping != best)
        assert damping != best or kept[:6] == [0, 1, 2, 3, 4, 5]


def test_iterates_stand_beside_the_answer(tables):
    table = tables["lorenz96_iterates"].set_index(["method", "iteration"])
    truth = table.loc[("sequential", 0)].to_numpy()
    np.testing.assert_array_equal(truth[:, 0], range(1, 61, 4))  # the steps
    for method in ("deer", "quasi_deer"):
        np.testing.assert_allclose(table.loc[(method, 100)], truth, atol=1e-3)
        assert np.abs(table.loc[(method, 1)].to_numpy() - truth).max() > 1


@pytest.mark.slow
def test_a_second_run_differs_in_times_only(tables, tmp_path):
    for name, second in run_small(tmp_path).items():
        first = tables[name]
        times = [column for column in first if column.startswith("time")]
        pd.testing.assert_frame_equal(
            first.drop(columns=times), second.drop(columns=times), check_exact=True
        )


# The figure


def test_figure_draws_alone(project):
    files = draw("lorenz96", project / "results" / "fresh" / "test")
    assert set(files) == {f"lorenz96{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files["lorenz96.svg"].decode()
    assert all(words in text for words in ("damping λ", "quasi-ELK", "iteration 100"))
