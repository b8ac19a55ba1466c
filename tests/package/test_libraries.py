"""Cells of Flax and Haiku as f: the states and gradients that `jax.lax.scan` finds."""

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import solve

from recurrences import largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")

SIZE, LENGTH = 4, 20


def check(step, parameters):
    """`step(parameters, state, x)` by `solve` and by `jax.lax.scan`, differentiated by both."""
    s0 = jnp.zeros(SIZE, "float32")
    xs = jax.random.normal(jax.random.key(1), (LENGTH, SIZE), "float32")

    def total(parameters, find):
        states = find(lambda s, x: step(parameters, s, x), s0, xs)
        return jnp.sum(jnp.sin(states)), states

    def both(find):
        return jax.grad(lambda p: total(p, find), has_aux=True)(parameters)

    gradient, states = both(lambda f, s0, xs: solve(f, s0, xs).value)
    wanted_gradient, wanted = both(reference)
    assert largest_difference(states, wanted) < 1e-5
    assert largest_difference(gradient, wanted_gradient) < 1e-4
    assert any(jnp.any(jnp.abs(leaf) > 1e-2) for leaf in jax.tree.leaves(gradient))


@pytest.fixture(autouse=True)
def ordinary_jax():
    """These libraries rely on what the package itself must not."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def test_flax_linen():
    linen = pytest.importorskip("flax.linen")
    cell = linen.GRUCell(SIZE)
    zeros = jnp.zeros(SIZE)
    parameters = cell.init(jax.random.key(0), zeros, zeros)
    check(lambda p, s, x: cell.apply(p, s, x)[0], parameters)


def test_flax_nnx():
    nnx = pytest.importorskip("flax.nnx")
    cell = nnx.GRUCell(SIZE, SIZE, rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(cell, nnx.Param, ...)
    check(lambda p, s, x: nnx.merge(graph, p, rest)(s, x)[0], parameters)

    # The module itself, called as its documentation does.
    s0, xs = jnp.zeros(SIZE), jnp.ones((LENGTH, SIZE))
    f = lambda s, x: cell(s, x)[0]  # noqa: E731
    assert largest_difference(solve(f, s0, xs).value, reference(f, s0, xs)) < 1e-5


def test_haiku():
    haiku = pytest.importorskip("haiku")
    cell = haiku.without_apply_rng(haiku.transform(lambda s, x: haiku.GRU(SIZE)(x, s)[1]))
    zeros = jnp.zeros(SIZE)
    check(cell.apply, cell.init(jax.random.key(0), zeros, zeros))
