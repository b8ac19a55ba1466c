"""Closed forms of the shipped cells against automatic differentiation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import HasDiagonal, HasJacobian, HasProjection
from parallel_rnn.cells import GRUCell


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_closed_forms_equal_autodiff(size, seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    cell = GRUCell(4, size, key=keys[0])
    assert isinstance(cell, HasProjection)
    gates, x = cell.recurrent, cell.project(jax.random.normal(keys[1], (4,)))
    assert isinstance(gates, HasDiagonal)
    assert isinstance(gates, HasJacobian)
    state = 2 * jax.random.normal(keys[2], (size,))

    wanted = jax.jacfwd(gates)(state, x)
    value, jacobian = gates.value_and_jacobian(state, x)
    np.testing.assert_allclose(value, gates(state, x), atol=1e-14)
    np.testing.assert_allclose(jacobian, wanted, atol=1e-14)
    value, diag = gates.value_and_diag(state, x)
    np.testing.assert_allclose(value, gates(state, x), atol=1e-14)
    np.testing.assert_allclose(diag, jnp.diagonal(wanted), atol=1e-14)


def test_from_equinox_is_the_same_cell_with_the_arguments_swapped():
    theirs = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    ours = GRUCell.from_equinox(theirs)
    x, state = jnp.arange(3.0), jnp.arange(4.0)
    np.testing.assert_allclose(ours(state, x), theirs(x, state), atol=1e-14)


def test_from_equinox_keeps_the_dtype():
    theirs = eqx.nn.GRUCell(3, 4, dtype=jnp.float32, key=jax.random.key(0))
    leaves = jax.tree.leaves(GRUCell.from_equinox(theirs))
    assert {leaf.dtype.name for leaf in leaves} == {"float32"}


def test_from_equinox_refuses_a_cell_without_bias():
    theirs = eqx.nn.GRUCell(3, 4, use_bias=False, key=jax.random.key(0))
    with pytest.raises(ValueError, match="use_bias=False"):
        GRUCell.from_equinox(theirs)
