# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A cell in bfloat16, a state in float32
#
# Products in bfloat16 are cheap on accelerators, while a state that moves in small steps needs more
# digits. What a solve can promise then depends on how it gets there, and `Solution.ending` says it.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from parallel_rnn import ENDINGS, RESULTS, QuasiDEER, Sequential, solve
from parallel_rnn.cells import GRUCell

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH, UNITS, CHANNELS = (300, 4, 2) if small else (20_000, 32, 6)
CHUNK = 75 if small else 250
TOLERANCE = 1e-2

# %% [markdown]
# ## The recurrence
#
# The weights are float32, for the optimiser, and rounded before use. The GRU proposes the next
# state in bfloat16, which has three digits; the state goes a tenth of the way there in float32.

# %%
cell = GRUCell(CHANNELS, UNITS, key=jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (LENGTH, CHANNELS))
s0 = jnp.zeros(UNITS)


def to(dtype, tree):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def mixed(state, x):
    half_cell, half_state, half_x = to(jnp.bfloat16, (cell, state, x))
    proposed = half_cell(half_state, half_x).astype(jnp.float32)
    return 0.9 * state + 0.1 * proposed


def fine(state, x):
    return 0.9 * state + 0.1 * cell(state, x)


# %% [markdown]
# ## How solves end
#
# By default the states are an orbit of f up to the rounding of float32. The iteration on single
# steps may not get there, and less likely so the longer a sequence is: a change of the state in its
# fourth digit makes bfloat16 jump or not move at all, so no Jacobian describes what a small change
# does. The solve then says so, here by its result, without `throw=False` by an error.
#
# - **Chunks** get there. Within a chunk the states come from f itself, and where f forgets, two
#   runs from different starts become the same to the last bits.
# - **A tolerance** of the precision of bfloat16 is met within a few iterations. It bounds the
#   residual of one step.
# - **A fallback** takes the steps that are left one after another.

# %%
asked = {
    "single steps": {"chunk": None},
    "chunks": {"chunk": CHUNK},
    "tolerance": {"solver": QuasiDEER(rtol=TOLERANCE, atol=TOLERANCE)},
    "fallback": {"fallback": Sequential(), "chunk": None},
}
right = solve(mixed, s0, xs, Sequential()).value
found = {}
for name, options in asked.items():
    found[name] = solve(mixed, s0, xs, throw=False, **options)
    off = jnp.max(jnp.abs(found[name].value - right))
    steps, one_by_one = found[name].stats["num_steps"], found[name].stats["num_fallback"]
    print(f"{name}: {ENDINGS[found[name].ending]}")
    print(f"    {steps} iterations, {one_by_one} steps one after another, off by {off:.1e}")

if found["single steps"].result != RESULTS.successful:
    print(RESULTS[found["single steps"].result])

# %% [markdown]
# ## What the bfloat16 costs
#
# States by chunks are those of `jax.lax.scan` on the same f. How far those are from the answer in
# float32 is the price of the arithmetic. A tolerance adds errors of its own: each step may be off
# by that much, and the state keeps nine tenths of the error of the step before.

# %%
exact = solve(fine, s0, xs).value
shown = min(LENGTH, 500)
plt.figure(figsize=(6, 3), layout="constrained")
for name in ("chunks", "tolerance"):
    gap = jnp.max(jnp.abs(found[name].value - right), axis=1)
    plt.plot(gap[:shown], label=f"{name}, against lax.scan of the same f")
plt.plot(jnp.max(jnp.abs(right - exact), axis=1)[:shown], "k", label="bfloat16 against float32")
plt.gca().set(xlabel="step", ylabel="largest difference")
plt.yscale("symlog", linthresh=1e-8)
plt.legend(fontsize=7)
plt.show()

# %% [markdown]
# ## Time
#
# Many processors compute products of bfloat16 by way of float32, where it saves nothing.


# %%
@eqx.filter_jit
def by_scan(f, s0, xs):
    def step(state, x):
        state = f(state, x)
        return state, state

    return jax.lax.scan(step, s0, xs)[1]


compiled = eqx.filter_jit(solve)
compare(
    {
        "jax.lax.scan": lambda: by_scan(mixed, s0, xs),
        "chunks": lambda: compiled(mixed, s0, xs, **asked["chunks"]).value,
        "tolerance": lambda: compiled(mixed, s0, xs, **asked["tolerance"]).value,
        "by default": lambda: compiled(mixed, s0, xs).value,
        "float32 in chunks": lambda: compiled(fine, s0, xs, chunk=CHUNK).value,
    }
)
