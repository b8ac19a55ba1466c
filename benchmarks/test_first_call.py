"""How long the first call with a new f takes, which is tracing and compiling, in seconds.

./run pytest benchmarks/test_first_call.py -s
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.flatten_util import ravel_pytree

from parallel_rnn import DEER, BlockDiagonal, QuasiDEER, solve, solve_batch
from parallel_rnn.cells import GRUCell, from_equinox

LENGTH, BATCH, INPUTS, STATES = 1000, 4, 6, 16
REPEATS = 3
BLOCKS = QuasiDEER(transition=BlockDiagonal(2))


def gru() -> tuple[Callable, Any]:
    return GRUCell(INPUTS, STATES, key=jax.random.key(0)), jnp.zeros(STATES)


def lstm() -> tuple[Callable, Any]:
    cell = eqx.nn.LSTMCell(INPUTS, STATES, key=jax.random.key(0))
    return from_equinox(cell), (jnp.zeros(STATES), jnp.zeros(STATES))


CASES = {
    "GRU": (gru, None, {}),
    "GRU, `chunk=100`": (gru, None, {"chunk": 100}),
    "GRU, `QuasiDEER()`": (gru, QuasiDEER(), {}),
    "GRU, `DEER()`": (gru, DEER(), {}),
    "LSTM": (lstm, None, {}),
    "LSTM, `QuasiDEER(transition=BlockDiagonal(2))`": (lstm, BLOCKS, {}),
    "LSTM, `DEER()`": (lstm, DEER(), {}),
}


def ways(solved: Callable, solved_batch: Callable) -> dict[str, tuple[Callable, bool]]:
    """What a user asks for: a function of the cell, a state and inputs, of one series or many."""

    def many(f: Callable, s0: Any, xs: jax.Array) -> Any:
        return jax.vmap(lambda xs: solved(f, s0, xs))(xs)

    def gradient(values: Callable) -> Callable:
        def loss(f: Callable, s0: Any, xs: jax.Array) -> jax.Array:
            return jnp.sum(ravel_pytree(values(f, s0, xs))[0] ** 2)

        return eqx.filter_grad(loss)

    return {
        "states": (solved, False),
        "gradient": (gradient(solved), False),
        "`vmap`": (many, True),
        "gradient of `vmap`": (gradient(many), True),
        "`solve_batch`": (solved_batch, True),
        "its gradient": (gradient(solved_batch), True),
    }


def of_solve(solver: Any, options: dict[str, Any]) -> dict[str, tuple[Callable, bool]]:
    def solved(f: Callable, s0: Any, xs: jax.Array) -> Any:
        return solve(f, s0, xs, solver, **options).value

    def batch(f: Callable, s0: Any, xs: jax.Array) -> Any:
        s0 = jax.tree.map(lambda leaf: jnp.stack([leaf] * BATCH), s0)
        return solve_batch(f, s0, xs, solver, **options).value

    return ways(solved, batch)


def first_call(way: Callable, make: Callable, is_batch: bool) -> float:
    """Seconds until the result of a call is there that finds nothing compiled."""
    shape = (BATCH, LENGTH, INPUTS) if is_batch else (LENGTH, INPUTS)
    (f, s0), xs = make(), jax.random.normal(jax.random.key(1), shape)
    seconds = []
    for _ in range(REPEATS):
        jax.clear_caches()
        start = time.perf_counter()
        jax.block_until_ready(eqx.filter_jit(way)(f, s0, xs))
        seconds.append(time.perf_counter() - start)
    return median(seconds)


@pytest.mark.parametrize("name", CASES)
def test_the_first_call(name):
    make, solver, options = CASES[name]
    seconds = {
        way: first_call(call, make, is_batch)
        for way, (call, is_batch) in of_solve(solver, options).items()
    }
    print(f"\n| {name} | " + " | ".join(f"{value:.1f}" for value in seconds.values()) + " |")
    assert max(seconds.values()) < 60
