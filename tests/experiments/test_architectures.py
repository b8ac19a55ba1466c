"""Every cell with every method at small sizes, and the figure."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import architectures
from experiments.problems.watch_classifier import Classifier
from tests.figure_scripts import draw

SMALL = ["--units", "2", "--length", "30", "--training-length", "20", "--updates", "2"]
SMALL += ["--window", "10", "--chunk", "7", "--repetitions", "1", "--largest-elk-state", "3"]
CELLS = ["--cells", "gru", "lstm"]
WHOLE = {"jacobi", "deer", "quasi_deer", "elk", "quasi_elk", "chunks"}
KNOWN_WITHOUT_A_SOLVE = ["experiment", "cell", "weights", "method", "dim", "length", "status"]
KNOWN_WITHOUT_A_SOLVE += ["sequential_time_s", "lyapunov_exponent"]
WINDOWED = {"windowed_deer", "windowed_quasi_deer"}


def run(folder, *changes):
    output = folder / "architectures.csv"
    architectures.main([*SMALL, *CELLS, *changes, "--output", str(output)])
    return pd.read_csv(output)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    run(folder)
    return folder


def test_one_row_a_solve(fresh):
    table = pd.read_csv(fresh / "architectures.csv")
    assert list(table.columns) == [*architectures.COLUMNS]
    found = table.groupby(["cell", "weights"]).method.agg(set)
    for weights in ("untrained", "trained"):
        assert found["gru", weights] == WHOLE | WINDOWED
        assert found["lstm", weights] == WHOLE | WINDOWED | {"block_quasi_deer"}
    assert len(table) == sum(map(len, found))
    assert table.groupby("cell").dim.unique().map(list).to_dict() == {"gru": [2], "lstm": [4]}
    solved = table[table.status == "ok"]
    assert (solved.max_abs_error < 1e-3).all() and (solved.time_s > 0).all()
    assert (solved.num_windows == np.where(solved.method.isin(WINDOWED), 3, 1)).all()
    assert (solved.num_steps >= solved.num_windows).all()
    assert np.isfinite(table.lyapunov_exponent).all() and (table.sequential_time_s > 0).all()


def test_elk_is_left_out_where_the_state_is_large(fresh):
    table = pd.read_csv(fresh / "architectures.csv")
    left_out = table[table.status != "ok"]
    assert set(left_out.status) == {"left out: a state of more than 3 numbers"}
    assert set(left_out.cell) == {"lstm"} and set(left_out.method) == {"elk"}
    assert left_out.drop(columns=KNOWN_WITHOUT_A_SOLVE).isna().to_numpy().all()


def test_a_training_changes_the_cell(fresh):
    table = pd.read_csv(fresh / "architectures.csv").drop_duplicates(["cell", "weights"])
    exponents = table.set_index(["cell", "weights"]).lyapunov_exponent
    for cell in ("gru", "lstm"):
        assert exponents[cell, "untrained"] != exponents[cell, "trained"]
    about = json.loads((fresh / "architectures.json").read_text())["training"]
    assert all({"first_loss", "last_loss", "test_accuracy"} == about[cell].keys() for cell in about)


@pytest.mark.slow
def test_two_runs_differ_in_times_only(fresh, tmp_path):
    times = [name for name in architectures.COLUMNS if "time" in name]
    first = pd.read_csv(fresh / "architectures.csv").drop(columns=times)
    second = run(tmp_path).drop(columns=times)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_failed_solve_has_no_counts():
    outcome = architectures.Outcome(jnp.zeros((3, 2)), jnp.array(False), jnp.array(9), jnp.array(1))
    row = architectures.outcome_row(outcome, np.zeros((3, 2)), [])
    assert row == {"status": "not converged"}


def test_recordings_that_are_too_short(tmp_path):
    with pytest.raises(SystemExit, match="100000"):
        run(tmp_path, "--length", "100000")


@pytest.mark.parametrize("name", architectures.CELLS)
def test_a_flat_cell_takes_the_same_step(name):
    architecture = architectures.CELLS[name]
    model = Classifier(3, 4, 2, *architecture, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3,), jnp.float32)
    state = model.cell(model.initial_state(), x)
    assert architecture.output(state).shape == (4,)
    flat = architectures.Flat(model.cell)
    parts = jnp.concatenate(jax.tree.leaves(state))
    wanted = jnp.concatenate(jax.tree.leaves(model.cell(state, x)))
    np.testing.assert_allclose(flat(parts, x), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["lem", "lstm", "slstm"])
def test_the_output_is_not_the_memory(name):
    """Memories may be of any size; outputs are averages of tanh or products with them."""
    cell, output = architectures.CELLS[name]
    made = cell(3, 4, key=jax.random.key(0))
    state = made.initial_state()
    for x in 10 * jax.random.normal(jax.random.key(1), (20, 3)):
        state = made(state, x)
    assert jnp.all(jnp.abs(output(state)) <= 1)


def test_figure(fresh):
    files = draw("architectures", fresh)
    assert set(files) == {f"architectures{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files["architectures.svg"].decode()
    assert all(words in text for words in ("LSTM", "D = 4", "time / sequential time", "untrained"))
