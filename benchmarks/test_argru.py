"""The paper's autoregressive GRU: time of one iteration, and time to the answer.

    ARGRU_WEIGHTS=weights.npz ./run pytest benchmarks/test_argru.py -s

The file holds trained weights (`experiments.problems.argru.ARGRU.load`). Without one the time of an
iteration is that of an untrained model, which costs the same, and the time to the answer is
skipped: an untrained model is easy for every method.
"""

import os
from functools import partial
from math import inf
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.problems.argru import ARGRU
from parallel_rnn import DEER, ELK, RESULTS, QuasiDEER, QuasiELK, solve

import textbook
from rounds import race, show

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "argru_released.npz"
WEIGHTS = Path(os.environ.get("ARGRU_WEIGHTS", BESIDE))
LENGTH = 10_000
ITERATIONS = 10
ROUNDS = 5
# Ours, the textbook's, and how many times faster an iteration has to be; 0 is only shown.
CASES = {
    "quasi-ELK": (QuasiELK(damping=1e-2), textbook.elk(textbook.DIAGONAL, 1e-2), 0),
    "ELK": (ELK(damping=1e-6), textbook.elk(textbook.DENSE, 1e-6), 4),
    "quasi-DEER": (QuasiDEER(), textbook.newton(textbook.DIAGONAL), 0),
    "DEER": (DEER(), textbook.newton(textbook.DENSE), 3),
}
WINDOW = 100
# The states count as found below this mean absolute deviation (the paper's Table 2).
FOUND = 0.1


def recurrence():
    model = ARGRU.load(WEIGHTS) if WEIGHTS.exists() else ARGRU(key=jax.random.key(0))
    return model, model.initial_state(), jax.random.normal(jax.random.key(1), (LENGTH,))


def ours(solver, **options):
    function = jax.jit(lambda f, s0, xs: solve(f, s0, xs, solver, throw=False, **options))
    return partial(function, *recurrence())


def search(method, wanted, limit, *arguments):
    """Iterations of a textbook method, from zeros, until `wanted` is found; at most `limit`."""

    def with_resets(*arguments):
        # Without them DEER overflows and never comes back.
        states = method(*arguments)
        return jnp.where(jnp.isfinite(states), states, 0)

    def going_on(states, change, count):
        return ~(jnp.mean(jnp.abs(states - wanted)) < FOUND) & (count < limit)

    return textbook.iterated(going_on, with_resets, *arguments)[2]


SEARCHES = {name: jax.jit(partial(search, method)) for name, (_, method, _) in CASES.items()}


def iterations(name):
    """A fixed number of iterations: what they look for is never found."""
    never = jnp.full((LENGTH, 4), jnp.nan)
    return partial(SEARCHES[name], never, ITERATIONS, *recurrence())


@pytest.mark.parametrize("case", CASES)
def test_iteration(benchmark, case):
    solver, _, wanted = CASES[case]
    solved = ours(solver, guess="zeros", window=None, max_steps=ITERATIONS)
    # Ours may converge before. The evaluation that tests its last iterate counts against it.
    taken = solved().stats["num_steps"].item()
    seconds = race(benchmark, {"textbook": iterations(case), "ours": solved}, ROUNDS)
    each = {"textbook": seconds["textbook"] / ITERATIONS, "ours": seconds["ours"] / taken}
    show(f"one iteration of {case}: median of {ROUNDS} runs", each, ["textbook"])
    assert each["textbook"] / each["ours"] >= wanted


@pytest.mark.skipif(not WEIGHTS.exists(), reason="no trained weights: set ARGRU_WEIGHTS to a file")
def test_answer(benchmark):
    programs = {name: iterations(name) for name in CASES}
    programs["lax.scan"] = partial(jax.jit(textbook.sequential), *recurrence())
    programs["windows"] = ours(DEER(), window=WINDOW)
    wanted, solution = programs["lax.scan"](), programs["windows"]()
    assert solution.result == RESULTS.successful
    assert jnp.mean(jnp.abs(solution.value - wanted)) < FOUND
    seconds = race(benchmark, programs, ROUNDS)

    totals = {name: seconds[name] for name in ("lax.scan", "windows")}
    best = inf
    for name in CASES:
        each = seconds[name] / ITERATIONS
        # A method that has not arrived by the time of the best so far need not go on.
        limit = int(min(LENGTH, best / each))
        count = SEARCHES[name](wanted, limit, *recurrence()).item()
        if count < limit:
            best = totals[f"{name}, {count} iterations"] = count * each
        else:
            print(f"{name} of the textbook: not there after {limit} iterations")
    show(f"DEER in windows of {WINDOW} and the textbook", totals, ["lax.scan"])
    assert totals["windows"] <= 10 * totals["lax.scan"]
    assert best >= 50 * totals["windows"]
