"""Kinks and jumps of f are no rounding: it is judged on the piece that a state lies on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import DEER, Jacobi, QuasiDEER, solve
from parallel_rnn._pieces import change_on_piece
from parallel_rnn._program import closed

from recurrences import largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")


@jax.custom_vjp
def positive(s):
    return jnp.maximum(s, 0)


positive.defvjp(lambda s: (positive(s), s), lambda s, w: (jnp.where(s > 0, w, 0),))


def in_branch(s):
    return jax.lax.cond(s[0] >= 1, lambda: 2 * jnp.floor(s) + s, lambda: s)


def in_scan(s):
    def turn(carry, x):
        return (carry[0] + jnp.where(carry[0] > x, x, 0), carry[1] + 1), carry[0]

    (last, _), all_of_them = jax.lax.scan(turn, (s, 0), jnp.arange(3.0))
    return last + all_of_them[2]


def in_while(s):
    def turn(carry):
        number, s = carry
        return number + 1, jnp.mod(s + s[0], 3)

    return jax.lax.while_loop(lambda carry: carry[0] < jnp.sum(carry[1]), turn, (0.0, s))[1]


def in_loops(s):
    """Of each number a loop that ends for itself."""

    def last(a):
        return jax.lax.while_loop(lambda a: a < 5, lambda a: a + jnp.floor(a) + 1, a)

    return jax.vmap(last)(s)


def in_turns_alone(s):
    return jax.lax.scan(lambda _, __: (None, jnp.floor(s) + s), None, None, length=3)[1][0]


# A state at which they have a kink or a jump: all of these lie at one.
KINKED = {
    "floor": lambda s: jnp.floor(s) + s,
    "ceil": lambda s: jnp.ceil(s) * s,
    "round": lambda s: jnp.round(s + 0.5),
    "sign": lambda s: jnp.sign(s - 1) ** 2,
    "compare": lambda s: jnp.where(s >= 1, s - 1, s),
    "integer": lambda s: s.astype(int).astype(s.dtype) + s,
    "table": lambda s: jnp.arange(9.0)[s.astype(int)] * s,
    "mod": lambda s: jnp.mod(s, 1),
    "mod by the state": lambda s: jnp.mod(4, s),
    "divide": lambda s: jnp.floor_divide(s, 2),
    "abs": lambda s: jnp.abs(s - 1),
    "maximum": lambda s: jnp.maximum(s, s[::-1]),
    "minimum": lambda s: jnp.minimum(s, 1),
    "clip": lambda s: jnp.clip(s, 1, 2),
    "relu": lambda s: jax.nn.relu(s - 2),
    "elu": lambda s: jax.nn.elu(s - 1, 2.0),
    "leaky": lambda s: jax.nn.leaky_relu(s - 1),
    "max": lambda s: s - s.max(),
    "min": lambda s: s - s.min(axis=0, keepdims=True),
    "argmax": lambda s: s[s.argmax()] + s,
    "sort": lambda s: jnp.sort(s),
    "argsort": lambda s: s[jnp.argsort(s)],
    "top": lambda s: jnp.concatenate([jax.lax.top_k(s, 2)[0], s[:2]]),
    "jit": jax.jit(jnp.floor),
    "checkpoint": jax.checkpoint(lambda s: jnp.floor(s) * s),
    "custom vjp": lambda s: positive(s - 1),
    "cond": in_branch,
    "scan": in_scan,
    "while": in_while,
    "while under vmap": in_loops,
    "scan of nothing": in_turns_alone,
    "angle": lambda s: jnp.arctan2(s - 1, -s),
}
SMOOTH = {
    "tanh": jnp.tanh,
    "product": lambda s: s[::-1] * s,
    "GRU": lambda s: jax.nn.sigmoid(s) * s + jnp.exp(-s),
    "norm": lambda s: s / jnp.sqrt(1 + jnp.sum(s**2)),
}


def on_piece(f, s) -> Any:
    return change_on_piece(closed(lambda s, x: f(s), s, None))


@pytest.mark.parametrize("name", KINKED)
def test_a_change_on_one_piece_is_smooth(name):
    """Up and down are opposite, which they are not across a kink."""
    s = jnp.asarray([1.0, 2.0, 2.0, 1.0])
    move = 2.0**-20 * jnp.asarray([1.0, -1.0, 2.0, -1.0])
    change = on_piece(KINKED[name], s)
    up, down = change(s, s + move, None), change(s, s - move, None)
    assert largest_difference(up, -down) < 1e-10
    assert largest_difference(up, 0 * up) < 1e-4
    f = KINKED[name]
    across = f(s + move) - 2 * f(s) + f(s - move)
    assert largest_difference(across, 0 * across) > 1e-7


@pytest.mark.parametrize("name", KINKED)
def test_between_kinks_it_is_the_change_of_f(name):
    s = jnp.asarray([1.3, 2.6, 0.4, 1.7])
    move = 2.0**-20 * jnp.asarray([1.0, -1.0, 2.0, -1.0])
    f = KINKED[name]
    change = on_piece(f, s)
    assert largest_difference(change(s, s + move, None), f(s + move) - f(s)) < 1e-14
    assert largest_difference(change(s, s, None), 0 * s) == 0


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_smooth_has_one_piece(name):
    """So nothing of it is computed twice."""
    assert on_piece(SMOOTH[name], jnp.ones(4)) is None


def counter(s, x):
    return jnp.mod(jnp.floor(s) + 1, 8)


def beside_large(s, x):
    return jnp.stack([s[0], counter(s[1], x)])


def automaton(s, x):
    """As in a network of thresholds: sums of integers that reach them exactly."""
    W = np.random.default_rng(0).integers(-1, 2, (16, 16))
    return (jnp.asarray(W, s.dtype) @ s + x >= 1).astype(s.dtype)


def slow_beside_kink(s, x):
    return jnp.stack([s[0], s[1] - 8e-6 * s[1] + jnp.abs(s[0] - 1)])


def slow_beside_relu(s, x):
    return jnp.stack([s[0], s[1] - 8e-6 * s[1] + jax.nn.relu(s[0] - 1)])


def inputs(size):
    return np.random.default_rng(1).integers(0, 2, (400, size))


# f, the first state, the type. A rule that takes kinks and jumps for rounding calls states right
# that are off by 1, by 7 and, of what is slow, by a thousandth.
EXACT = {
    "counter": (counter, [0], jnp.bfloat16),
    "counter beside a large number": (beside_large, [100, 0], jnp.float16),
    "counter beside a larger number": (beside_large, [1e5, 0], jnp.float32),
    "automaton": (automaton, [0] * 16, jnp.bfloat16),
    "slow beside a kink": (slow_beside_kink, [1, 1], jnp.float32),
    "slow beside a relu": (slow_beside_relu, [1, 1], jnp.float32),
}


@pytest.mark.parametrize("solver, chunk", [(QuasiDEER(), None), (DEER(), 20), (Jacobi(), None)])
@pytest.mark.parametrize("name", EXACT)
def test_nothing_wrong_is_called_right_at_kinks_and_jumps(name, solver, chunk):
    f, s0, dtype = EXACT[name]
    s0 = jnp.asarray(s0, dtype)
    xs = jnp.asarray(inputs(len(s0)), dtype)
    found = solve(f, s0, xs, solver, chunk=chunk).value
    assert largest_difference(found, reference(f, s0, xs)) < 3e-5
