"""What is worth its time on a CPU is read off the program of f."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import cells
from parallel_rnn._automatic.worth import (
    MANY,
    SHORTEST,
    SHORTEST_OF_WIDE,
    chunks_pay,
    most_series_for_chunks,
    shortest_for_chunks,
)
from parallel_rnn._calls.solve import one_input
from parallel_rnn._recurrence.flat import flatten_recurrence

pytestmark = pytest.mark.usefixtures("barely_optimised")

X = (1, 8)


def flat(f, s0, shape):
    return flatten_recurrence(f, s0, one_input(jnp.zeros(shape)))


def pays(f, s0, shape):
    return chunks_pay(flat(f, s0, shape))


@pytest.mark.parametrize("width", [1, 4, 16, 64])
@pytest.mark.parametrize("cell", [cells.GRUCell, cells.LSTMCell])
def test_gates_pay(cell, width):
    made = cell(8, width, key=jax.random.key(0))
    zeros = jnp.zeros(width)
    assert pays(made, (zeros, zeros) if cell is cells.LSTMCell else zeros, X)


def test_gates_of_other_libraries_pay():
    cell = cells.from_equinox(eqx.nn.GRUCell(8, 16, key=jax.random.key(0)))
    assert pays(cell, jnp.zeros(16), X)


@pytest.mark.parametrize(
    "f",
    [
        lambda s, x: s + 1e-4 * (x - s),
        lambda s, x: 0.5 * s / (1 + s * s) + x,
        lambda s, x: 0.5 * jnp.roll(s, 1) + x,
        lambda s, x: jnp.tanh(s) + x,
        lambda s, x: jax.lax.cond(x[0] > 0, lambda: jnp.tanh(s) + x, lambda: 0.3 * s),
    ],
    ids=["average", "rational", "roll", "tanh", "cond"],
)
@pytest.mark.parametrize("width", [4, 64])
def test_what_a_step_computes_at_once_does_not_pay(f, width):
    assert not pays(f, jnp.zeros(width), (1, width))


def test_products_of_matrices_do_not_pay():
    assert not pays(lambda s, x: s @ s.T + x[0], jnp.eye(2), X)


def test_wide_inputs_do_not_pay():
    for inputs, expected in ((8, True), (32, False)):
        cell = cells.GRUCell(inputs, 1, key=jax.random.key(0))
        assert pays(cell, jnp.zeros(1), (1, inputs)) is expected


@pytest.mark.parametrize(
    ("width", "shortest", "most"), [(64, SHORTEST, MANY), (256, SHORTEST_OF_WIDE, 4)]
)
def test_weights_that_leave_the_cache_are_read_once_for_all_chunks(width, shortest, most):
    """Of an LSTM too, whose state of two parts is twice as long, and its weights a third more."""
    zeros = jnp.zeros(width)
    for cell, s0 in ((cells.GRUCell, zeros), (cells.LSTMCell, (zeros, zeros))):
        recurrence = flat(cell(8, width, key=jax.random.key(0)), s0, X)
        assert shortest_for_chunks(recurrence) == shortest
        assert most_series_for_chunks(recurrence) == most
