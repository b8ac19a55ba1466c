"""Speed beside the textbook baseline and `jax.lax.scan`, on this machine.

    ./run pytest benchmarks -s

Each round times all programs in turn, so that a drift of the machine meets all alike. The table
gives medians, and how many times faster than the baseline (first ratio) and than `jax.lax.scan`
(second ratio). "same tolerance" stops at a residual of 1e-4, near the baseline's rule; the default
is stricter.
"""

import time
from collections.abc import Callable
from statistics import median

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import DEER, QuasiDEER, solve
from parallel_rnn.cells import GRUCell

import textbook

CASES = {
    "quasi-DEER, D = 32, T = 100,000": (QuasiDEER, textbook.quasi_deer, 32, 100_000, 4),
    "quasi-DEER, D = 64, T = 100,000": (QuasiDEER, textbook.quasi_deer, 64, 100_000, 5),
    "DEER, D = 32, T = 10,000": (DEER, textbook.deer, 32, 10_000, 4),
}
ROUNDS = 9


def compiled(function: Callable, *arguments: jax.Array) -> Callable[[], jax.Array]:
    program = jax.jit(function).lower(*arguments).compile()

    def run() -> jax.Array:
        return jax.block_until_ready(program(*arguments))

    run()
    return run


def seconds(run: Callable) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@pytest.mark.parametrize("case", CASES)
def test_forward_pass(benchmark, case):
    method, baseline, size, length, wanted = CASES[case]
    theirs = eqx.nn.GRUCell(size, size, key=jax.random.key(0))
    cell = GRUCell.from_equinox(theirs)
    s0, xs = jnp.zeros(size), jax.random.normal(jax.random.key(1), (length, size))

    def ours(solver):
        return lambda s0, xs: solve(cell, s0, xs, solver, throw=False).value

    programs = {
        "textbook": compiled(lambda s0, xs: baseline(lambda s, x: theirs(x, s), s0, xs), s0, xs),
        "lax.scan": compiled(lambda s0, xs: textbook.sequential(cell, s0, xs), s0, xs),
        "same tolerance": compiled(ours(method(rtol=0.0, atol=textbook.TOLERANCE)), s0, xs),
    }
    default = compiled(ours(method()), s0, xs)
    assert jnp.max(jnp.abs(default() - programs["lax.scan"]())) < 1e-4

    times = {name: [] for name in programs}

    def time_the_others():
        for name, run in programs.items():
            times[name].append(seconds(run))

    benchmark.pedantic(default, setup=time_the_others, rounds=ROUNDS)
    times["default"] = benchmark.stats.stats.data
    medians = {name: median(values) for name, values in times.items()}
    print(f"\n{case}: median of {ROUNDS} runs")
    for name, value in medians.items():
        ratios = [medians[other] / value for other in ("textbook", "lax.scan")]
        print(f"  {name:>15} {1e3 * value:8.1f} ms {ratios[0]:8.2f} x {ratios[1]:8.2f} x")
    assert medians["textbook"] / medians["default"] >= wanted
