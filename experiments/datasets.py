"""Recorded time series that the experiments use as inputs.

Every dataset is read from a file that an installed package carries, so no
network is needed. A loader checks the file before it believes it.
"""

import _codecs
import hashlib
import importlib.util
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WATCH_FILE = Path("data", "watch_dataset.npy")
WATCH_BYTES = 18_118_091
WATCH_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
WATCH_SAMPLING_RATE_HZ = 50.0

# What a pickle of plain NumPy arrays needs. The rebuilding function is taken from
# an array itself, because its module has moved between NumPy versions.
_ALLOWED_GLOBALS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _codecs.encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


class DatasetError(RuntimeError):
    """A dataset cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Labelled series of different lengths, all with the same channels.

    **Arguments:**

    - `series`: arrays of shape (time, channel), float64.
    - `labels`: one class number a series.
    - `label_names`: the name of each class number.
    - `groups`: one number a series; series of one group (one person) belong on the
        same side of a split.
    - `sampling_rate_hz`: samples per second.
    - `channel_names`: one name a channel.
    """

    series: tuple[np.ndarray, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    groups: np.ndarray
    sampling_rate_hz: float
    channel_names: tuple[str, ...]

    def longest(self) -> np.ndarray:
        """The longest series; the first of them if several are equally long."""
        return max(self.series, key=len)


def watch(path: Path | None = None) -> Dataset:
    """Smart-watch recordings of shoulder exercises (140 series, 6 channels, 50 Hz).

    **Arguments:**

    - `path`: the data file; by default the one that the installed package
        `seglearn` carries. The package's code is never imported.

    **Raises:** `DatasetError` if the package is missing, or if the file is missing,
    truncated, or not the file this project knows.

    Reference: Burns et al., "Shoulder physiotherapy exercise recognition", 2018
    (arXiv 1802.01489); data distributed with seglearn, BSD 3-Clause.
    """
    path = _watch_path() if path is None else path
    content = _read_checked(path, WATCH_BYTES, WATCH_SHA256)
    data = read_object_npy(content, path.name)
    return Dataset(
        series=tuple(np.asarray(one, dtype=np.float64) for one in data["X"]),
        labels=np.asarray(data["y"], dtype=np.int64),
        label_names=tuple(str(name) for name in data["y_labels"]),
        groups=np.asarray(data["subject"], dtype=np.int64),
        sampling_rate_hz=WATCH_SAMPLING_RATE_HZ,
        channel_names=tuple(str(name) for name in data["X_labels"]),
    )


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


def read_object_npy(content: bytes, name: str) -> Any:
    """The object in a NumPy file of shape () and dtype object: a pickle.

    A pickle may name any function for Python to call. Only what plain arrays need
    is allowed, anything else is refused.
    """
    stream = io.BytesIO(content)
    try:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError as error:
        raise DatasetError(
            f"{name} does not start like a NumPy file ({error}): it is damaged, "
            "install its package again."
        ) from error
    if shape != () or dtype != np.dtype(object):
        raise DatasetError(
            f"{name} holds an array of shape {shape} and type {dtype}, not one object: "
            "it is another file than expected."
        )
    try:
        return _ArraysOnly(stream, name).load().item()
    except (EOFError, pickle.UnpicklingError, AttributeError, ValueError) as error:
        raise DatasetError(
            f"{name} ends early or is damaged ({error}): install its package again."
        ) from error


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, name: str):
        super().__init__(stream)
        self._name = name

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED_GLOBALS[module_name, global_name]
        except KeyError:
            raise DatasetError(
                f"{self._name} asks Python to load {module_name}.{global_name}, which a "
                "file of plain arrays never does: do not use this file."
            ) from None


def _watch_path() -> Path:
    spec = importlib.util.find_spec("seglearn")
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(
            "The package seglearn, whose data file holds the watch recordings, is not "
            "installed: run `pip install --no-deps seglearn==1.2.5`."
        )
    return Path(spec.submodule_search_locations[0]) / WATCH_FILE


def _read_checked(path: Path, size: int, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path.name} cannot be read ({error.strerror}): install seglearn 1.2.5 again."
        ) from error
    if len(content) != size:
        raise DatasetError(
            f"{path.name} has {len(content)} bytes instead of {size}, so it is truncated or "
            "another version: install seglearn 1.2.5 again."
        )
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DatasetError(
            f"{path.name} has the checksum {found[:12]}... instead of {sha256[:12]}..., so it "
            "is damaged or another version: install seglearn 1.2.5 again."
        )
    return content
