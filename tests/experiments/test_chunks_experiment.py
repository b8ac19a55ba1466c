"""The chunks experiment at small sizes, what it counts, and its figure."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import chunks
from experiments.problems.argru import ARGRU
from experiments.problems.counting import Count, Counter
from parallel_rnn import DEER, Jacobi, Sequential, solve
from tests.figure_scripts import draw

SMALL = ["--systems", "gru", "--gru-length", "50", "--gru-dim", "2"]
SMALL += ["--chunks", "1", "20", "50", "--repetitions", "2"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    folder.mkdir(parents=True)
    weights = folder / "argru_weights.npz"
    ARGRU(key=jax.random.key(0)).save(weights)
    output = ["--output", str(folder / "chunks.csv")]
    chunks.main([*SMALL, "--weights", str(weights), *output])
    return folder


def test_one_row_for_each_coupling_and_length(fresh):
    table = pd.read_csv(fresh / "chunks.csv")
    found = table.groupby("method").chunk.agg(list).to_dict()
    assert found == {"sequential": [50], "quasi_deer": [1, 20], "deer": [1, 20]}
    assert set(table.status) == {"reached"} and (table.time_s > 0).all()
    assert (table.num_chunks == np.ceil(50 / table.chunk)).all()
    assert (table.max_abs_error < 1e-5).all()


def test_depth_and_work_are_counted(fresh):
    table = pd.read_csv(fresh / "chunks.csv")
    stepped = table[table.method == "sequential"]
    assert (stepped.depth_evaluations == 50).all() and (stepped.work_evaluations == 50).all()
    chunked = table[table.chunk == 20]
    # Every sweep takes all steps of a chunk, and some more steps warm up and check.
    assert (chunked.depth_evaluations > 20 * chunked.num_steps).all()
    assert (chunked.work_evaluations > 50 * chunked.num_steps).all()
    assert (chunked.work_evaluations <= 3 * chunked.depth_evaluations).all()  # 3 chunks
    single = table[table.chunk == 1]
    assert (single.depth_evaluations > single.num_steps).all()


@pytest.mark.parametrize(
    ("solver", "options", "count"),
    [
        (Sequential(), {}, Count(30, 30)),
        # Evaluates all steps of the guess and of every iterate.
        (Jacobi(rtol=1e-3, atol=1e-3), {"max_steps": 2, "window": None}, Count(3, 90)),
    ],
)
def test_a_counter_counts_every_evaluation(solver, options, count):
    counter = Counter()
    f = counter.wrap(lambda s, x: 0.9 * s + x)
    xs = jnp.ones((30, 2))
    jax.block_until_ready(solve(f, jnp.zeros(2), xs, solver, throw=False, **options).value)
    assert counter.take() == count
    assert counter.take() == Count(0, 0)


def test_a_counted_function_has_the_same_values_and_derivatives():
    def f(s, x):
        return jnp.tanh(s + x)

    counted = Counter().wrap(f)
    s, x = jnp.array([0.3, -0.2]), jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(counted(s, x), f(s, x))
    np.testing.assert_allclose(jax.jacfwd(counted)(s, x), jax.jacfwd(f)(s, x), rtol=1e-6)
    xs = jax.random.normal(jax.random.key(0), (40, 2), jnp.float32)
    found, plain = (solve(g, jnp.zeros(2), xs, DEER(), chunk=6).value for g in (counted, f))
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_figure(fresh):
    files = draw("chunks", fresh)
    assert set(files) == {f"chunks{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files["chunks.svg"].decode()
    assert all(words in text for words in ("untrained GRU", "D = 2, T = 50", "joined by diagonals"))
