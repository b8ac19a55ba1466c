"""Recorded series that the experiments use as inputs.

The watch recordings and the digits are read from files that installed packages carry, so they need
no network. EigenWorms is read from a folder that the user names. A loader checks what it reads
before it believes it.
"""

from collections.abc import Callable
from pathlib import Path

from experiments.datasets._dataset import Dataset as Dataset
from experiments.datasets._dataset import DatasetError as DatasetError
from experiments.datasets._dataset import Split as Split
from experiments.datasets._dataset import crop as crop
from experiments.datasets._dataset import split_at_random as split_at_random
from experiments.datasets._dataset import split_by_group as split_by_group
from experiments.datasets._dataset import standardise as standardise
from experiments.datasets._dataset import without_shorter as without_shorter
from experiments.datasets._digits import digits as digits
from experiments.datasets._eigenworms import eigenworms as eigenworms
from experiments.datasets._fetch import fetch_eigenworms as fetch_eigenworms
from experiments.datasets._ts import TimeSeriesFile as TimeSeriesFile
from experiments.datasets._ts import read_ts as read_ts
from experiments.datasets._watch import WATCH_FILE as WATCH_FILE
from experiments.datasets._watch import read_object_npy as read_object_npy
from experiments.datasets._watch import watch as watch

# Each is called with the folder of `eigenworms`, `None` where the user has named none.
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "watch": lambda folder: watch(),
    "digits": lambda folder: digits(),
    "eigenworms": eigenworms,
}
