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
# # A stream that never ends
#
# Data come in pieces, and each is solved when it is there, from the last state of the piece before.
# Memory is that of one piece. The pieces together are what one solve of the whole would find.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from parallel_rnn import solve, solve_batch
from parallel_rnn.cells import GRUCell

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH, UNITS, CHANNELS = (500, 4, 2) if small else (50_000, 32, 6)
LONGEST = 100 if small else 10_000  # a piece has so many steps at most
CHUNK = 25 if small else 250

cell = GRUCell(CHANNELS, UNITS, key=jax.random.key(0))
s0 = cell.initial_state()

# %% [markdown]
# ## Pieces of all lengths
#
# They come as they come. A new length would compile a new program, so each piece is padded to the
# longest, and `solve_batch` is told how many of its steps count. One series is a batch of one. What
# stands in the padding does not matter.

# %%
recorded = np.random.default_rng(0).standard_normal((LENGTH, CHANNELS), dtype=np.float32)


def pieces():
    """What a sensor or a file would give."""
    random = np.random.default_rng(1)
    position = 0
    while position < LENGTH:
        end = position + int(random.integers(LONGEST // 4, LONGEST + 1))
        yield recorded[position:end]
        position = end


def padded(piece):
    room = np.zeros((LONGEST, CHANNELS), np.float32)
    room[: len(piece)] = piece
    return room


def states_of(state, piece):
    """The states of a piece, which has any length."""
    length = len(piece)
    found = solve_batch(cell, state[None], padded(piece)[None], lengths=[length], chunk=CHUNK)
    return found.value[0, :length]


# %% [markdown]
# ## The loop
#
# All that goes on from piece to piece is one state. Here a mean over time is kept as well.

# %%
state, total, joints, ends = s0, jnp.zeros(UNITS), [0], []
for piece in pieces():
    states = states_of(state, piece)
    state = states[-1]
    total += states.sum(axis=0)
    joints.append(joints[-1] + len(piece))
    ends.append(state)
print(f"{len(ends)} pieces of {np.diff(joints).tolist()} steps")

whole = solve(cell, s0, recorded, chunk=CHUNK).value
at_ends = whole[jnp.array(joints[1:]) - 1]
gaps = jnp.max(jnp.abs(jnp.stack(ends) - at_ends), axis=1)
print(f"last states of the pieces off by {jnp.max(gaps):.1e}")
print(f"mean off by {jnp.max(jnp.abs(total / LENGTH - whole.mean(axis=0))):.1e}")
assert jnp.max(gaps) < 1e-5, "roundings die away where f forgets"

# %%
shown = slice(max(joints[1] - 60, 0), joints[1] + 60)
plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(range(*shown.indices(LENGTH)), whole[shown, :4])
plt.axvline(joints[1] - 0.5, color="0.5", linestyle=":")
plt.gca().set(xlabel="step; a new piece begins at the dotted line", ylabel="four of the states")
plt.show()

# %% [markdown]
# ## Time of a piece
#
# Each step costs as much at the end of the stream as at its start. A piece should be long: a short
# one leaves little to do side by side.


# %%
@eqx.filter_jit
def by_scan(cell, state, piece):
    def step(state, x):
        state = cell(state, x)
        return state, state

    return jax.lax.scan(step, state, piece)[1]


piece = jnp.asarray(recorded[:LONGEST])
compiled = eqx.filter_jit(solve)
compare(
    {
        "jax.lax.scan": lambda: by_scan(cell, s0, piece),
        "quasi-DEER": lambda: compiled(cell, s0, piece, chunk=None).value,
        "chunks": lambda: compiled(cell, s0, piece, chunk=CHUNK).value,
        "by default": lambda: compiled(cell, s0, piece).value,
        "chunks, padded": lambda: states_of(s0, recorded[:LONGEST]),
    }
)
