"""The parts of a dataset that a classifier is trained, chosen and tested on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from experiments.datasets.dataset import (
    Dataset,
    crop,
    split_at_random,
    split_by_group,
    standardise,
    without_shorter,
)
from experiments.datasets.digits import digits
from experiments.datasets.eigenworms import eigenworms
from experiments.datasets.watch import watch

# Each is called with the folder of `eigenworms`, `None` where the user has named none.
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "watch": lambda folder: watch(),
    "digits": lambda folder: digits(),
    "eigenworms": eigenworms,
}


class Part(NamedTuple):
    """Series of the same length, float32, with the number of the class of each."""

    series: Float[np.ndarray, "N T M"]
    labels: Int[np.ndarray, " N"]


class Parts(NamedTuple):
    """What to train with, to choose the best epoch by, and to test with once."""

    training: Part
    validation: Part
    test: Part


class Division(Protocol):
    """Settings that say how a dataset is divided; config/README.md explains each value."""

    @property
    def length(self) -> int: ...

    @property
    def validation(self) -> int: ...

    @property
    def test(self) -> int: ...

    @property
    def splits(self) -> int: ...

    @property
    def seed(self) -> int: ...


def load(name: str, folder: str | None, length: int) -> Dataset:
    """A dataset without the series that are shorter than `length`.

    **Arguments:**

    - `name`: a name in `DATASETS`.
    - `folder`: where its files are, for a dataset that no package carries.

    **Raises:** `DatasetError`.
    """
    dataset = DATASETS[name](None if folder is None else Path(folder))
    return without_shorter(dataset, length)


def divide(dataset: Dataset, length: int, validation: int, test: int, seed: int) -> Parts:
    """Divides a dataset; series of one group, such as one person, come into the same part.

    All are standardised by the training part; the first `length` steps of each are kept.

    **Arguments:**

    - `validation`, `test`: how many groups; series where every series is its own group.
    - `seed`: draws them.

    **Raises:** `DatasetError`.
    """
    count = len(dataset.series)
    if len(np.unique(dataset.groups)) < count:
        split = split_by_group(dataset, seed, validation, test)
    else:
        split = split_at_random(dataset, seed, (count - validation - test, validation, test))
    training = [dataset.series[index] for index in split.training]
    series = crop(standardise(dataset.series, training), length)
    sides = (split.training, split.validation, split.test)
    return Parts(*(Part(series[side], dataset.labels[side]) for side in sides))


def splits(dataset: Dataset, settings: Division) -> Iterator[Parts]:
    """All divisions of a dataset, each drawn by a seed of its own."""
    for split in range(settings.splits):
        seed = settings.seed + split
        yield divide(dataset, settings.length, settings.validation, settings.test, seed)


def take(part: Part, chosen: np.ndarray) -> Part:
    """Some of the series of a part."""
    return Part(part.series[chosen], part.labels[chosen])
