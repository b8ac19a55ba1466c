"""Functions as programs: what a loop does not have to do at every step."""

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import DEER, Sequential, solve
from parallel_rnn._programs.program import CUTS, closed, equations_of

from recurrences import largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")


def weights():
    return jax.random.normal(jax.random.key(0), (12, 4)) / 4


def by_split(W, s):
    first, _, last = jnp.split(W, 3)
    return first @ jnp.tanh(last @ s)


PARTS = {
    "split": by_split,
    "slice": lambda W, s: W[4:8] @ s + W[:, 1][:4],
    "stack": lambda W, s: W.reshape(3, 4, 4)[2] @ s,
    "dynamic": lambda W, s: jax.lax.dynamic_slice_in_dim(W, 2, 4) @ s,
    "jit": jax.jit(by_split),
    "nothing": lambda W, s: (W @ s)[:4],
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_weights_are_cut_out_before_the_loop(name):
    """XLA would copy them at every step."""
    W, s = weights(), jnp.arange(4.0)
    program = closed(lambda s: PARTS[name](W, s), s)
    arrays = set(program.program.invars).difference(program.parameters())
    for equation in equations_of(program.program):
        assert equation.primitive.name not in CUTS or not arrays.intersection(equation.invars)
    assert largest_difference(program(s), PARTS[name](W, s)) == 0
    assert len(arrays) == len(program.arrays)


@pytest.mark.parametrize("chosen", [{}, {"chunk": 4}, {"solver": DEER()}])
def test_no_array_outlives_its_trace(chosen):
    """JAX keeps programs, and would keep what they hold: numbers of a trace that has ended."""
    W, xs = weights(), jnp.ones((9, 4))
    with jax.checking_leaks():
        solve(lambda s, x: jnp.tanh(by_split(W, s) + x), jnp.ones(4), xs, **chosen)


@pytest.mark.parametrize("name", PARTS)
def test_gradients_reach_weights_that_were_cut(name):
    def step(W):
        return lambda s, x: jnp.tanh(PARTS[name](W, s) + x)

    xs, s0 = jax.random.normal(jax.random.key(1), (9, 4)), jnp.ones(4)
    found, wanted = (
        jax.grad(lambda W, states=states: jnp.sum(states(step(W)) ** 2))(weights())
        for states in (
            lambda f: solve(f, s0, xs, Sequential()).value,
            lambda f: reference(f, s0, xs),
        )
    )
    assert largest_difference(found, wanted) < 1e-13


def test_what_nobody_needs_is_no_part_of_a_program():
    """A coarser type in the output of the body of a scan does not tell how its states round."""

    def state(s):
        new = jnp.tanh(s)
        jax.debug.callback(lambda s: None, s)
        return new, new.astype(jnp.bfloat16)

    program = closed(lambda s: jax.jit(state)(s)[0], jnp.ones(3))
    names = [equation.primitive.name for equation in equations_of(program.program)]
    assert "convert_element_type" not in names
    assert program.has_effects()
