"""What every dataset is, and how it is split, standardised and cut to one length.

split = split_by_group(dataset, seed=0, validation_groups=2, test_groups=2)
scaled = standardise(dataset.series, [dataset.series[i] for i in split.training])
inputs = crop(scaled, length=900)[split.training]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


class DatasetError(RuntimeError):
    """A dataset cannot be read or used as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Labelled series, of different lengths or one, all with the same channels.

    **Arguments:**

    - `series`: arrays of shape (time, channel), float64.
    - `labels`: one class number a series.
    - `label_names`: the name of each class number.
    - `groups`: one number a series; series of one group (one person) belong on the
        same side of a split. Where nothing is known, every series is its own group.
    - `sampling_rate_hz`: samples per second; `None` where it is not known or the steps are
        not of time.
    - `channel_names`: one name a channel.

    **Raises:** `DatasetError` if these do not fit together or a value is not finite.
    """

    series: tuple[np.ndarray, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    groups: np.ndarray
    sampling_rate_hz: float | None
    channel_names: tuple[str, ...]

    def __post_init__(self):
        if not len(self.series) == len(self.labels) == len(self.groups):
            raise DatasetError(
                f"There are {len(self.series)} series, {len(self.labels)} labels and "
                f"{len(self.groups)} groups: give every series one of each."
            )
        for index, one in enumerate(self.series):
            if one.ndim != 2 or one.shape[1] != len(self.channel_names):
                raise DatasetError(
                    f"Series {index} has the shape {one.shape} instead of (time, "
                    f"{len(self.channel_names)}): every series needs all the channels."
                )
            finite = np.isfinite(one)
            if not finite.all():
                step, channel = np.argwhere(~finite)[0]
                raise DatasetError(
                    f"Series {index} has the value {one[step, channel]} at step {step} of channel "
                    f"{channel}, which no recurrence can use: leave the series out or fill the gap."
                )

    def longest(self) -> np.ndarray:
        """The longest series; the first of them if several are equally long."""
        return max(self.series, key=len)


@dataclass(frozen=True)
class Split:
    """Which series of a dataset are used for what.

    **Arguments:**

    - `training`, `validation`, `test`: numbers of series; none is in two of them.
    """

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_by_group(dataset: Dataset, seed: int, validation_groups: int, test_groups: int) -> Split:
    """Groups drawn for validation and test; all others are for training.

    No group is on two sides, so the test is of people whom the model has not seen.

    **Arguments:**

    - `seed`: of the draw. It does not look at the labels: a class that few people recorded
        may be on one side only.
    - `validation_groups`, `test_groups`: numbers of groups, at least 1.

    **Raises:** `DatasetError` if the groups do not suffice.
    """
    groups = np.unique(dataset.groups)
    drawn = validation_groups + test_groups
    if min(validation_groups, test_groups) < 1 or drawn >= len(groups):
        raise DatasetError(
            f"{validation_groups} groups for validation and {test_groups} for the test cannot be "
            f"drawn from {len(groups)}: take at least 1 for each and leave 1 for training."
        )
    shuffled = np.random.RandomState(seed).permutation(groups)
    sides = np.split(shuffled, [test_groups, drawn])
    test, validation, training = (np.flatnonzero(np.isin(dataset.groups, side)) for side in sides)
    return Split(training, validation, test)


def split_at_random(dataset: Dataset, seed: int, sizes: tuple[int, int, int]) -> Split:
    """Series drawn without regard to labels and groups.

    Draws as `train_test_split` of scikit-learn does when it first parts the test series from the
    rest and then the validation series from the training series: two permutations of one legacy
    generator of NumPy, whose stream never changes between versions. With seed 0 and the sizes
    181, 39 and 39 it is the split of EigenWorms in the code of Morrill et al.

    **Arguments:**

    - `seed`: of `numpy.random.RandomState`.
    - `sizes`: numbers of series for training, validation and test; what is left is not used.

    **Raises:** `DatasetError` if there are fewer series than asked for.

    Reference: Morrill et al., "Neural rough differential equations for long time series",
    2021 (arXiv 2009.08295); the code of DEER and of the paper reads files named after it.
    """
    training, validation, test = sizes
    count = len(dataset.series)
    if min(sizes) < 1 or sum(sizes) > count:
        raise DatasetError(
            f"{training} series for training, {validation} for validation and {test} for the test "
            f"cannot be drawn from {count}: take at least 1 for each and {count} in all."
        )
    generator = np.random.RandomState(seed)
    shuffled = generator.permutation(count)
    rest = shuffled[test:]
    rest = rest[generator.permutation(len(rest))]
    return Split(rest[validation : validation + training], rest[:validation], shuffled[:test])


def standardise(
    series: Sequence[np.ndarray], training: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Each channel shifted and scaled by the training series' mean and deviation.

    **Arguments:**

    - `series`: arrays of shape (time, channel) to transform.
    - `training`: the arrays that the mean and the deviation are taken from.

    **Raises:** `DatasetError` if a channel of `training` is constant.
    """
    samples = np.concatenate(training)
    mean, deviation = samples.mean(axis=0), samples.std(axis=0)
    constant = np.flatnonzero(~(deviation > 0))
    if constant.size:
        raise DatasetError(
            f"Channel {constant[0]} of the training series has no spread (deviation "
            f"{deviation[constant[0]]}), so it cannot be standardised: leave it out."
        )
    return tuple((one - mean) / deviation for one in series)


def crop(series: Sequence[np.ndarray], length: int) -> np.ndarray:
    """The first steps of every series, shape (series, time, channel), float32.

    Series are cut, never filled up: the filling would tell their length, and with it the class.

    **Arguments:**

    - `series`: arrays of shape (time, channel).
    - `length`: steps to keep.

    **Raises:** `DatasetError` if a series is shorter.
    """
    lengths = [len(one) for one in series]
    short = next((index for index, steps in enumerate(lengths) if steps < length), None)
    if short is not None:
        raise DatasetError(
            f"Series {short} has {lengths[short]} steps and {length} are asked for: ask for at "
            f"most {min(lengths)}, or leave such series out with `without_shorter`."
        )
    return np.stack([one[:length] for one in series]).astype(np.float32)


def without_shorter(dataset: Dataset, length: int) -> Dataset:
    """The dataset without the series that have fewer steps.

    **Arguments:**

    - `length`: steps that a series must have to stay.

    **Raises:** `DatasetError` if none stays.
    """
    kept = [index for index, one in enumerate(dataset.series) if len(one) >= length]
    if not kept:
        raise DatasetError(
            f"No series has {length} steps: ask for at most {len(dataset.longest())}, the length "
            "of the longest."
        )
    return replace(
        dataset,
        series=tuple(dataset.series[index] for index in kept),
        labels=dataset.labels[kept],
        groups=dataset.groups[kept],
    )
