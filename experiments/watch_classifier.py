"""A small GRU classifier of the watch recordings: what a trained recurrence in use looks like.

It is trained for a few updates only, enough for its recurrence to be that of a trained network.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.datasets import Dataset, standardise, watch
from parallel_rnn.cells import GRUCell

BATCH_SIZE = 16
LEARNING_RATE = 1e-2
LARGEST_GRADIENT = 1.0


class Classifier(eqx.Module):
    """A GRU over the series, then a linear readout of the mean of its states."""

    cell: GRUCell
    readout: eqx.nn.Linear

    def __init__(self, channels: int, units: int, classes: int, *, key: PRNGKeyArray):
        cell_key, readout_key = jax.random.split(key)
        self.cell = GRUCell(channels, units, key=cell_key, dtype=jnp.dtype(jnp.float32))
        self.readout = eqx.nn.Linear(units, classes, key=readout_key, dtype=jnp.float32)

    def initial_state(self) -> Float[Array, " D"]:
        """All zeros."""
        return jnp.zeros_like(self.cell.recurrent.bias_n)

    def __call__(self, series: Float[Array, "T M"]) -> Float[Array, " classes"]:
        """The logits of the classes."""

        def step(state: Array, x: Array) -> tuple[Array, Array]:
            state = self.cell(state, x)
            return state, state

        states = jax.lax.scan(step, self.initial_state(), series)[1]
        return self.readout(jnp.mean(states, axis=0))


def crops(dataset: Dataset, length: int) -> Float[Array, "series T M"]:
    """The first steps of every series, standardised; at most as many as the shortest has."""
    length = min(length, *map(len, dataset.series))
    scaled = standardise(dataset.series, training=dataset.series)
    return jnp.asarray(np.stack([series[:length] for series in scaled]), jnp.float32)


def trained(
    units: int, updates: int, length: int, seed: int
) -> tuple[Classifier, Float[Array, "T M"], Float[Array, " updates"]]:
    """A classifier after some updates of Adam, a series for it, and the loss of each update.

    **Arguments:**

    - `units`: D.
    - `length`: steps of a series, at most.
    - `seed`: of the weights and the batches.
    """
    dataset = watch()
    series, labels = crops(dataset, length), jnp.asarray(dataset.labels, jnp.int32)
    model_key, batches_key = jax.random.split(jax.random.key(seed))
    model = Classifier(series.shape[2], units, len(dataset.label_names), key=model_key)
    optimiser = optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(LEARNING_RATE))
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def update(model, state, key):
        chosen = jax.random.choice(key, len(series), (BATCH_SIZE,), replace=False)
        loss, gradient = eqx.filter_value_and_grad(_loss)(model, series[chosen], labels[chosen])
        change, state = optimiser.update(gradient, state)
        return eqx.apply_updates(model, change), state, loss

    losses = []
    for key in jax.random.split(batches_key, updates):
        model, state, loss = update(model, state, key)
        losses.append(loss)
    return model, series[0], jnp.stack(losses)


def _loss(
    model: Classifier, series: Float[Array, "batch T M"], labels: Int[Array, " batch"]
) -> Float[Array, ""]:
    logits = jax.vmap(model)(series)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
