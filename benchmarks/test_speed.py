"""Speed beside the textbook baseline and `jax.lax.scan`, on this machine.

    ./run pytest benchmarks -s

The tables give medians, and how many times faster a program is than each baseline. "same
tolerance" stops at a residual of 1e-4, near the baseline's rule; the default is stricter.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import DEER, QuasiDEER, solve
from parallel_rnn.cells import GRUCell

import textbook
from rounds import race, show

CASES = {
    "quasi-DEER, D = 32, T = 100,000": (QuasiDEER, textbook.DIAGONAL, 32, 100_000, 4),
    "quasi-DEER, D = 64, T = 100,000": (QuasiDEER, textbook.DIAGONAL, 64, 100_000, 5),
    "DEER, D = 32, T = 10,000": (DEER, textbook.DENSE, 32, 10_000, 4),
}
ROUNDS = 9


@pytest.mark.parametrize("case", CASES)
def test_forward_pass(benchmark, case):
    solver, kind, size, length, wanted = CASES[case]
    theirs = eqx.nn.GRUCell(size, size, key=jax.random.key(0))
    cell = GRUCell.from_equinox(theirs)
    s0, xs = jnp.zeros(size), jax.random.normal(jax.random.key(1), (length, size))

    def ours(chosen):
        return lambda s0, xs: solve(cell, s0, xs, chosen, throw=False).value

    def baseline(s0, xs):
        method = textbook.newton(kind)
        return textbook.iterated(textbook.unfinished, method, lambda s, x: theirs(x, s), s0, xs)

    functions = {
        "textbook": baseline,
        "lax.scan": partial(textbook.sequential, cell),
        "same tolerance": ours(solver(rtol=0.0, atol=textbook.TOLERANCE)),
        "default": ours(solver()),
    }
    programs = {name: partial(jax.jit(call), s0, xs) for name, call in functions.items()}
    assert jnp.all(jnp.abs(programs["default"]() - programs["lax.scan"]()) < 1e-4)
    seconds = race(benchmark, programs, ROUNDS)
    show(f"{case}: median of {ROUNDS} runs", seconds, ["textbook", "lax.scan"])
    assert seconds["textbook"] / seconds["same tolerance"] >= wanted


# D, and how many times faster than the best form of `jax.lax.scan` chunks have to be.
CHUNKS = {1: 1.2, 4: 2.2, 8: 1.8, 16: 1.3, 32: 1.1, 64: 1.0}


@pytest.mark.parametrize("size", CHUNKS)
def test_chunks(benchmark, size):
    length, chunk = 102_400, 800
    cell = GRUCell(size, size, key=jax.random.key(0))
    s0, xs = jnp.zeros(size), jax.random.normal(jax.random.key(1), (length, size))

    def inputs_first(unroll, s0, xs):
        def step(s, projected):
            s = cell.recurrent(s, projected)
            return s, s

        return jax.lax.scan(step, s0, jax.vmap(cell.project)(xs), unroll=unroll)[1]

    scans = {
        "lax.scan": partial(textbook.sequential, cell),
        "lax.scan, inputs first": partial(inputs_first, 1),
        "lax.scan, unrolled 8": partial(inputs_first, 8),
    }
    functions = {
        **scans,
        "windows": lambda s0, xs: solve(cell, s0, xs, throw=False).value,
        "chunks": lambda s0, xs: solve(cell, s0, xs, chunk=chunk, throw=False).value,
    }
    programs = {name: partial(jax.jit(call), s0, xs) for name, call in functions.items()}
    assert jnp.all(jnp.abs(programs["chunks"]() - programs["lax.scan"]()) < 1e-6)
    seconds = race(benchmark, programs, ROUNDS)
    show(f"D = {size}, T = {length:,}, chunks of {chunk}", seconds, [*scans, "windows"])
    assert min(seconds[name] for name in scans) / seconds["chunks"] >= CHUNKS[size]
