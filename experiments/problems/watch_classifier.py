"""Small classifiers of the watch recordings: what a trained recurrence in use looks like.

They are trained for a few updates only, enough for the recurrence to be that of a trained network.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.datasets.dataset import Dataset, standardise
from experiments.datasets.watch import watch
from experiments.problems.predictions import predictions
from parallel_rnn.cells import GRUCell

BATCH_SIZE = 16
LEARNING_RATE = 1e-2
LARGEST_GRADIENT = 1.0


def whole(state: Array) -> Array:
    """The state as it is, which is the output of such cells as the GRU."""
    return state


class Classifier(eqx.Module):
    """A recurrence over the series, then a linear readout of the mean of its outputs.

    **Arguments:**

    - `channels`, `classes`: of the series.
    - `units`: of the cell, the length of an output.
    - `cell`: one of `parallel_rnn.cells`.
    - `output`: state -> output.
    """

    cell: Any
    readout: eqx.nn.Linear
    output: Callable[[Any], Array] = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        units: int,
        classes: int,
        cell: Callable[..., Any] = GRUCell,
        output: Callable[[Any], Array] = whole,
        *,
        key: PRNGKeyArray,
    ):
        cell_key, readout_key = jax.random.split(key)
        self.cell = cell(channels, units, key=cell_key, dtype=jnp.dtype(jnp.float32))
        self.readout = eqx.nn.Linear(units, classes, key=readout_key, dtype=jnp.float32)
        self.output = output

    def initial_state(self) -> Any:
        """All zeros."""
        return self.cell.initial_state()

    def __call__(self, series: Float[Array, "T M"]) -> Float[Array, " classes"]:
        """The logits of the classes."""

        def step(state: Any, x: Array) -> tuple[Any, Array]:
            state = self.cell(state, x)
            return state, self.output(state)

        outputs = jax.lax.scan(step, self.initial_state(), series)[1]
        return self.readout(jnp.mean(outputs, axis=0))


def crops(dataset: Dataset, length: int) -> Float[Array, "series T M"]:
    """The first steps of every series, standardised; at most as many as the shortest has."""
    length = min(length, *map(len, dataset.series))
    scaled = standardise(dataset.series, training=dataset.series)
    return jnp.asarray(np.stack([series[:length] for series in scaled]), jnp.float32)


def trained(
    units: int, updates: int, length: int, seed: int
) -> tuple[Classifier, Float[Array, "T M"], Float[Array, " updates"]]:
    """A GRU classifier after some updates, a series for it, and the loss of each update.

    **Arguments:**

    - `units`: D.
    - `length`: steps of a series, at most.
    - `seed`: of the weights and the batches.
    """
    dataset = watch()
    series, labels = crops(dataset, length), jnp.asarray(dataset.labels, jnp.int32)
    model_key, batches_key = jax.random.split(jax.random.key(seed))
    model = Classifier(series.shape[2], units, len(dataset.label_names), key=model_key)
    model, losses = fit(model, series, labels, updates, key=batches_key)
    return model, series[0], losses


def fit(
    model: Classifier,
    series: Float[Array, "series T M"],
    labels: Int[Array, " series"],
    updates: int,
    *,
    key: PRNGKeyArray,
) -> tuple[Classifier, Float[Array, " updates"]]:
    """The model after some updates of Adam on batches that the key draws, and the loss of each."""
    optimiser = optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(LEARNING_RATE))
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def update(model, state, key):
        chosen = jax.random.choice(key, len(series), (BATCH_SIZE,), replace=False)
        loss, gradient = eqx.filter_value_and_grad(_loss)(model, series[chosen], labels[chosen])
        change, state = optimiser.update(gradient, state)
        return eqx.apply_updates(model, change), state, loss

    losses = []
    for one in jax.random.split(key, updates):
        model, state, loss = update(model, state, one)
        losses.append(loss)
    return model, jnp.stack(losses)


@eqx.filter_jit
def accuracy(
    model: Classifier, series: Float[Array, "series T M"], labels: Int[Array, " series"]
) -> Float[Array, ""]:
    """The share of series that are classified right."""
    return jnp.mean(predictions(jax.vmap(model)(series)) == labels)


def _loss(
    model: Classifier, series: Float[Array, "batch T M"], labels: Int[Array, " batch"]
) -> Float[Array, ""]:
    logits = jax.vmap(model)(series)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
