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
# # A cell of Flax
#
# Flax calls a cell as `cell(carry, x) -> (carry, output)`, as `jax.lax.scan` calls its body. So
# `parallel_rnn.scan` takes it as it is. Nothing has to be rewritten, but a solver that
# knows more needs less: the last part measures what that is worth.

# %%
import os
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import parallel_rnn

from stopwatch import compare

try:
    from flax import nnx
except ImportError:
    print("Skipped: Flax is not installed. `pip install flax` brings it.")
    sys.exit()

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH, UNITS, CHANNELS = (200, 4, 2) if small else (20_000, 32, 6)
CHUNK = 50 if small else 200

# %% [markdown]
# ## The cell and its parameters
#
# `nnx.split` takes the cell apart into its graph, which is static, and its parameters, which are
# arrays. A function of both is what JAX differentiates and compiles once.

# %%
cell = nnx.GRUCell(CHANNELS, UNITS, rngs=nnx.Rngs(0))
graph, parameters, rest = nnx.split(cell, nnx.Param, ...)
xs = jax.random.normal(jax.random.key(1), (LENGTH, CHANNELS))
s0 = jnp.zeros(UNITS)


def body_of(parameters):
    return lambda carry, x: nnx.merge(graph, parameters, rest)(carry, x)


@jax.jit
def by_scan(parameters):
    return jax.lax.scan(body_of(parameters), s0, xs)[1]


@jax.jit
def by_quasi_deer(parameters):
    return parallel_rnn.scan(body_of(parameters), s0, xs, chunk=None)[1]


@jax.jit
def by_default(parameters):
    return parallel_rnn.scan(body_of(parameters), s0, xs)[1]


@jax.jit
def by_chunks(parameters):
    return parallel_rnn.scan(body_of(parameters), s0, xs, chunk=CHUNK)[1]


outputs, wanted = by_quasi_deer(parameters), by_scan(parameters)
print(f"outputs off by {jnp.max(jnp.abs(outputs - wanted)):.1e}")
assert jnp.allclose(outputs, wanted, atol=1e-5), "roundings die away where f forgets"


# %% [markdown]
# ## A gradient


# %%
def gradient(find_outputs):
    return jax.jit(jax.grad(lambda p: jnp.mean(find_outputs(p) ** 2)))(parameters)


slope, wanted = gradient(by_chunks), gradient(by_scan)
gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), slope, wanted)
print(f"gradient off by {max(jax.tree.leaves(gaps)):.1e}")

names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(slope)]
sizes = [float(jnp.sqrt(jnp.mean(leaf**2))) for leaf in jax.tree.leaves(slope)]
plt.figure(figsize=(6, 3), layout="constrained")
plt.barh(names, sizes)
plt.gca().set(xlabel="root mean square of the gradient of each parameter")
plt.show()

# %% [markdown]
# ## What it is worth to know the Jacobian
#
# Of a cell of Flax quasi-DEER finds the diagonal of the Jacobian by automatic differentiation: it
# takes as many products as the state has numbers. A GRU of `parallel_rnn.cells` has it in closed
# form. Chunks do without it where f forgets. The cell below has weights of its own: it is there to
# compare times, not states.

# %%
known = parallel_rnn.cells.GRUCell(CHANNELS, UNITS, key=jax.random.key(2))
compiled = eqx.filter_jit(parallel_rnn.solve)
compare(
    {
        "jax.lax.scan": lambda: by_scan(parameters),
        "quasi-DEER": lambda: by_quasi_deer(parameters),
        "quasi-DEER, closed form": lambda: compiled(known, s0, xs, chunk=None).value,
        "chunks": lambda: by_chunks(parameters),
        "by default": lambda: by_default(parameters),
    }
)
