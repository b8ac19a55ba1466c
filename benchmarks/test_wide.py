"""GRUs so wide that their weights leave the cache of a CPU, beside `jax.lax.scan`.

`lax.scan` reads all weights once a step and is bound by memory. A solver reads them once an
iteration for a whole window. "inputs first" is the scan with W_x x_t of all steps computed
beforehand in one product, as the solvers do; it reads half as much.
"""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import QuasiDEER, solve
from parallel_rnn.cells import GRUCell

import textbook
from rounds import race, show

LENGTH = 4000
WINDOWS = ("auto", 500, 1000, None)
ROUNDS = 3
# State size: how many times faster than `lax.scan` on the cell.
WANTED = {1024: 1.3, 2048: 2.0}


def inputs_first(cell, s0, xs):
    return textbook.sequential(cell.recurrent, s0, jax.vmap(cell.project)(xs))


def in_windows(window):
    return lambda cell, s0, xs: solve(cell, s0, xs, QuasiDEER(), window=window, throw=False)


@pytest.mark.parametrize("size", WANTED)
def test_wide(benchmark, size):
    cell = GRUCell(size, size, key=jax.random.key(0), dtype=jnp.dtype("float32"))
    s0, xs = jnp.zeros(size), jax.random.normal(jax.random.key(1), (LENGTH, size))
    functions = {"lax.scan": textbook.sequential, "inputs first": inputs_first}
    functions |= {f"window {window}": in_windows(window) for window in WINDOWS}
    # The weights are arguments, no constants: XLA cannot work on them beforehand.
    programs = {name: partial(jax.jit(call), cell, s0, xs) for name, call in functions.items()}
    states, *_, whole = (run() for run in programs.values())
    assert jnp.max(jnp.abs(whole.value - states)) < 1e-4
    seconds = race(benchmark, programs, ROUNDS)
    title = f"quasi-DEER, D = {size}, T = {LENGTH}, {whole.stats['num_steps']} iterations"
    show(f"{title}: median of {ROUNDS} runs", seconds, ["lax.scan", "inputs first"])
    best = min(seconds[name] for name in programs if name.startswith("window"))
    assert seconds["lax.scan"] / best >= WANTED[size]
