"""The time of an update at the size of EigenWorms, as the bottom of Figure 3 compares it.

The data are random numbers of EigenWorms' shape and the model is the paper's. Nothing is learned:
only the time and the iterations of a few updates are of interest. The methods take turns.

    python -m experiments.training_step --output results/fresh/cpu/training_step.csv

writes one row an update.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pandas as pd

from experiments.datasets.parts import Part
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import compiled, side_by_side, timed
from experiments.problems.classifier import Classifier, evaluation
from experiments.problems.trainer import Update, clipped_adam, updating

EXPERIMENT = "training_step"


@dataclass(frozen=True)
class Settings:
    """What the measurement depends on; config/README.md explains each value."""

    variants: tuple[str, ...]
    length: int
    channels: int
    classes: int
    units: int
    layers: int
    batch_size: int
    learning_rate: float
    largest_gradient: float
    tolerance: float
    window: int | None
    group: int
    chunk: int
    repetitions: int
    seed: int


def random_batch(settings: Settings) -> Part:
    """Standard normal series, any labels."""
    generator = np.random.default_rng(settings.seed)
    shape = (settings.batch_size, settings.length, settings.channels)
    series = generator.standard_normal(shape, np.float32)
    return Part(series, generator.integers(settings.classes, size=settings.batch_size))


def prepare(settings: Settings, variant: str) -> tuple[Callable[[], Update], float]:
    """A call that makes the first update anew, and the seconds that it took to compile."""
    shape = settings.channels, settings.units, settings.layers, settings.classes
    model = Classifier(*shape, key=jax.random.key(settings.seed))
    evaluate = evaluation(variant, settings)
    optimiser = clipped_adam(settings.learning_rate, settings.largest_gradient)
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    given = model, state, *random_batch(settings), None
    seconds, update = timed(lambda: compiled(updating(evaluate, optimiser), *given))
    return lambda: update(*given)[2], seconds


def measure(settings: Settings) -> pd.DataFrame:
    """All timed updates; the one that warms up is left out."""
    with Progress(len(settings.variants) * (1 + settings.repetitions), "update") as progress:
        prepared = side_by_side(partial(prepare, settings), settings.variants)
        for variant, (update, compile_time_s) in prepared.items():
            jax.block_until_ready(update())
            progress.advance(f"{variant}: compiled in {compile_time_s:.0f} s")
        rows = []
        for repetition in range(settings.repetitions):
            for variant, (update, compile_time_s) in prepared.items():
                seconds, shown = timed(update)
                rows.append(_row(variant, repetition, compile_time_s, seconds, shown))
                progress.advance(f"{variant}: {seconds:.2f} s")
    return pd.DataFrame(rows)


def _row(
    variant: str, repetition: int, compile_time_s: float, seconds: float, shown: Update
) -> dict[str, Any]:
    layers = {f"num_steps_layer_{1 + i}": float(n) for i, n in enumerate(shown.num_steps)}
    return {
        "variant": variant,
        "repetition": repetition,
        "loss": float(shown.loss),
        **layers,
        "failed_solves": int(shown.failed),
        "time_s": seconds,
        "compile_time_s": compile_time_s,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    write_results(options.output, measure(settings), record.complete())


if __name__ == "__main__":
    main()
