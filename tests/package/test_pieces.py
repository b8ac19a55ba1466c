"""Kinks and jumps of f are no rounding: it is judged on the piece that a state lies on."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import DEER, RESULTS, Jacobi, QuasiDEER, solve
from parallel_rnn._programs.pieces import change_on_piece
from parallel_rnn._programs.program import closed

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


def with_look(s):
    jax.debug.callback(lambda s: None, s)
    return jnp.floor(s) + s


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
    "traced": lambda s: jax.jit(jnp.floor).trace(s)(s) + s,
    "checkpoint": jax.checkpoint(lambda s: jnp.floor(s) * s),
    "custom vjp": lambda s: positive(s - 1),
    "cond": in_branch,
    "scan": in_scan,
    "while": in_while,
    "while under vmap": in_loops,
    "scan of nothing": in_turns_alone,
    "callback": with_look,
    "integers": lambda s: s + jnp.sign(s.astype(int) - 1).astype(s.dtype) ** 2 * s,
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


# What makes small integers of small integers, mostly where it has a kink or a jump.
OPERATIONS = [
    lambda s: jnp.mod(s, 3),
    lambda s: jnp.clip(s, -1, 2),
    lambda s: jnp.abs(s - 1),
    jnp.sign,
    jax.nn.relu,
    lambda s: jnp.maximum(s, s[::-1]),
    lambda s: jnp.floor(s / 2),
    lambda s: jnp.where(s >= 1, 2 - s, s),
    lambda s: jnp.round(s / 2),
    lambda s: s - s.max(),
    jnp.sort,
    lambda s: (s > jnp.roll(s, 1)).astype(s.dtype),
    lambda s: s[s.argmax()] - s,
    lambda s: s.astype(int).astype(s.dtype) / 2,
]


class Lattice(eqx.Module):
    """A recurrence on the integers from 0 to 4, of which no step rounds."""

    first: jax.Array
    second: jax.Array
    operations: jax.Array

    def __call__(self, s, x):
        for matrix, operation in zip((self.first, self.second), self.operations, strict=True):
            s = jax.lax.switch(operation, OPERATIONS, matrix @ s + x)
        return jnp.mod(jnp.floor(s), 5)


def lattice(seed, dtype):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(-1, 2, (2, 4, 4)) * (rng.random((2, 4, 4)) < 0.5)
    operations = rng.integers(0, len(OPERATIONS), 2)
    xs = rng.integers(-1, 3, (150, 4)) * (rng.random() < 0.5)
    first, second = jnp.asarray(first, dtype), jnp.asarray(second, dtype)
    f = Lattice(first, second, jnp.asarray(operations))
    return f, jnp.asarray(rng.integers(0, 4, 4), dtype), jnp.asarray(xs, dtype)


@pytest.mark.parametrize(
    "dtype, solver, chunk",
    [
        (jnp.bfloat16, QuasiDEER(), None),
        (jnp.bfloat16, Jacobi(), 7),
        (jnp.float16, DEER(), 20),
        (jnp.float32, QuasiDEER(), None),
    ],
)
def test_what_does_not_round_is_right_to_the_last_bit(dtype, solver, chunk):
    """Where jumps counted as rounding, half of the first were wrong and called right."""
    run = eqx.filter_jit(partial(solve, solver=solver, chunk=chunk, throw=False))
    num_right = 0
    for seed in range(60):
        f, s0, xs = lattice(seed, dtype)
        found = run(f, s0, xs)
        if found.result == RESULTS.successful:
            assert largest_difference(found.value, in_turn(f, s0, xs)) == 0, seed
            num_right += 1
    assert num_right >= 57


in_turn = eqx.filter_jit(reference)


# What the first number of a state is, which stays, and what happens to the second.
BESIDE = {
    "counter": (1e5, lambda kept, s: jnp.mod(jnp.floor(s) + 1, 8)),
    "slow, a kink": (1, lambda kept, s: s - 8e-6 * s + jnp.abs(kept - 1)),
    "slow, a relu": (1, lambda kept, s: s - 8e-6 * s + jax.nn.relu(kept - 1)),
}


@pytest.mark.parametrize("solver, chunk", [(QuasiDEER(), None), (Jacobi(), None), (Jacobi(), 20)])
@pytest.mark.parametrize("name", BESIDE)
def test_a_kink_or_jump_does_not_make_wrong_states_right(name, solver, chunk):
    kept, step = BESIDE[name]

    def f(s, x):
        return jnp.stack([s[0], step(*s)])

    s0 = jnp.asarray([kept, 1], jnp.float32)
    found = solve(f, s0, None, solver, chunk=chunk, length=300).value
    assert largest_difference(found, reference(f, s0, None, 300)) < 3e-5
