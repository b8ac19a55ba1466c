"""One run of a training: updates, epochs, and checkpoints from which it goes on after a kill."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from experiments.datasets.dataset import DatasetError
from experiments.datasets.parts import Part, Parts, take
from experiments.harness import checkpoint
from experiments.harness.progress import Progress
from experiments.harness.timing import compiled, timed
from experiments.problems.classifier import VARIANTS, Classifier, Evaluation, evaluation, loss
from experiments.problems.predictions import predictions


@dataclass(frozen=True)
class Settings:
    """What a run depends on; config/README.md explains each value."""

    variant: str
    dataset: str
    folder: str | None
    length: int
    validation: int
    test: int
    splits: int
    seed: int
    cell: str
    units: int
    layers: int
    batch_size: int
    epochs: int
    patience: int
    learning_rate: float
    largest_gradient: float
    tolerance: float
    window: int | None
    group: int
    chunk: int

    def optimiser(self) -> optax.GradientTransformation:
        """Adam after the gradient was cut to a norm, as in the paper."""
        return clipped_adam(self.learning_rate, self.largest_gradient)


def clipped_adam(learning_rate: float, largest_gradient: float) -> optax.GradientTransformation:
    """Adam, after the gradient was cut to a norm."""
    clip = optax.clip_by_global_norm(largest_gradient)
    return optax.chain(clip, optax.adam(learning_rate))


class State(NamedTuple):
    """Everything that changes while a run trains.

    - `seen`: the states of every training series when it was last seen, which are the guess of a
      warm start.
    """

    model: Classifier
    optimiser: optax.OptState
    seen: Float[np.ndarray, "N layers T D"] | None


class Update(NamedTuple):
    """What an update showed.

    - `num_steps`: iterations of each layer, the mean over the series.
    - `failed`: solves that did not meet the tolerance.
    """

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    num_steps: Float[Array, " layers"]
    failed: Int[Array, ""]


class Programs(NamedTuple):
    """The compiled programs of a run and the seconds that they took to compile.

    - `update`: (model, optimiser, series, labels, guesses) -> model, optimiser, Update, states.
    - `classify`: (model, series) -> the class of each series.
    """

    update: Callable[..., tuple[Classifier, optax.OptState, Update, Array]]
    classify: Callable[[Classifier, Float[np.ndarray, "B T M"]], Int[Array, " B"]]
    compile_time_s: float


def updating(evaluate: Evaluation, optimiser: optax.GradientTransformation) -> Callable:
    """The function `update` of `Programs`. It returns the states if it is given guesses."""

    def update(model, state, series, labels, guesses):
        graded = eqx.filter_value_and_grad(loss, has_aux=True)
        (value, seen), gradient = graded(model, series, labels, evaluate, guesses)
        change, state = optimiser.update(gradient, state)
        shown = Update(
            value,
            seen.accuracy,
            optax.tree.norm(gradient),
            jnp.mean(seen.num_steps, axis=1),
            jnp.sum(~seen.converged),
        )
        states = None if guesses is None else seen.states
        return eqx.apply_updates(model, change), state, shown, states

    return update


def classifying(evaluate: Evaluation) -> Callable:
    """The function `classify` of `Programs`."""
    return lambda model, series: predictions(model(series, evaluate)[0])


def compile_programs(settings: Settings, training: Part, state: State) -> Programs:
    """The programs of all runs with these settings."""
    evaluate = evaluation(settings.variant, settings)
    chosen = batches(settings, 0, 0, len(training.labels))[0]
    batch = take(training, chosen)
    guesses = None if state.seen is None else state.seen[chosen]
    given = state.model, state.optimiser, *batch, guesses

    def both() -> tuple[Callable, Callable]:
        update = compiled(updating(evaluate, settings.optimiser()), *given)
        return update, compiled(classifying(evaluate), state.model, batch.series)

    seconds, (update, classify) = timed(both)
    return Programs(update, classify, seconds)


class Checkpoint(NamedTuple):
    """The path of a run's checkpoint, and the checksum by which the run knows it as its own."""

    path: Path
    identity: str


class Rows(NamedTuple):
    """The rows of a run so far."""

    updates: list[dict[str, Any]]
    epochs: list[dict[str, Any]]

    def best(self) -> dict[str, Any]:
        """The last of the epochs with the highest accuracy on the validation part.

        With few series several epochs share it, and what is trained longer is the surer choice.
        """
        return max(self.epochs, key=lambda row: (row["validation_accuracy"], row["epoch"]))

    def stale(self) -> int:
        """Epochs since the accuracy on the validation part last rose."""
        reached = [row["validation_accuracy"] for row in self.epochs]
        return len(reached) - 1 - reached.index(max(reached)) if reached else 0


# (model, batch) -> further columns of an epoch's row.
Watch = Callable[[Classifier, Part], dict[str, float]]


def run(
    settings: Settings,
    programs: Programs,
    parts: Parts,
    state: State,
    split: int,
    kept: Checkpoint,
    watch: Watch,
    progress: Progress,
) -> tuple[State, Rows]:
    """Trains on one split, from the checkpoint if there is one of the same run."""
    state, rows = resume(kept, state)
    for epoch in range(len(rows.epochs), settings.epochs):
        if rows.stale() >= settings.patience:
            break
        keys = {"split": split, "epoch": epoch + 1}
        order = batches(settings, split, epoch, len(parts.training.labels))
        for index, chosen in enumerate(order):
            state, shown = advance(programs, parts.training, state, chosen)
            rows.updates.append({**keys, "update": 1 + index, **shown})
        judged = judge(settings, programs, parts, state.model, rows)
        seen = watch(state.model, take(parts.training, order[-1]))
        rows.epochs.append({**keys, **judged, **seen})
        checkpoint.save(kept.path, {"identity": kept.identity, "rows": rows._asdict()}, state)
        progress.advance(f"split {split}: loss {rows.updates[-1]['loss']:.3g}")
    return state, rows


def batches(settings: Settings, split: int, epoch: int, series: int) -> list[np.ndarray]:
    """The series of each update of an epoch; those left over wait for the next epoch."""
    size = settings.batch_size
    if series < size:
        raise DatasetError(
            f"The training part has {series} series, fewer than the {size} of a batch: make "
            "`batch_size`, `validation` or `test` smaller."
        )
    order = np.random.default_rng([settings.seed, split, epoch]).permutation(series)
    return [order[first : first + size] for first in range(0, series - size + 1, size)]


def advance(
    programs: Programs, training: Part, state: State, chosen: np.ndarray
) -> tuple[State, dict[str, Any]]:
    """One update with the chosen series, and its row."""
    guesses = None if state.seen is None else state.seen[chosen]
    given = (state.model, state.optimiser, *take(training, chosen), guesses)
    seconds, (model, optimiser, shown, states) = timed(lambda: programs.update(*given))
    if state.seen is not None:
        state.seen[chosen] = states
    each = {f"num_steps_layer_{1 + i}": float(n) for i, n in enumerate(shown.num_steps)}
    row = {
        "loss": float(shown.loss),
        "accuracy": float(shown.accuracy),
        "gradient_norm": float(shown.gradient_norm),
        **each,
        "failed_solves": int(shown.failed),
        "time_s": seconds,
    }
    return State(model, optimiser, state.seen), row


def judge(
    settings: Settings, programs: Programs, parts: Parts, model: Classifier, rows: Rows
) -> dict[str, Any]:
    """The accuracy on the validation part; on the test part only where that is the best so far."""
    reached = accuracy(settings, programs, model, parts.validation)
    best = rows.best()["validation_accuracy"] if rows.epochs else -1.0
    tested = accuracy(settings, programs, model, parts.test) if reached >= best else None
    return {"validation_accuracy": reached, "test_accuracy": tested}


def accuracy(settings: Settings, programs: Programs, model: Classifier, part: Part) -> float:
    """The share of series that are classified right, taken a batch at a time."""
    size = settings.batch_size
    right = 0
    for first in range(0, len(part.labels), size):
        chosen = np.arange(first, min(first + size, len(part.labels)))
        # The program takes whole batches: the last one is filled up with its first series.
        filled = np.resize(chosen, size)
        found = np.asarray(programs.classify(model, part.series[filled]))[: len(chosen)]
        right += int(np.sum(found == part.labels[chosen]))
    return right / len(part.labels)


def begin(settings: Settings, channels: int, classes: int, split: int, series: int) -> State:
    """The state of a run before its first update.

    **Arguments:**

    - `channels`, `classes`: of the data.
    - `series`: how many the training part has.
    """
    key = jax.random.fold_in(jax.random.key(settings.seed), split)
    shape = channels, settings.units, settings.layers, classes
    model = Classifier(*shape, cell=settings.cell, key=key)
    optimiser = settings.optimiser().init(eqx.filter(model, eqx.is_array))
    shape = (series, settings.layers, settings.length, settings.units)
    warm = VARIANTS[settings.variant].warm
    return State(model, optimiser, np.zeros(shape, np.float32) if warm else None)


def resume(kept: Checkpoint, state: State) -> tuple[State, Rows]:
    """The state and the rows of the checkpoint if it is of this run, else `state` and no rows."""
    about = checkpoint.read_about(kept.path)
    if about is None:
        return state, Rows([], [])
    if about["identity"] != kept.identity:
        print(f"{kept.path.name} is of other settings or code: starting afresh.", file=sys.stderr)
        return state, Rows([], [])
    rows = Rows(**about["rows"])
    print(f"{kept.path.name}: going on after epoch {len(rows.epochs)}.", file=sys.stderr)
    return checkpoint.load(kept.path, state), rows
