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
# # Parameters in plain JAX
#
# No library for networks is needed: parameters are a dictionary of arrays, a step is a function of
# them, and `jax.grad` goes through the solve. What to look out for is only when a program is
# compiled.

# %%
import os
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.tree_util import Partial

from parallel_rnn import solve

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH, UNITS = (200, 4) if small else (20_000, 16)
UPDATES = 3 if small else 100
CHUNK = 50 if small else 200
RATE = 0.03

# %% [markdown]
# ## A network of leaky units
#
# The state is what f returns, here one array; a dictionary would do as well.


# %%
def step(parameters, state, x):
    drive = parameters["recurrent"] @ state + parameters["input"] * x + parameters["bias"]
    leak = jax.nn.sigmoid(parameters["leak"])
    return (1 - leak) * state + leak * jnp.tanh(drive)


def first_parameters(key):
    recurrent, inputs, readout = jax.random.split(key, 3)
    return {
        "recurrent": 0.5 * jax.random.normal(recurrent, (UNITS, UNITS)) / UNITS**0.5,
        "input": jax.random.normal(inputs, (UNITS,)),
        "bias": jnp.zeros(UNITS),
        "leak": jnp.linspace(-3.0, 1.0, UNITS),
        "readout": 0.1 * jax.random.normal(readout, (UNITS,)),
    }


# %% [markdown]
# ## A loss, its gradient and a training
#
# The network learns a moving average of its input over some ten steps. f closes over the
# parameters, as any function of JAX does, and the gradient reaches them. All is within one `jit`
# that has the parameters as an argument: that is compiled once.

# %%
xs = jax.random.normal(jax.random.key(0), (LENGTH,))
target = jnp.convolve(xs, jnp.exp(-jnp.arange(50) / 10) / 10)[:LENGTH]
s0 = jnp.zeros(UNITS)


def loss(parameters, find_states):
    states = find_states(lambda state, x: step(parameters, state, x))
    return jnp.mean((states @ parameters["readout"] - target) ** 2)


def by_scan(f):
    def body(state, x):
        state = f(state, x)
        return state, state

    return jax.lax.scan(body, s0, xs)[1]


WAYS = {
    "jax.lax.scan": by_scan,
    "quasi-DEER": lambda f: solve(f, s0, xs, chunk=None).value,
    "chunks": lambda f: solve(f, s0, xs, chunk=CHUNK).value,
    "by default": lambda f: solve(f, s0, xs).value,
}
gradients = {
    name: jax.jit(lambda p, find=find: jax.value_and_grad(loss)(p, find))
    for name, find in WAYS.items()
}

parameters, losses = first_parameters(jax.random.key(1)), []
move = jax.jit(lambda p, slope: jax.tree.map(lambda a, b: a - RATE * b, p, slope))
for _ in range(UPDATES):
    value, slope = gradients["chunks"](parameters)
    parameters = move(parameters, slope)
    losses.append(value)
print(f"loss {losses[0]:.3g} before the first update, {losses[-1]:.3g} before the last")

plt.figure(figsize=(6, 3), layout="constrained")
plt.semilogy(losses)
plt.gca().set(xlabel="update", ylabel="loss")
plt.show()

# %% [markdown]
# ## What compiles again, and what does not
#
# Outside of a `jit`, `solve` compiles for each function object, as `jax.lax.scan` does: a `lambda`
# that is made anew in every turn of a loop is a new one. `jax.tree_util.Partial` hands the
# parameters over as arrays, so that other parameters find the program that is there.


# %%
def seconds(make):
    """Of a second call, with other parameters than the first."""
    first, second = (make(first_parameters(jax.random.key(number))) for number in range(2))
    jax.block_until_ready(solve(first, s0, xs).value)
    start = time.perf_counter()
    jax.block_until_ready(solve(second, s0, xs).value)
    return time.perf_counter() - start


print(f"a new lambda: {seconds(lambda p: lambda state, x: step(p, state, x)):.3g} s")
print(f"Partial: {seconds(lambda p: Partial(step, p)):.3g} s")

# %% [markdown]
# ## Time of a gradient

# %%
wanted = gradients["jax.lax.scan"](parameters)[1]
for name, gradient in gradients.items():
    gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), gradient(parameters)[1], wanted)
    print(f"{name}: gradient off by {max(jax.tree.leaves(gaps)):.1e}")

compare({name: lambda g=gradient: g(parameters) for name, gradient in gradients.items()})
