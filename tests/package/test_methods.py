"""Every method in one table: the same answer, and the same properties, whatever solves."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import RESULTS, BlockDiagonal, QuasiDEER, Sequential, solve

from recurrences import (
    CELLS,
    DAMPED,
    METHODS,
    assert_same_solution,
    cell_table,
    gru,
    largest_difference,
    reference,
)

pytestmark = pytest.mark.usefixtures("barely_optimised")

EVERYTHING = {"Sequential": Sequential, **METHODS}

every_method = pytest.mark.parametrize("method", EVERYTHING)
every_iterative_method = pytest.mark.parametrize("method", METHODS)


@cache
def in_double(cell_name):
    """A cell with a state to start from, inputs, and the answer."""
    cell, s0 = cell_table(3, "float64", jax.random.key(0))[cell_name]
    xs = jax.random.normal(jax.random.key(1), (15, 3))
    return cell, s0, xs, reference(cell, s0, xs)


@every_method
@pytest.mark.parametrize("cell_name", [kind.__name__ for kind in CELLS])
def test_every_cell(method, cell_name):
    cell, s0, xs, wanted = in_double(cell_name)
    solver = EVERYTHING[method]()
    if method == "QuasiDEER-blocks":
        parts = len(s0) if isinstance(s0, tuple) else 3
        solver = QuasiDEER(transition=BlockDiagonal(parts))
    solution = solve(cell, s0, xs, solver, window=None)
    assert largest_difference(solution.value, wanted) < 1e-9


@cache
def in_single():
    """All cells side by side as one recurrence without closed forms, and what is above."""
    table = cell_table(3, "float32", jax.random.key(0))

    def side_by_side(states, x):
        return {name: cell(states[name], x) for name, (cell, _) in table.items()}

    s0 = {name: state for name, (_, state) in table.items()}
    xs = jax.random.normal(jax.random.key(1), (15, 3), "float32")
    return side_by_side, s0, xs, reference(side_by_side, s0, xs)


@pytest.mark.device
@every_method
def test_every_cell_in_float32_without_closed_forms(method):
    f, s0, xs, wanted = in_single()
    solution = solve(f, s0, xs, EVERYTHING[method](), window=None)
    assert largest_difference(solution.value, wanted) < 1e-3


# The four tests that follow solve problems of the same shapes and so share one compilation.


def solve_in_windows(cell, s0, xs, method):
    return solve(cell, s0, xs, EVERYTHING[method](), window=7, throw=False)


@every_method
def test_windows(method):
    cell, s0, xs = gru(4, 23)
    solution = solve_in_windows(cell, s0, xs, method)
    assert solution.result == RESULTS.successful
    assert solution.stats["num_windows"] == 4
    assert solution.stats["num_verified"] == 23
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-9


@every_method
def test_nan_in_the_inputs(method):
    cell, s0, xs = gru(4, 23)
    solution = solve_in_windows(cell, s0, xs.at[9, 1].set(jnp.nan), method)
    assert solution.result == RESULTS.nonfinite_input
    assert solution.stats["num_verified"] == 9
    wanted = reference(cell, s0, xs)[:9]
    assert largest_difference(solution.value[:9], wanted) < 1e-9


@every_method
def test_nan_in_the_recurrence(method):
    cell, s0, xs = gru(4, 23)
    broken = eqx.tree_at(lambda c: c.bias, cell, cell.bias.at[0].set(jnp.nan))
    solution = solve_in_windows(broken, s0, xs, method)
    assert solution.result == RESULTS.nonfinite_state
    assert solution.stats["num_verified"] == 0


@every_method
def test_trace_changes_nothing(method):
    cell, s0, xs = gru(4, 23)
    plain = solve_in_windows(cell, s0, xs, method)
    traced = solve(
        cell, s0, xs, EVERYTHING[method](), window=7, trace=lambda step, s, r: (step, s, r)
    )
    assert_same_solution(traced, plain)
    step, states, residual = traced.trace
    for i in range(2):  # The last window reaches back into the third.
        last = int(np.max(step[i]))
        answer = traced.value[7 * i : 7 * (i + 1)]
        assert largest_difference(states[i, last], answer) < 1e-14
        assert residual[i, last] <= 1
        assert jnp.isnan(residual[i, last + 1 :]).all()


@every_method
def test_batch_by_vmap(method):
    cell, _, _ = gru(4, 1)
    s0 = jax.random.normal(jax.random.key(1), (3, 4))
    # Series of different difficulty, so that they need different numbers of iterations.
    scales = jnp.array([0.0, 1.0, 10.0])[:, None, None]
    xs = scales * jax.random.normal(jax.random.key(2), (3, 23, 4))
    found = jax.vmap(lambda s, x: solve(cell, s, x, EVERYTHING[method](), window=7).value)(s0, xs)
    wanted = jax.vmap(lambda s, x: reference(cell, s, x))(s0, xs)
    assert largest_difference(found, wanted) < 1e-9


@pytest.mark.device
@every_method
def test_half_precision_is_kept(method):
    dtype, allowed = ("float16", 0.05) if method in DAMPED else ("bfloat16", 0.3)
    cell, s0, xs = gru(4, 12, dtype)
    solution = solve(cell, s0, xs, EVERYTHING[method](), throw=False)
    assert solution.stats["residual"].dtype == dtype
    assert largest_difference(solution.value, reference(cell, s0, xs)) < allowed


@every_iterative_method
def test_too_few_steps(method):
    cell, s0, xs = gru(4, 23)
    solution = solve(cell, s0, xs, EVERYTHING[method](), window=23, max_steps=1, throw=False)
    assert solution.result == RESULTS.max_steps_reached
    verified = int(solution.stats["num_verified"])
    assert verified < 23
    assert largest_difference(solution.value[:verified], reference(cell, s0, xs)[:verified]) < 1e-9


@every_iterative_method
def test_new_weights_and_new_dampings_compile_nothing(method):
    traces = 0

    class Counting(eqx.Module):
        weight: jax.Array

        def __call__(self, state, x):
            nonlocal traces
            traces += 1
            return jnp.tanh(self.weight * state + x)

    def as_array(leaf, value):
        return jnp.asarray(value * leaf) if isinstance(leaf, float) else leaf

    def run(value):
        # Arrays in place of the Python numbers: damping, the k of scale-ELK, bounds.
        solver = jax.tree.map(lambda leaf: as_array(leaf, value), EVERYTHING[method]())
        solve(Counting(jnp.full(2, value)), jnp.zeros(2), jnp.full((8, 2), value), solver)
        return traces

    assert run(0.1) == run(0.2)
