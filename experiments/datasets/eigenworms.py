"""EigenWorms: how worms of five strains move, long series from the UEA archive."""

from pathlib import Path

import numpy as np

from experiments.datasets.dataset import Dataset, DatasetError
from experiments.datasets.ts import TimeSeriesFile, read_ts

# The archive's files, in the order in which they are joined, and how many series each has.
EIGENWORMS_FILES = {"EigenWorms_TRAIN.ts": 128, "EigenWorms_TEST.ts": 131}
EIGENWORMS_SHAPE = (17_984, 6)
EIGENWORMS_CLASSES = ("1", "2", "3", "4", "5")


def eigenworms(folder: Path | None) -> Dataset:
    """Movements of worms (259 series, 17,984 steps, 6 channels, 5 classes).

    A channel says how much of one of six base shapes, the eigenworms, the worm's posture has.
    The classes are the wild type and four mutants. Both files of the archive are joined,
    since their own split is not used: `split_at_random` with seed 0 and the sizes 181, 39
    and 39 draws the one that the literature uses. How many samples a second has and which
    worm a series is of are not known here.

    **Arguments:**

    - `folder`: holds `EigenWorms_TRAIN.ts` and `EigenWorms_TEST.ts`.

    **Raises:** `DatasetError` if no folder is named, a file is missing, or its series are not
    those of EigenWorms.

    Reference: Bagnall et al., "The UEA multivariate time series classification archive",
    2018 (arXiv 1811.00075).
    """
    if folder is None:
        raise DatasetError(f"No folder is named that holds EigenWorms: {_how_to_get('FOLDER')}")
    files = [_read(folder / name, count) for name, count in EIGENWORMS_FILES.items()]
    labels = np.concatenate([file.labels for file in files])
    return Dataset(
        series=tuple(one for file in files for one in file.series),
        labels=labels,
        label_names=EIGENWORMS_CLASSES,
        groups=np.arange(len(labels)),
        sampling_rate_hz=None,
        channel_names=tuple(f"eigenworm {one + 1}" for one in range(EIGENWORMS_SHAPE[1])),
    )


def _read(path: Path, count: int) -> TimeSeriesFile:
    if not path.is_file():
        raise DatasetError(f"{path} does not exist: {_how_to_get(path.parent)}")
    file = read_ts(path)
    shape = next((one.shape for one in file.series if one.shape != EIGENWORMS_SHAPE), None)
    if len(file.series) != count or shape or file.label_names != EIGENWORMS_CLASSES:
        raise DatasetError(
            f"{path} has {len(file.series)} series of shape {shape or EIGENWORMS_SHAPE} and the "
            f"classes {' '.join(file.label_names)} instead of {count} of shape "
            f"{EIGENWORMS_SHAPE} and {' '.join(EIGENWORMS_CLASSES)}, so it is truncated or not "
            "EigenWorms: get it again."
        )
    return file


def _how_to_get(folder: Path | str) -> str:
    return (
        f"run `python -m experiments.datasets fetch-eigenworms --folder {folder}`, or unpack "
        "EigenWorms.zip from timeseriesclassification.com into a folder, and name the folder as "
        "`folder` under `training` in the configuration."
    )
