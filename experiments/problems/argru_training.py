"""Trains the autoregressive GRU on noisy sine waves by maximum likelihood (for Figures 4 and 7).

The paper's authors released trained weights and no training code. This is how the pipeline makes
weights of its own: the series are sine waves plus Gaussian noise, all with phase 0 at the first
step, so that the model's start at zero is a point of the wave. The likelihood of a series needs
no rollout: given all x, the model is a GRU over known inputs ("teacher forcing"). Adam first
sees the beginnings of the series only, then whole series.

    python -m experiments.problems.argru_training --output results/fresh/cpu/argru_training.csv \\
        --weights results/fresh/cpu/argru_weights.npz

writes the loss of every update, and in the record how far the trained model, rolled out on
noise of its own, is a wave like those of the data.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from jaxtyping import Array, Float, PRNGKeyArray

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.problems.argru import ARGRU, HIDDEN_SIZE, untrained

EXPERIMENT, SECTION = "argru_training", "argru.training"
# The learning rate rises over this share of the updates, then falls to this share of itself.
WARMUP = 1 / 20
LAST_RATE = 1 / 100
# Updates in one call of the compiled program; the progress is told between calls.
UPDATES_AT_ONCE = 50
# Noise of the rollouts that the record describes.
ROLLOUT_SEEDS = range(3)


@dataclass(frozen=True)
class Settings:
    """What the training depends on; config/README.md explains each value."""

    seed: int
    amplitude: float
    period: float
    noise: float
    length: int
    crop: int
    crop_updates: int
    updates: int
    batch_size: int
    learning_rate: float
    largest_gradient: float

    def stages(self) -> list[tuple[int, int]]:
        """(length of the series, number of updates), in the order of training."""
        return [(self.crop, self.crop_updates), (self.length, self.updates)]


def waves(settings: Settings, length: int, key: PRNGKeyArray) -> Float[Array, "T batch"]:
    """A batch of noisy sine waves: their first `length` steps."""
    angle = 2 * jnp.pi * jnp.arange(1, length + 1) / settings.period
    wave = settings.amplitude * jnp.sin(angle)
    noise = jax.random.normal(key, (length, settings.batch_size), jnp.float32)
    return wave[:, None] + settings.noise * noise


# With z_t = (x_t - μ_t) / σ_t, where μ_t and σ_t follow from x_1, ..., x_{t-1},
#
#     -log p(x) = sum_t [ z_t^2 / 2 + log σ_t + log(2π) / 2 ].
def negative_log_likelihood(model: ARGRU, series: Float[Array, "T batch"]) -> Float[Array, ""]:
    """Mean over the series and their steps, in nats."""
    hidden = jnp.zeros((series.shape[1], HIDDEN_SIZE), series.dtype)
    before = jnp.concatenate([jnp.zeros_like(series[:1]), series[:-1]])

    def step(hidden: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
        hidden, mean, deviation = jax.vmap(model.predict)(x[:, None], hidden)
        return hidden, (mean, deviation)

    _, (mean, deviation) = jax.lax.scan(step, hidden, before)
    score = (series - mean) / deviation
    return jnp.mean(score**2 / 2 + jnp.log(deviation)) + math.log(2 * math.pi) / 2


def train(settings: Settings, progress: Progress) -> tuple[ARGRU, pd.DataFrame]:
    """The trained model, and the loss of every update."""
    model = untrained(settings.seed)
    optimiser = _optimiser(settings)
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def several(model: ARGRU, state: Any, keys: PRNGKeyArray, length: int):
        def update(carry, key):
            model, state = carry
            series = waves(settings, length, key)
            loss, gradient = jax.value_and_grad(negative_log_likelihood)(model, series)
            change, state = optimiser.update(gradient, state)
            return (eqx.apply_updates(model, change), state), loss

        (model, state), losses = jax.lax.scan(update, (model, state), keys)
        return model, state, losses

    tables = []
    for length, keys in _pieces(settings):
        model, state, losses = several(model, state, keys, length)
        tables.append(pd.DataFrame({"length": length, "loss_nats_per_step": np.asarray(losses)}))
        progress.advance(f"series of {length} steps: {float(losses.mean()):.4f} nats a step")
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "update", np.arange(1, len(table) + 1))
    return model, table


def _optimiser(settings: Settings) -> optax.GradientTransformation:
    total, rate = settings.crop_updates + settings.updates, settings.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, rate, max(1, int(total * WARMUP)), total, rate * LAST_RATE
    )
    return optax.chain(optax.clip_by_global_norm(settings.largest_gradient), optax.adam(schedule))


def _pieces(settings: Settings) -> Iterator[tuple[int, PRNGKeyArray]]:
    """For each call of the compiled program: the length of its series, the keys of its updates."""
    base = jax.random.fold_in(jax.random.key(settings.seed), 1)
    for stage, (length, updates) in enumerate(settings.stages()):
        keys = jax.random.split(jax.random.fold_in(base, stage), updates)
        for first in range(0, updates, UPDATES_AT_ONCE):
            yield length, keys[first : first + UPDATES_AT_ONCE]


def rollout(model: ARGRU, noise: Float[Array, " T"]) -> Float[Array, " T"]:
    """The output x of the model, started at its initial state, on the given noise."""

    def step(state: Array, e: Array) -> tuple[Array, Array]:
        state = model(state, e)
        return state, state[0]

    return jax.lax.scan(step, model.initial_state(), noise)[1]


def describe_wave(output: np.ndarray) -> dict[str, float]:
    """The strongest frequency's period, and for each half the amplitude of a sine as strong."""
    spectrum = np.abs(np.fft.rfft(output - output.mean()))
    early, late = np.array_split(output, 2)
    return {
        "period_steps": len(output) / max(1, int(np.argmax(spectrum))),
        "amplitude_first_half": math.sqrt(2) * float(np.std(early)),
        "amplitude_second_half": math.sqrt(2) * float(np.std(late)),
    }


def _describe(settings: Settings, model: ARGRU) -> list[dict[str, float]]:
    roll = jax.jit(rollout)
    drawn = [
        jax.random.normal(jax.random.key(seed), (settings.length,), jnp.float32)
        for seed in ROLLOUT_SEEDS
    ]
    return [describe_wave(np.asarray(roll(model, noise), np.float64)) for noise in drawn]


def _save(model: ARGRU, path: Path) -> None:
    """Written under another name first, so that nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.npz")
    model.save(partial)
    os.replace(partial, path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(f"problems.{EXPERIMENT}", SECTION)
    parser.add_argument("--weights", type=Path, required=True, help="where the weights are put")
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    with Progress(len(list(_pieces(settings))), "AR GRU training") as progress:
        model, table = train(settings, progress)
    _save(model, options.weights)
    write_results(options.output, table, record.complete(rollouts=_describe(settings, model)))


if __name__ == "__main__":
    main()
