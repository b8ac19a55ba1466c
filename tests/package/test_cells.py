"""Closed forms of the shipped cells against automatic differentiation, values against formulas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parallel_rnn
from parallel_rnn import HasBlocks, HasDiagonal, HasJacobian, HasProjection
from parallel_rnn.cells import GRUCell, LEMCell, LiquidCell, LSTMCell, SLSTMCell, from_equinox

from recurrences import CELLS, cell_table, largest_difference

pytestmark = pytest.mark.usefixtures("barely_optimised")

NAMES = [kind.__name__ for kind in CELLS]
IN_PARTS = ["LSTMCell", "SLSTMCell", "LEMCell"]


def example(name, size, seed, dtype="float64"):
    """A cell, a state and an input large enough to reach the curved parts of the gates."""
    keys = jax.random.split(jax.random.key(seed), 2)
    cell, state = cell_table(size, dtype, keys[0])[name]
    return cell, state, 2 * jax.random.normal(keys[1], (size,), dtype)


def close(found, wanted):
    assert largest_difference(found, wanted) < 1e-13


def check_closed_forms(cell, state, x):
    gates, projected = cell.recurrent, cell.project(x)
    value = gates(state, projected)
    wanted = jax.jacfwd(gates)(state, projected)
    found, jacobian = gates.value_and_jacobian(state, projected)
    close(found, value)
    close(jacobian, wanted)
    found, diag = gates.value_and_diag(state, projected)
    close(found, value)
    if isinstance(state, tuple):
        entries = [[jnp.diagonal(entry) for entry in row] for row in wanted]
        close(diag, tuple(row[i] for i, row in enumerate(entries)))
        found, blocks = gates.value_and_blocks(state, projected)
        close(found, value)
        close(blocks, jnp.array(entries))
    else:
        close(diag, jnp.diagonal(wanted))


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_equal_autodiff(name, size):
    for seed in range(4):
        check_closed_forms(*example(name, size, seed))


@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_equal_autodiff_at_the_initial_state(name):
    cell, _, x = example(name, 3, seed=0)
    check_closed_forms(cell, cell.initial_state(), x)


@pytest.mark.parametrize("kind", [LEMCell, LiquidCell])
def test_closed_forms_hold_for_another_time_step(kind):
    _, state, x = example(kind.__name__, 3, seed=0)
    check_closed_forms(kind(3, 3, key=jax.random.key(1), time_step=0.3), state, x)


@pytest.mark.parametrize("name", NAMES)
def test_cells_offer_what_solvers_look_for(name):
    cell, _, _ = example(name, 2, seed=0)
    assert isinstance(cell, HasProjection)
    assert isinstance(cell.recurrent, HasDiagonal)
    assert isinstance(cell.recurrent, HasJacobian)
    assert isinstance(cell.recurrent, HasBlocks) == (name in IN_PARTS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_split_equals_the_call_and_keeps_the_dtype(name, dtype):
    cell, state, x = example(name, 3, seed=0, dtype=dtype)
    wanted = cell(state, x)
    gates, projected = cell.recurrent, cell.project(x)
    tolerance = 20 * jnp.finfo(dtype).eps
    assert largest_difference(wanted, state) < 10  # equal structure, shapes and dtypes
    assert largest_difference(cell.initial_state(), jax.tree.map(jnp.zeros_like, state)) == 0
    assert largest_difference(gates(state, projected), wanted) < tolerance
    closed_forms = [gates.value_and_diag, gates.value_and_jacobian]
    if name in IN_PARTS:
        closed_forms.append(gates.value_and_blocks)
    for closed_form in closed_forms:
        value, derivatives = closed_form(state, projected)
        assert largest_difference(value, wanted) < tolerance
        assert {leaf.dtype.name for leaf in jax.tree.leaves(derivatives)} == {dtype}


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_solved_from_their_initial_state(name):
    cell, _, _ = example(name, 3, seed=0)
    xs = jax.random.normal(jax.random.key(1), (40, 3))
    carry, _ = jax.lax.scan(lambda s, x: (cell(s, x), None), cell.initial_state(), xs)
    states = parallel_rnn.solve(cell, cell.initial_state(), xs).value
    assert largest_difference(jax.tree.map(lambda leaf: leaf[-1], states), carry) < 1e-6


# The formulas once more, in NumPy, one function a cell: (gates' input parts, their weights of the
# state, the state) -> the next state.


def sigma(a):
    return 1 / (1 + np.exp(-a))


def elman(cell, wx, u, h):
    return np.tanh(wx[0] + u[0] @ h)


def minimal(cell, wx, u, h):
    f = sigma(wx[0] + u[0] @ h)
    return (1 - f) * h + f * np.tanh(wx[1] + u[1] @ (f * h))


def exponential_lstm(cell, wx, u, state):
    """Without the stabiliser: memory and normaliser are c e^m and n e^m."""
    c, n, m, h = state
    i, f, z, o = (a + b @ h for a, b in zip(wx, u, strict=True))
    memory = sigma(f) * c * np.exp(m) + np.exp(i) * np.tanh(z)
    normaliser = sigma(f) * n * np.exp(m) + np.exp(i)
    m = np.maximum(np.log(sigma(f)) + m, i)
    return memory / np.exp(m), normaliser / np.exp(m), m, sigma(o) * memory / normaliser


def long_expressive(cell, wx, u, state):
    y, z = state
    dt = cell.recurrent.time_step
    fast, slow = dt * sigma(wx[0] + u[0] @ y), dt * sigma(wx[1] + u[1] @ y)
    z = (1 - fast) * z + fast * np.tanh(wx[2] + u[2] @ y)
    return (1 - slow) * y + slow * np.tanh(wx[3] + u[3] @ z), z


def liquid(cell, wx, u, h):
    dt, tau = cell.recurrent.time_step, np.exp(cell.recurrent.log_tau)
    f = sigma(wx[0] + u[0] @ h)
    return (h + dt * f * np.array(cell.recurrent.reversal)) / (1 + dt * (1 / tau + f))


FORMULAS = {
    "ElmanCell": elman,
    "MinimalGatedUnit": minimal,
    "SLSTMCell": exponential_lstm,
    "LEMCell": long_expressive,
    "LiquidCell": liquid,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_equal_the_plain_formulas(name):
    cell, state, x = example(name, 3, seed=0)
    square = [leaf for leaf in jax.tree.leaves(cell.recurrent) if leaf.ndim == 2]
    u = np.reshape(jnp.concatenate(square), (-1, 3, 3))
    wx = np.reshape(np.array(cell.weight_ih) @ np.array(x) + np.array(cell.bias), (-1, 3))
    wanted = FORMULAS[name](cell, wx, u, jax.tree.map(np.array, state))
    close(cell(state, x), jax.tree.map(jnp.asarray, wanted))


def test_slstm_starts_without_memory_and_never_overflows():
    cell = SLSTMCell(2, 3, key=jax.random.key(0), dtype=jnp.dtype("float32"))
    state = cell.initial_state()
    for scale in (-1e6, 1e6, -1e6, 0.0):
        state = cell(state, jnp.full(2, scale, "float32"))
        _, n, _, h = state
        assert jnp.all(n >= 1)
        assert jnp.all(jnp.abs(h) <= 1)


def test_slstm_stays_finite_at_states_that_no_sequence_reaches():
    cell = SLSTMCell(2, 3, key=jax.random.key(0))
    state = (jnp.ones(3), jnp.array([-1e3, 0.0, 1e-300]), jnp.array([1e3, 0.0, -1e3]), jnp.ones(3))
    value, jacobian = cell.recurrent.value_and_jacobian(state, cell.project(jnp.ones(2)))
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((value, jacobian)))
    check_closed_forms(cell, state, jnp.ones(2))


@pytest.mark.parametrize("convert", [GRUCell.from_equinox, from_equinox])
def test_from_equinox_is_the_same_gru_with_the_arguments_swapped(convert):
    theirs = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    ours = convert(theirs)
    assert isinstance(ours, GRUCell)
    x, state = jnp.arange(3.0), jnp.arange(4.0)
    close(ours(state, x), theirs(x, state))


@pytest.mark.parametrize("convert", [LSTMCell.from_equinox, from_equinox])
def test_from_equinox_is_the_same_lstm_with_state_c_h(convert):
    theirs = eqx.nn.LSTMCell(3, 4, key=jax.random.key(0))
    ours = convert(theirs)
    assert isinstance(ours, LSTMCell)
    x, c, h = jnp.arange(3.0), jnp.arange(4.0), -jnp.arange(4.0)
    close(ours((c, h), x)[::-1], theirs(x, (h, c)))


def test_from_equinox_swaps_the_arguments_of_other_cells():
    swapped = from_equinox(lambda x, state: {"sum": state["sum"] + 2 * x})
    close(swapped({"sum": jnp.ones(2)}, jnp.ones(2)), {"sum": jnp.full(2, 3.0)})


@pytest.mark.parametrize("kind", [eqx.nn.GRUCell, eqx.nn.LSTMCell])
def test_from_equinox_keeps_the_dtype(kind):
    theirs = kind(3, 4, dtype=jnp.float32, key=jax.random.key(0))
    leaves = jax.tree.leaves(from_equinox(theirs))
    assert {leaf.dtype.name for leaf in leaves} == {"float32"}


@pytest.mark.parametrize("kind", [eqx.nn.GRUCell, eqx.nn.LSTMCell])
def test_from_equinox_refuses_a_cell_without_bias(kind):
    theirs = kind(3, 4, use_bias=False, key=jax.random.key(0))
    with pytest.raises(ValueError, match="use_bias=False"):
        from_equinox(theirs)


class WithoutInputs(eqx.Module):
    """A cell whose projection is the same for all steps."""

    drive: jax.Array

    def project(self, x):
        return self.drive

    def recurrent(self, s, drive):
        return jnp.tanh(0.5 * s + drive)

    def __call__(self, s, x):
        return self.recurrent(s, self.project(x))


@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize(
    "options", [{}, {"solver": parallel_rnn.QuasiDEER()}, {"chunk": 7}], ids=str
)
def test_a_projection_of_no_input(size, options):
    cell, s0 = WithoutInputs(jnp.linspace(-1.0, 1.0, size)), jnp.ones(size)
    found = parallel_rnn.solve(cell, s0, None, length=20, **options).value
    wanted = jax.lax.scan(lambda s, _: (cell(s, None), cell(s, None)), s0, length=20)[1]
    assert largest_difference(found, wanted) < 1e-12
