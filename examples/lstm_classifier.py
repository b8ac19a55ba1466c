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
# # A two-layer LSTM classifier in Equinox
#
# Two layers of `equinox.nn.LSTMCell` with dropout, trained by optax. The model asks for the states
# of a layer by one function, so that `jax.lax.scan` and `parallel_rnn` are one line apart.

# %%
import os
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

from parallel_rnn import BlockDiagonal, QuasiDEER, solve_batch
from parallel_rnn.cells import from_equinox

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
BATCH, LENGTH, UNITS = (3, 48, 4) if small else (16, 500, 16)
UPDATES, CHUNK = (3, 16) if small else (60, 100)

# %% [markdown]
# ## The states of a layer
#
# An LSTM cell of Equinox is called as `cell(input, (h, c))`; `from_equinox` makes the recurrence
# `f((c, h), x)` of it, with the same weights and its Jacobian in closed form. A cell number depends
# on its own output as much as on itself, so quasi-DEER keeps the 2 by 2 blocks of the two.

# %%
solver = QuasiDEER(transition=BlockDiagonal(2))


def states_by_scan(f, s0, xs):
    def step(state, x):
        state = jax.vmap(f)(state, x)
        return state, state

    states = jax.lax.scan(step, s0, jnp.swapaxes(xs, 0, 1))[1]
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), states)


def states_by_solve(f, s0, xs, **options):
    return solve_batch(f, s0, xs, **options).value


# %% [markdown]
# ## The model
#
# Dropout acts between the layers and before the readout, on whole arrays, outside of the
# recurrence. Within one it would be an input: draw the masks beforehand and pass them with `xs`.


# %%
class Classifier(eqx.Module):
    layers: list[eqx.nn.LSTMCell]
    dropout: eqx.nn.Dropout
    readout: eqx.nn.Linear

    def __init__(self, channels, units, classes, key):
        first, second, last = jax.random.split(key, 3)
        sizes = ((channels, first), (units, second))
        self.layers = [eqx.nn.LSTMCell(size, units, key=one) for size, one in sizes]
        self.dropout = eqx.nn.Dropout(0.2)
        self.readout = eqx.nn.Linear(units, classes, key=last)

    def __call__(self, series, find_states, key=None):
        """The logits of a batch of series, (B, T, M). Without a key nothing is dropped."""
        outputs = series
        for number, layer in enumerate(self.layers):
            zeros = jnp.zeros((len(series), layer.hidden_size))
            _, outputs = find_states(from_equinox(layer), (zeros, zeros), outputs)
            own = None if key is None else jax.random.fold_in(key, number)
            outputs = self.dropout(outputs, key=own, inference=key is None)
        return jax.vmap(self.readout)(jnp.mean(outputs, axis=1))


# %% [markdown]
# ## The task: how loud is a noisy tone?


# %%
@jax.jit
def draw(key):
    """Series (B, T, 1) and labels (B,)."""
    label_key, phase_key, noise_key = jax.random.split(key, 3)
    labels = jax.random.randint(label_key, (BATCH,), 0, 3)
    phase = 2 * jnp.pi * jax.random.uniform(phase_key, (BATCH, 1))
    tone = (1 + labels[:, None]) * jnp.sin(phase + 0.3 * jnp.arange(LENGTH))
    return (tone + 0.5 * jax.random.normal(noise_key, tone.shape))[..., None], labels


def loss(model, series, labels, key, find_states):
    logits = model(series, find_states, key)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


optimiser = optax.adam(1e-2)
gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))


@eqx.filter_jit
def update(model, slope, memory):
    change, memory = optimiser.update(slope, memory)
    return eqx.apply_updates(model, change), memory


model = Classifier(1, UNITS, 3, jax.random.key(0))
memory = optimiser.init(eqx.filter(model, eqx.is_array))
chunked = partial(states_by_solve, solver=solver, chunk=CHUNK)

# %% [markdown]
# ## Training
#
# The gradient is exact, so training with any of the functions is the same training.

# %%
losses = []
for key in jax.random.split(jax.random.key(1), UPDATES):
    series, labels = draw(key)
    value, slope = gradient(model, series, labels, key, chunked)
    model, memory = update(model, slope, memory)
    losses.append(value)
print(f"loss {losses[0]:.3g} before the first update, {losses[-1]:.3g} before the last")

plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(losses)
plt.gca().set(xlabel="update", ylabel="loss of the batch")
plt.show()

# %% [markdown]
# ## Time of a gradient, and whether all agree

# %%
series, labels = draw(jax.random.key(2))
key = jax.random.key(3)
ways = {"jax.lax.scan": states_by_scan, "by default": states_by_solve, "chunks": chunked}
ways["quasi-DEER"] = partial(states_by_solve, solver=solver, chunk=None)
wanted = gradient(model, series, labels, key, states_by_scan)[1]
for name, find_states in ways.items():
    found = gradient(model, series, labels, key, find_states)[1]
    gap = optax.tree.norm(optax.tree.sub(found, wanted)) / optax.tree.norm(wanted)
    print(f"{name}: gradient off by {gap:.1e} of its norm")

compare({name: partial(gradient, model, series, labels, key, one) for name, one in ways.items()})
