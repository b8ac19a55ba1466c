"""What derivatives save is held for one block of steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import ImplicitAdjoint, IteratedAdjoint, Sequential, solve
from parallel_rnn._gradients.blocks import STRETCHES, in_blocks
from parallel_rnn.cells import LSTMCell

from recurrences import gru, largest_difference, reference, temporary_bytes

pytestmark = pytest.mark.usefixtures("barely_optimised")

ADJOINTS = [ImplicitAdjoint(), IteratedAdjoint(chunk=20)]


@pytest.fixture
def blocks_of_one_step_of_each_stretch(monkeypatch):
    monkeypatch.setattr("parallel_rnn._gradients.blocks.BLOCK_NUMBERS", {"cpu": 1, "gpu": 1})


@pytest.mark.usefixtures("blocks_of_one_step_of_each_stretch")
@pytest.mark.parametrize("length", [STRETCHES, 2 * STRETCHES, 3 * STRETCHES + 7])
def test_blocks_are_all_steps_once(length):
    steps = {
        "x": jnp.arange(length, dtype=float),
        "y": jnp.ones((length, 2, 3)),
        "none": jnp.zeros((length, 0)),
    }

    def function(shared, steps):
        return shared * steps["x"][:, None] + jnp.sum(steps["y"], axis=1)

    found = in_blocks(function, jnp.asarray(2.0), steps, 3)
    assert jnp.array_equal(found, function(jnp.asarray(2.0), steps))


@pytest.mark.usefixtures("blocks_of_one_step_of_each_stretch")
@pytest.mark.parametrize("adjoint", ADJOINTS, ids=str)
def test_derivatives_in_blocks_are_exact(adjoint):
    cell, s0, xs = gru(5, 3 * STRETCHES + 7)

    def loss(run, cell, s0, xs):
        return jnp.sum(jnp.sin(run(cell, s0, xs)))

    def by_solve(cell, s0, xs):
        return solve(cell, s0, xs, chunk=20, adjoint=adjoint).value

    def gradient(run, at):
        return jax.grad(lambda at: loss(run, *at))(at)

    def change(run, at):
        return jax.jvp(lambda xs: gradient(run, (cell, s0, xs)), (at[2],), (jnp.cos(at[2]),))[1]

    at = (cell, s0, xs)
    assert largest_difference(gradient(by_solve, at), gradient(reference, at)) < 1e-10
    assert largest_difference(change(by_solve, at), change(reference, at)) < 1e-9


@pytest.mark.usefixtures("blocks_of_one_step_of_each_stretch")
def test_blocks_of_a_batch_without_inputs():
    weights = jnp.linspace(-0.5, 0.5, 16).reshape(4, 4)

    def loss(run, weights, s0):
        return jnp.sum(jnp.sin(run(lambda s, _: jnp.tanh(weights @ s + 0.1), s0, None, length=200)))

    def by_solve(f, s0, xs, length):
        return solve(f, s0, xs, length=length, chunk=9).value

    def gradients(run):
        batch = jnp.linspace(-1, 1, 12).reshape(3, 4)
        return jax.vmap(jax.grad(lambda *at: loss(run, *at), (0, 1)), (None, 0))(weights, batch)

    assert largest_difference(gradients(by_solve), gradients(reference)) < 1e-12


@pytest.mark.usefixtures("optimised")
def test_memory_of_a_gradient_is_a_few_times_that_of_the_states():
    length, size = 20_000, 32
    cell = LSTMCell(4, size // 2, key=jax.random.key(0), dtype=jnp.dtype("float32"))
    s0, xs = (jnp.zeros(size // 2, "float32"),) * 2, jnp.ones((length, 4), "float32")

    def loss(cell):
        states = solve(cell, s0, xs, Sequential(), adjoint=IteratedAdjoint(chunk=400)).value
        return sum(jnp.sum(jnp.sin(part)) for part in states)

    arrays, rest = eqx.partition(cell, eqx.is_array)
    needed = temporary_bytes(jax.grad(lambda arrays: loss(eqx.combine(arrays, rest))), arrays)
    assert needed < 6 * length * size * 4
