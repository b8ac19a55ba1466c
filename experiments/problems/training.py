"""A training on every split of the data; killed and started again, it goes on from checkpoints."""

import hashlib
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
from experiments.harness.kept import identify
from experiments.harness.progress import Progress
from experiments.problems.classifier import Classifier
from experiments.problems.trainer import (
    Checkpoint,
    Rows,
    Settings,
    Watch,
    begin,
    compile_programs,
    run,
)


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
            identity = identify(experiment, {**asdict(settings), "split": split})
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
