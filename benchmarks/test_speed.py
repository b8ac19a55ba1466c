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
        "default": lambda s0, xs: solve(cell, s0, xs, throw=False).value,
        "chunks": lambda s0, xs: solve(cell, s0, xs, chunk=chunk, throw=False).value,
    }
    programs = {name: partial(jax.jit(call), s0, xs) for name, call in functions.items()}
    assert jnp.all(jnp.abs(programs["chunks"]() - programs["lax.scan"]()) < 1e-6)
    seconds = race(benchmark, programs, ROUNDS)
    show(f"D = {size}, T = {length:,}, chunks of {chunk}", seconds, [*scans, "default"])
    assert min(seconds[name] for name in scans) / seconds["chunks"] >= CHUNKS[size]


# D, and how many times faster than `jax.lax.scan` a GRU with stacked weights has to be, which is
# evaluated and differentiated by default.
STACKED = {16: (1.5, 1.5), 64: (2, 2), 128: (1.8, 2)}


def stacked_gru(weights, s, x):
    """The GRU of Cho et al. (2014, eq. 5 to 8), its candidate from the reset state."""
    W, U = weights
    wx, size = W @ x, s.size
    reset = jax.nn.sigmoid(wx[:size] + U[:size] @ s)
    update = jax.nn.sigmoid(wx[size : 2 * size] + U[size : 2 * size] @ s)
    candidate = jnp.tanh(wx[2 * size :] + U[2 * size :] @ (reset * s))
    return update * s + (1 - update) * candidate


@pytest.mark.parametrize("size", STACKED)
def test_weights_that_f_cuts(benchmark, size):
    keys = jax.random.split(jax.random.key(0), 3)
    weights = [
        jax.random.normal(key, (3 * size, n)) / n**0.5
        for key, n in zip(keys, (8, size), strict=False)
    ]
    s0, xs = jnp.zeros(size), jax.random.normal(keys[2], (4096, 8))
    functions = {
        "lax.scan": lambda weights: textbook.sequential(partial(stacked_gru, weights), s0, xs),
        "default": lambda weights: solve(partial(stacked_gru, weights), s0, xs, throw=False).value,
    }
    gradients = {
        f"gradient, {name}": jax.grad(lambda weights, call=call: jnp.sum(call(weights) ** 2))
        for name, call in functions.items()
    }
    both = functions | gradients
    programs = {name: partial(jax.jit(call), weights) for name, call in both.items()}
    assert jnp.all(jnp.abs(programs["default"]() - programs["lax.scan"]()) < 1e-5)
    seconds = race(benchmark, programs, ROUNDS)
    show(f"stacked GRU, D = {size}, T = 4,096", seconds, list(both)[::2])
    forward, backward = STACKED[size]
    assert seconds["lax.scan"] / seconds["default"] >= forward
    assert seconds["gradient, lax.scan"] / seconds["gradient, default"] >= backward
