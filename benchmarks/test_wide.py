"""GRUs so wide that their weights leave the cache of a CPU, beside `jax.lax.scan`.

What `experiments/wide.py` measures, on longer sequences and with windows of several lengths.
"""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from experiments.wide import problem, solved, stepped
from parallel_rnn import QuasiDEER

from rounds import race, show

LENGTH = 4000
WINDOWS = ("auto", 500, 1000, None)
ROUNDS = 3
TOLERANCE = 1e-5
# State size: how many times faster than `lax.scan` on the cell.
WANTED = {1024: 1.3, 2048: 2.0}


@pytest.mark.parametrize("size", WANTED)
def test_wide(benchmark, size):
    given = problem(size, LENGTH, seed=0)
    functions = {"lax.scan": stepped("sequential"), "inputs first": stepped("inputs_first")}
    solver = QuasiDEER(rtol=TOLERANCE, atol=TOLERANCE)
    functions |= {f"window {window}": solved(solver, window=window) for window in WINDOWS}
    # The weights are arguments, no constants: XLA cannot work on them beforehand.
    programs = {name: partial(jax.jit(call), *given) for name, call in functions.items()}
    answer, *_, whole = (run() for run in programs.values())
    assert jnp.all(jnp.abs(whole.states - answer.states) < 1e-4)
    seconds = race(benchmark, programs, ROUNDS)
    title = f"quasi-DEER, D = {size}, T = {LENGTH}, {whole.num_steps} iterations"
    show(f"{title}: median of {ROUNDS} runs", seconds, ["lax.scan", "inputs first"])
    best = min(seconds[name] for name in programs if name.startswith("window"))
    assert seconds["lax.scan"] / best >= WANTED[size]
