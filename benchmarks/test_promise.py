"""What the promise of the default costs: iterations and time beside an explicit tolerance.

    ./run pytest benchmarks/test_promise.py -s

The default accepts states that are off by a few roundings, `rtol = atol = 1e-5` those that are off
by a hundred. The tables give medians, and before them the iterations of a series, those of all its
windows together; of several series the mean.
"""

from collections.abc import Callable, Mapping
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

from parallel_rnn import DEER, QuasiDEER, Solution, solve, solve_batch
from parallel_rnn.cells import GRUCell

import textbook
from rounds import race, show

ROUNDS = 9
LENGTH = 100_000
BATCH, SHORT = 16, 1024
SOLVERS = {"1e-5": {"rtol": 1e-5, "atol": 1e-5}, "default": {}}


def inputs(size: int, *shape: int) -> tuple[GRUCell, Array, Array]:
    """An untrained cell, its initial state and inputs of this shape."""
    cell = GRUCell(size, size, key=jax.random.key(0))
    return cell, jnp.zeros(size), jax.random.normal(jax.random.key(1), (*shape, size))


def compare(
    benchmark, title: str, programs: Mapping[str, Callable], found: Mapping[str, Solution]
) -> None:
    for name, solution in found.items():
        print(f"\n{name}: {float(jnp.mean(solution.stats['num_steps'])):.1f} iterations", end="")
    seconds = race(benchmark, programs, ROUNDS)
    show(f"{title}: median of {ROUNDS} runs", seconds, list(programs)[:-1])


@pytest.mark.parametrize("size", [1, 8, 32, 64])
def test_long_series(benchmark, size):
    cell, s0, xs = inputs(size, LENGTH)
    calls = {
        name: jax.jit(lambda s0, xs, kept=kept: solve(cell, s0, xs, QuasiDEER(**kept)))
        for name, kept in SOLVERS.items()
    }
    scan = partial(jax.jit(partial(textbook.sequential, cell)), s0, xs)
    programs = {"lax.scan": scan} | {name: partial(call, s0, xs) for name, call in calls.items()}
    found = {name: program() for name, program in programs.items() if name != "lax.scan"}
    compare(benchmark, f"D = {size}, T = {LENGTH}", programs, found)


@pytest.mark.parametrize("how", ["solve_batch", "vmap"])
def test_batch(benchmark, how):
    cell, s0, xs = inputs(8, BATCH, 4096)

    def call(kept):
        solver = QuasiDEER(**kept)
        if how == "solve_batch":
            return lambda xs: solve_batch(cell, jnp.broadcast_to(s0, (BATCH, s0.size)), xs, solver)
        return jax.vmap(lambda xs: solve(cell, s0, xs, solver))

    programs = {name: partial(jax.jit(call(kept)), xs) for name, kept in SOLVERS.items()}
    found = {name: program() for name, program in programs.items()}
    compare(benchmark, f"{BATCH} series of 4,096 steps by {how}, D = 8", programs, found)


@pytest.mark.parametrize("method", [QuasiDEER, DEER])
def test_update(benchmark, method):
    """The gradient of a classifier, as in the experiment `training`."""
    cell, s0, xs = inputs(16, BATCH, SHORT)
    start = jnp.broadcast_to(s0, (BATCH, s0.size))
    labels = jnp.arange(BATCH) % 7
    decoder = jax.random.normal(jax.random.key(2), (7, s0.size))

    def update(kept, model, xs):
        def loss(model):
            cell, decoder = model
            solution = solve_batch(cell, start, xs, method(**kept))
            scores = jax.nn.log_softmax(solution.value.mean(axis=1) @ decoder.T)
            return -jnp.mean(scores[jnp.arange(BATCH), labels]), solution

        return eqx.filter_value_and_grad(loss, has_aux=True)(model)

    programs = {
        name: partial(eqx.filter_jit(update), kept, (cell, decoder), xs)
        for name, kept in SOLVERS.items()
    }
    found = {name: program()[0][1] for name, program in programs.items()}
    compare(benchmark, f"update by {method.__name__}", programs, found)
