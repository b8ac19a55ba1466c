"""Trains the paper's classifier on recordings, its recurrences evaluated by one method (Figure 3).

Every split of the data is trained once. Each update is timed; its loss, accuracy, gradient norm and
Newton iterations are kept. An epoch ends with the accuracy on the validation part, and with that on
the test part where the former is the best so far. Then the run is kept in a checkpoint: killed and
started again, it goes on from there and ends with the same numbers.

    python -m experiments.training --variant quasi_deer \\
        --output results/fresh/cpu/training/quasi_deer.csv

writes one row an update, and beside it one row an epoch, `quasi_deer_epochs.csv`. Only `time_s`
differs between two runs with the same settings.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pandas as pd

from experiments.datasets.dataset import DatasetError
from experiments.datasets.parts import load, splits
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.sources import sources
from experiments.problems.classifier import VARIANTS, Classifier
from experiments.problems.trainer import (
    Checkpoint,
    Rows,
    Settings,
    Watch,
    begin,
    compile_programs,
    run,
)

EXPERIMENT = "training"
_REPOSITORY = Path(__file__).resolve().parents[1]


@contextmanager
def checkpoints(output: Path) -> Iterator[Path]:
    """A folder for the checkpoints of a run, beside its results; gone when all is written.

    What cannot be read ends the process with its sentence.
    """
    kept = output.with_name(f"{output.stem}_checkpoints")
    try:
        yield kept
    except DatasetError as error:
        sys.exit(str(error))
    shutil.rmtree(kept)


def identify(settings: Settings, experiment: str, split: int) -> str:
    """A checksum of what a run depends on: its settings and the code."""
    digest = hashlib.sha256(json.dumps([asdict(settings), split]).encode())
    for name in sources(_REPOSITORY, f"experiments.{experiment}"):
        digest.update((_REPOSITORY / name).read_bytes())
    return digest.hexdigest()


def train(
    settings: Settings, experiment: str, kept: Path, watch: Watch = lambda model, batch: {}
) -> tuple[list[Rows], dict[str, Any]]:
    """Trains on every split; the rows of each, and what the record says besides.

    **Arguments:**

    - `experiment`: the module that asks; a checkpoint is good as long as its code is the same.
    - `kept`: the folder of the checkpoints.
    - `watch`: called after every epoch.
    """
    dataset = load(settings.dataset, settings.folder, settings.length)
    found, weights, programs = [], [], None
    with Progress(settings.splits * settings.epochs, settings.variant) as progress:
        for split, parts in enumerate(splits(dataset, settings)):
            shape = len(dataset.channel_names), len(dataset.label_names)
            state = begin(settings, *shape, split, len(parts.training.labels))
            if programs is None:
                programs = compile_programs(settings, parts.training, state)
            identity = identify(settings, experiment, split)
            place = Checkpoint(kept / f"split{split}.eqx", identity)
            state, rows = run(settings, programs, parts, state, split, place, watch, progress)
            found.append(rows)
            weights.append(describe_weights(state.model))
    about = {"compile_time_s": programs and programs.compile_time_s, "weights_sha256": weights}
    return found, about


def describe_weights(model: Classifier) -> str:
    """The checksum of the weights, to compare two runs by."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def tabulate(settings: Settings, rows: Sequence[list[dict[str, Any]]]) -> pd.DataFrame:
    """The rows of all splits, with the variant."""
    table = pd.DataFrame([row for split in rows for row in split])
    table.insert(0, "variant", settings.variant)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--variant", choices=VARIANTS, required=True, help="how it is trained")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    with checkpoints(options.output) as kept:
        found, about = train(settings, EXPERIMENT, kept)
        epochs = tabulate(settings, [rows.epochs for rows in found])
        updates = tabulate(settings, [rows.updates for rows in found])
        write_beside(options.output, "epochs", epochs)
        write_results(options.output, updates, record.complete(**about))


if __name__ == "__main__":
    main()
