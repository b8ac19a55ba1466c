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
# # Series of different lengths, read in both directions
#
# A bidirectional layer runs one recurrence from the first input to the last and another one back.
# In a batch of padded series the second must start at the last input that counts, not in the
# padding. `solve_batch` takes care of both.

# %%
import os
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from parallel_rnn import solve_batch
from parallel_rnn.cells import GRUCell

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
BATCH, LENGTH, UNITS, CHANNELS = (3, 100, 4, 2) if small else (8, 10_000, 32, 6)
CHUNK = 25 if small else 250

# %% [markdown]
# ## A batch with padding
#
# What stands in the padding does not matter. Here it is NaN, to show that nothing leaks.

# %%
keys = jax.random.split(jax.random.key(0), 4)
lengths = jax.random.randint(keys[0], (BATCH,), LENGTH // 10, LENGTH + 1)
counts = jnp.arange(LENGTH) < lengths[:, None]
series = jax.random.normal(keys[1], (BATCH, LENGTH, CHANNELS))
series = jnp.where(counts[..., None], series, jnp.nan)
forward = GRUCell(CHANNELS, UNITS, key=keys[2])
backward = GRUCell(CHANNELS, UNITS, key=keys[3])
s0 = jnp.zeros((BATCH, UNITS))

# %% [markdown]
# ## The layer
#
# States of padding are 0, so a mean over the steps that count is a sum divided by the length.


# %%
@jax.jit
def layer(series, lengths):
    ahead = solve_batch(forward, s0, series, lengths=lengths, chunk=None)
    back = solve_batch(backward, s0, series, lengths=lengths, chunk=None, reverse=True)
    return jnp.concatenate([ahead.value, back.value], axis=-1)


outputs = layer(series, lengths)
pooled = outputs.sum(axis=1) / lengths[:, None]
print(f"lengths {lengths.tolist()}, outputs {outputs.shape}, pooled {pooled.shape}")

# %% [markdown]
# ## The same by `jax.lax.scan`
#
# A scan holds the state still where nothing counts: going back it stays at the initial state until
# the last input that counts. It takes all steps of the padding too, and so does the compiled loop.


# %%
def masked_scan(cell, series, counts, reverse):
    def step(state, inputs):
        x, count = inputs
        state = jnp.where(count[:, None], jax.vmap(cell)(state, x), state)
        return state, jnp.where(count[:, None], state, 0)

    inputs = jnp.swapaxes(series, 0, 1), counts.T
    return jnp.swapaxes(jax.lax.scan(step, s0, inputs, reverse=reverse)[1], 0, 1)


@jax.jit
def layer_by_scan(series, counts):
    ahead = masked_scan(forward, series, counts, reverse=False)
    back = masked_scan(backward, series, counts, reverse=True)
    return jnp.concatenate([ahead, back], axis=-1)


print(f"off by {jnp.max(jnp.abs(outputs - layer_by_scan(series, counts))):.1e}")

# %%
figure, axes = plt.subplots(2, 1, figsize=(6, 4), sharex=True, layout="constrained")
shortest = int(jnp.argmin(lengths))
for axis, direction, states in zip(
    axes, ("forward", "backward"), jnp.split(outputs[shortest], 2, axis=-1), strict=True
):
    axis.plot(states[:, :3], linewidth=0.6)
    axis.axvline(int(lengths[shortest]), color="0.5", linestyle=":")
    axis.set(ylabel=f"{direction}\nstates")
axes[-1].set(xlabel="step; padding is behind the dotted line")
plt.show()

# %% [markdown]
# ## Time
#
# An untrained GRU forgets within some tens of steps, so chunks need a single sweep.


# %%
@partial(jax.jit, static_argnames="chunk")
def layer_in_chunks(series, lengths, chunk):
    ahead = solve_batch(forward, s0, series, lengths=lengths, chunk=chunk)
    back = solve_batch(backward, s0, series, lengths=lengths, chunk=chunk, reverse=True)
    return jnp.concatenate([ahead.value, back.value], axis=-1)


compare(
    {
        "jax.lax.scan": lambda: layer_by_scan(series, counts),
        "quasi-DEER": lambda: layer(series, lengths),
        "chunks": lambda: layer_in_chunks(series, lengths, CHUNK),
        "by default": lambda: layer_in_chunks(series, lengths, "auto"),
    }
)
