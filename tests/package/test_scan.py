"""`scan` takes and returns what `jax.lax.scan` does."""

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import DEER, QuasiDEER, scan

from recurrences import gru, largest_difference, pair, reference

SOLVERS = [DEER(), QuasiDEER()]


def step(f):
    def with_output(carry, x):
        following = f(carry, x)
        leaves = [*jax.tree.leaves(carry), *jax.tree.leaves(following)]
        return following, {"sum": sum(jnp.sum(leaf) for leaf in leaves), "carry": following}

    return with_output


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 45])
def test_equals_lax_scan(solver, reverse, length):
    f, s0, xs = pair(length)
    found = scan(step(f), s0, xs, reverse=reverse, solver=solver, window=20)
    wanted = jax.lax.scan(step(f), s0, xs, reverse=reverse)
    assert largest_difference(found, wanted) < 1e-10


def test_length_without_inputs():
    def f(carry, _):
        return jnp.cos(carry), carry

    found = scan(f, jnp.ones(2), None, 30)
    assert largest_difference(found, jax.lax.scan(f, jnp.ones(2), None, 30)) < 1e-10


def test_no_output():
    cell, s0, xs = gru(3, 10)
    last, ys = scan(lambda carry, x: (cell(carry, x), None), s0, xs)
    assert ys is None
    assert largest_difference(last, reference(cell, s0, xs)[-1]) < 1e-10


def test_a_guess_is_in_the_order_of_the_inputs():
    cell, s0, xs = gru(3, 10)

    def f(carry, x):
        return cell(carry, x), cell(carry, x)

    _, carries = jax.lax.scan(f, s0, xs, reverse=True)
    # With the answer as the guess no step is needed.
    _, found = scan(f, s0, xs, reverse=True, guess=carries, max_steps=0)
    assert largest_difference(found, carries) < 1e-10


def test_numpy_inputs_and_python_numbers():
    last, _ = scan(lambda c, x: (0.5 * c + x, None), 1.0, jnp.arange(4.0).__array__())
    wanted, _ = jax.lax.scan(lambda c, x: (0.5 * c + x, None), 1.0, jnp.arange(4.0))
    assert largest_difference(last, jnp.asarray(wanted)) < 1e-10
