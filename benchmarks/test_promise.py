"""What the promise of the default costs: iterations and time beside an explicit tolerance.

    ./run pytest benchmarks/test_promise.py -s

The default accepts states that are off by a few roundings, `rtol = atol = 1e-5` those that are off
by a hundred. The tables give medians, and before them the iterations of a series, those of all its
windows together; of several series the mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

from experiments.datasets.parts import load, splits
from experiments.harness.configuration import read_scale
from experiments.harness.timing import compiled
from experiments.problems.classifier import evaluation
from experiments.problems.trainer import (
    Settings,
    advance,
    batches,
    begin,
    compile_programs,
    take,
    updating,
)
from parallel_rnn import QuasiDEER, Solution, solve, solve_batch
from parallel_rnn.cells import GRUCell

import textbook
from rounds import race, show

ROUNDS = 9
LENGTH = 100_000
BATCH = 16
TOLERANCES = {"1e-5": 1e-5, "default": None}
SOLVERS = {name: {"rtol": one, "atol": one} for name, one in TOLERANCES.items()}


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


@pytest.mark.parametrize("group", [1, 16])
@pytest.mark.parametrize("variant", ["quasi_deer", "deer"])
def test_update(benchmark, variant, group):
    """An update of the experiment `training` at scale cpu, after half of its epochs."""
    kept = read_scale(Path(__file__).parents[1], "cpu")["training"]
    kept = {name: value for name, value in kept.items() if name != "variants"}
    settings = Settings(**{**kept, "variant": variant, "group": group})
    dataset = load(settings.dataset, settings.folder, settings.length)
    parts = next(iter(splits(dataset, settings)))
    series = len(parts.training.labels)
    state = begin(settings, len(dataset.channel_names), len(dataset.label_names), 0, series)
    trained = compile_programs(settings, parts.training, state)
    order = [
        chosen
        for epoch in range(settings.epochs // 2)
        for chosen in batches(settings, 0, epoch, series)
    ]
    for chosen in order:
        state = advance(trained, parts.training, state, chosen)[0]

    given = (state.model, state.optimiser, *take(parts.training, order[-1]), None)
    programs = {}
    for name, tolerance in TOLERANCES.items():
        evaluate = evaluation(variant, replace(settings, tolerance=tolerance, group=group))
        update = compiled(updating(evaluate, settings.optimiser()), *given)
        programs[name] = partial(update, *given)
        num_steps = programs[name]()[2].num_steps
        print(f"\n{name}: {float(jnp.mean(num_steps)):.1f} iterations", end="")
    seconds = race(benchmark, programs, ROUNDS)
    show(f"update by {variant} in groups of {group}: median of {ROUNDS} runs", seconds, ["1e-5"])
