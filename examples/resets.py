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
# # Resets of reinforcement learning
#
# A recurrent policy sees a long stream of steps of many episodes. Where an episode ends, the state
# starts afresh. Sequence models of other kinds need a special scan for that; here a reset is a
# `jnp.where` in f, like any other.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import parallel_rnn
from parallel_rnn.cells import GRUCell

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH = 400 if small else 20_000
UNITS, CHANNELS = 8, 4
EPISODES = (10, 30) if small else (10, 100, 1000)  # steps each, on average
CHUNK = 100 if small else 1000

# %% [markdown]
# ## The body of the scan
#
# The same body serves `jax.lax.scan` and `parallel_rnn.scan`. `done` is a flag in the inputs: true
# at the first step of an episode. The weights are made eight times as large as at the start of a
# training: without resets the network would never forget, so that this is a hard case.

# %%
cell = GRUCell(CHANNELS, UNITS, key=jax.random.key(0))
cell = jax.tree.map(lambda weight: 8 * weight, cell)
s0 = cell.initial_state()


def body(state, inputs):
    x, done = inputs
    state = jnp.where(done, s0, state)
    state = cell(state, x)
    return state, state


observations = jax.random.normal(jax.random.key(1), (LENGTH, CHANNELS))


def stream(episode):
    """Inputs with a new episode at random, every `episode` steps on average."""
    done = jax.random.bernoulli(jax.random.key(2), 1 / episode, (LENGTH,))
    return observations, done


# %% [markdown]
# ## All agree

# %%
inputs = stream(EPISODES[1])
last, states = parallel_rnn.scan(body, s0, inputs)
last_wanted, wanted = jax.lax.scan(body, s0, inputs)
print(f"states off by {jnp.max(jnp.abs(states - wanted)):.1e}")

# %% [markdown]
# ## A reset makes the iteration easier
#
# The Jacobian of a step with a reset is zero: nothing before it matters any more. So an error of
# the guess cannot travel further than to the end of its episode, and an undamped method needs no
# more iterations than the longest episode has steps, give or take one. `solve` counts iterations,
# which `scan` has no place for. One window, so that the numbers can be compared.

# %%
f = lambda state, inputs: body(state, inputs)[0]  # noqa: E731
counts = {}
for episode in EPISODES:
    found = parallel_rnn.solve(f, s0, stream(episode), window=None)
    counts[episode] = int(found.stats["num_steps"])
    starts = jnp.flatnonzero(stream(episode)[1], size=LENGTH, fill_value=LENGTH)
    longest = jnp.max(jnp.diff(starts, prepend=0))
    print(f"{counts[episode]} iterations, where the longest episode has {longest} steps")

plt.figure(figsize=(6, 3), layout="constrained")
plt.loglog(list(counts), list(counts.values()), "o-")
plt.gca().set(xlabel="steps of an episode, on average", ylabel="iterations of quasi-DEER")
plt.show()

# %% [markdown]
# ## Time
#
# Chunks that are longer than an episode hold a reset, most of them. What they start from is then
# without influence on their ends, and a single sweep over all chunks is enough: what was wrong
# before the first reset of a chunk is repaired once the end of the chunk before is known.

# %%
ways = {
    "jax.lax.scan": jax.jit(lambda inputs: jax.lax.scan(body, s0, inputs)),
    "quasi-DEER": jax.jit(lambda inputs: parallel_rnn.scan(body, s0, inputs, chunk=None)),
    "chunks": jax.jit(lambda inputs: parallel_rnn.scan(body, s0, inputs, chunk=CHUNK)),
    "by default": jax.jit(lambda inputs: parallel_rnn.scan(body, s0, inputs)),
}
compare({name: lambda way=way: way(inputs) for name, way in ways.items()})
