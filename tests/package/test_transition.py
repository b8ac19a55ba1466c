"""What stands for the Jacobians: entries of the exact ones, or estimates of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from parallel_rnn import (
    BlockDiagonal,
    Clipped,
    Dense,
    Diagonal,
    Identity,
    QuasiDEER,
    Scaled,
    StochasticDiagonal,
    Zero,
    solve,
)
from parallel_rnn._recurrence.flat import flatten_recurrence

from recurrences import cell_table, gru, largest_difference, pair, temporary_bytes

pytestmark = pytest.mark.usefixtures("barely_optimised")
LENGTH = 5


def steps_of(name, size=3):
    """A flat recurrence, states that its steps start from, their inputs, the exact Jacobians."""
    if name == "PyTree":
        f, s0, xs = pair(LENGTH)
    elif name == "plain":
        cell, s0, xs = gru(size, LENGTH)
        f = lambda s, x: cell(s, x)  # noqa: E731
    else:
        f, s0 = cell_table(size, "float64", jax.random.key(0))[name]
        xs = jax.random.normal(jax.random.key(1), (LENGTH, size))
    recurrence = flatten_recurrence(f, s0, jax.tree.map(lambda leaf: leaf[0], xs))
    flat = ravel_pytree(s0)[0]
    previous = flat[None] + 0.3 * jax.random.normal(jax.random.key(2), (LENGTH, flat.size))
    exact = np.array(jax.vmap(jax.jacfwd(recurrence.step))(previous, xs))
    values = jax.vmap(recurrence.step)(previous, xs)
    return recurrence, previous, xs, values, exact


def linearise(transition, steps, iteration=0):
    """A_t, after a check of the values."""
    recurrence, previous, xs, values, _ = steps
    inputs = recurrence.project_all(xs, len(previous))
    found, A = eqx.filter_jit(transition.linearise)(
        recurrence, previous, inputs, jnp.asarray(iteration)
    )
    np.testing.assert_allclose(found, values, atol=1e-13)
    return np.array(A)


def blocks_of(exact, size):
    """[t, i, j, u]: the derivative of number u of part i by number u of part j."""
    places = exact.shape[1] // size
    parts = exact.reshape(-1, size, places, size, places)
    return np.einsum("tiuju->tiju", parts)


ENDINGS = ["plain", "PyTree", "GRUCell", "LSTMCell", "SLSTMCell", "LEMCell"]


@pytest.mark.parametrize("name", ENDINGS)
def test_dense_and_diagonal_are_exact(name):
    steps = steps_of(name)
    np.testing.assert_allclose(linearise(Dense(), steps), steps[-1], atol=1e-13)
    diagonal = np.diagonal(steps[-1], axis1=1, axis2=2)
    np.testing.assert_allclose(linearise(Diagonal(), steps), diagonal, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("plain", (1, 2, 3, 6)),
        ("PyTree", (1, 5)),
        ("LSTMCell", (1, 2, 3, 6)),  # in closed form for 2
        ("SLSTMCell", (4, 8)),  # in closed form for 4
    ],
)
def test_blocks_are_exact_for_every_size_that_divides_the_state(name, sizes):
    steps = steps_of(name, size=6)
    for size in sizes:
        found = linearise(BlockDiagonal(size), steps)
        np.testing.assert_allclose(found, blocks_of(steps[-1], size), atol=1e-13)


def test_diagonal_of_more_columns_than_are_computed_at_a_time():
    steps = steps_of("plain", size=21)
    diagonal = np.diagonal(steps[-1], axis1=1, axis2=2)
    np.testing.assert_allclose(linearise(Diagonal(), steps), diagonal, atol=1e-13)
    found = linearise(BlockDiagonal(7), steps)
    np.testing.assert_allclose(found, blocks_of(steps[-1], 7), atol=1e-13)


@pytest.mark.parametrize("size", [3, 5])
def test_blocks_must_divide_the_state(size):
    cell, s0, xs = gru(4, LENGTH)
    solver = QuasiDEER(transition=BlockDiagonal(size))
    message = rf"`BlockDiagonal\({size}\)` needs a state of a multiple of {size} numbers, but .* 4"
    with pytest.raises(ValueError, match=message):
        solve(cell, s0, xs, solver)


@pytest.mark.usefixtures("optimised")
def test_memory_of_the_diagonal_does_not_grow_with_the_square_of_the_state():
    length = 1000

    def bytes_per_number(transition, size):
        cell, _, _ = gru(size, 1)
        zeros = jnp.zeros((length, size))

        def all_steps(previous, xs):
            recurrence = flatten_recurrence(lambda s, x: cell(s, x), previous[0], xs[0])
            return transition.linearise(recurrence, previous, xs, jnp.zeros((), int))

        return temporary_bytes(all_steps, zeros, zeros) / (length * size)

    assert bytes_per_number(Diagonal(), 64) < 1.2 * bytes_per_number(Diagonal(), 16)
    assert bytes_per_number(Dense(), 64) > 2 * bytes_per_number(Dense(), 16)


def test_zero_and_identity():
    steps = steps_of("GRUCell")
    np.testing.assert_array_equal(linearise(Zero(), steps), np.zeros((LENGTH, 3)))
    np.testing.assert_array_equal(linearise(Identity(), steps), np.ones((LENGTH, 3)))


@pytest.mark.parametrize("transition", [Dense(), Diagonal(), BlockDiagonal(3)])
def test_scaled_is_another_transition_times_a_number(transition):
    steps = steps_of("GRUCell")
    for scale in (0.3, jnp.asarray(0.3)):
        found = linearise(Scaled(transition, scale), steps)
        np.testing.assert_allclose(found, 0.3 * linearise(transition, steps), rtol=1e-12)


def test_clipped_is_the_diagonal_within_one():
    recurrence, previous, xs, _, _ = steps = steps_of("plain")
    steep = flatten_recurrence(lambda s, x: 5 * recurrence.step(s, x), previous[0], xs[0])
    steps = (steep, previous, xs, 5 * steps[3], 5 * steps[4])
    diagonal = linearise(Diagonal(), steps)
    assert diagonal.max() > 1
    clipped = linearise(Clipped(), steps)
    assert np.abs(clipped).max() <= 1
    np.testing.assert_allclose(clipped, np.clip(diagonal, -1, 1), atol=1e-13)


# With signs z the estimate z_i sum_j J_ij z_j has the mean J_ii and the variance of the sum of
# the squares beside the diagonal.
def test_stochastic_diagonal_is_unbiased():
    steps = steps_of("GRUCell")
    exact = steps[-1]
    recurrence, previous, xs, _, _ = steps
    inputs = recurrence.project_all(xs, len(previous))
    draws = 4000

    @jax.jit
    @jax.vmap
    def estimate(iteration):
        return StochasticDiagonal().linearise(recurrence, previous, inputs, iteration)[1]

    found = np.array(estimate(jnp.arange(draws)))
    diagonal = np.diagonal(exact, axis1=1, axis2=2)
    variance = np.sum(exact**2, axis=2) - diagonal**2
    deviation = np.abs(found.mean(axis=0) - diagonal)
    assert (deviation < 5 * np.sqrt(variance / draws)).all()
    np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.2)


def test_stochastic_diagonal_averages_its_probes():
    steps = steps_of("GRUCell")
    off = np.diagonal(steps[-1], axis1=1, axis2=2)
    one = linearise(StochasticDiagonal(), steps)
    many = linearise(StochasticDiagonal(num_probes=1000), steps)
    assert np.abs(many - off).max() < np.abs(one - off).max() / 5


def test_stochastic_diagonal_draws_fresh_probes_in_every_iteration_from_one_seed():
    steps = steps_of("GRUCell")
    first = linearise(StochasticDiagonal(seed=3), steps)
    np.testing.assert_array_equal(linearise(StochasticDiagonal(seed=3), steps), first)
    assert not np.array_equal(linearise(StochasticDiagonal(seed=4), steps), first)
    later = [linearise(StochasticDiagonal(seed=3), steps, iteration=i) for i in range(1, 4)]
    assert all(not np.array_equal(draw, first) for draw in later)


def test_the_same_seed_gives_the_same_iterates():
    cell, s0, xs = gru(3, 20)

    def states(seed):
        transition = StochasticDiagonal(seed=jnp.asarray(seed))
        solver = QuasiDEER(transition=transition)
        return solve(cell, s0, xs, solver, window=None, trace=lambda step, s, r: s[:8]).trace[:5]

    assert largest_difference(states(0), states(0)) < 1e-12
    assert largest_difference(states(0), states(1)) > 1e-6
