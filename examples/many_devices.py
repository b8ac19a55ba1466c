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
# # A batch on many devices
#
# The series of a batch know nothing of each other, so each device may solve its own. On a computer
# without accelerators JAX makes eight devices of the processor, which is how to try such a program;
# it does not make it faster, because they share its cores.

# %%
import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # before JAX starts

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.sharding import NamedSharding, PartitionSpec

from parallel_rnn import solve_batch
from parallel_rnn.cells import GRUCell

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
DEVICES = jax.device_count()
BATCH = DEVICES if small else 2 * DEVICES
LENGTH, UNITS, CHANNELS = (100, 4, 2) if small else (5000, 16, 6)
CHUNK = 25 if small else 250

# %% [markdown]
# ## Each device has its part of the batch
#
# The weights are on every device, the series are dealt out along an axis of the mesh.

# %%
mesh = jax.make_mesh((DEVICES,), ("series",))
dealt, everywhere = PartitionSpec("series"), PartitionSpec()
cell = GRUCell(CHANNELS, UNITS, key=jax.random.key(0))
cell = jax.device_put(cell, NamedSharding(mesh, everywhere))
s0 = jnp.zeros((BATCH, UNITS))
xs = jax.random.normal(jax.random.key(1), (BATCH, LENGTH, CHANNELS))
s0_dealt, xs_dealt = jax.device_put((s0, xs), NamedSharding(mesh, dealt))

# %% [markdown]
# ## `shard_map` has each device solve what it has
#
# `solve_batch` takes series one after another. Called on the whole batch, it would have all devices
# work on the first series, then on the second. Within a `shard_map` it sees the series of one
# device only, and no device waits for another.


# %%
def on_every_device(run):
    specs = (everywhere, dealt, dealt)
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=dealt))


@on_every_device
def by_quasi_deer(cell, s0, xs):
    found = solve_batch(cell, s0, xs, chunk=None)
    return found.value, found.stats["num_steps"]


@on_every_device
def by_chunks(cell, s0, xs):
    return solve_batch(cell, s0, xs, chunk=CHUNK).value


@on_every_device
def by_default(cell, s0, xs):
    return solve_batch(cell, s0, xs).value


@on_every_device
def by_scan(cell, s0, xs):
    def step(state, x):
        state = jax.vmap(cell)(state, x)
        return state, state

    return jnp.swapaxes(jax.lax.scan(step, s0, jnp.swapaxes(xs, 0, 1))[1], 0, 1)


states, num_steps = by_quasi_deer(cell, s0_dealt, xs_dealt)
wanted = by_scan(cell, s0_dealt, xs_dealt)
print(f"{len(states.addressable_shards)} parts of shape {states.addressable_shards[0].data.shape}")
print(f"iterations of each series: {num_steps.tolist()}")
print(f"off by {jnp.max(jnp.abs(states - wanted)):.1e}")

# %%
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for shard in states.addressable_shards:
    series = shard.index[0].start
    axis.plot(shard.data[0, :100, 0] + 2 * series, label=f"{shard.device}")
axis.set(xlabel="step", ylabel="a state of the first series\nof each device, shifted", yticks=[])
axis.legend(fontsize=6, loc="right")
axis.set_xlim(0, 1.25 * min(LENGTH, 100))
plt.show()

# %% [markdown]
# ## A gradient
#
# Weights that are the same everywhere have a gradient that is summed over the devices. JAX does
# that for `solve_batch` as it does for `jax.lax.scan`.


# %%
def mean_square(run):
    return jax.jit(jax.grad(lambda cell: jnp.mean(run(cell, s0_dealt, xs_dealt) ** 2)))


slope, wanted = mean_square(by_chunks)(cell), mean_square(by_scan)(cell)
gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), slope, wanted)
print(f"gradient off by {max(jax.tree.leaves(gaps)):.1e}")

# %% [markdown]
# ## Time

# %%
compare(
    {
        "jax.lax.scan": lambda: by_scan(cell, s0_dealt, xs_dealt),
        "quasi-DEER": lambda: by_quasi_deer(cell, s0_dealt, xs_dealt),
        "without shard_map": lambda: solve_batch(cell, s0_dealt, xs_dealt, chunk=None).value,
        "chunks": lambda: by_chunks(cell, s0_dealt, xs_dealt),
        "by default": lambda: by_default(cell, s0_dealt, xs_dealt),
    }
)
