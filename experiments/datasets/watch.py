"""Smart-watch recordings of shoulder exercises, from the package seglearn."""

import _codecs
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets.dataset import Dataset, DatasetError
from experiments.datasets.packaged import PackagedFile

WATCH_FILE = Path("data", "watch_dataset.npy")
WATCH = PackagedFile(
    content="watch recordings",
    package="seglearn",
    version="1.2.5",
    place=WATCH_FILE,
    size=18_118_091,
    sha256="eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
)
WATCH_SAMPLING_RATE_HZ = 50.0

# What a pickle of plain NumPy arrays needs. The rebuilding function is taken from
# an array itself, because its module has moved between NumPy versions.
_ALLOWED_GLOBALS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _codecs.encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


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
    data = read_object_npy(WATCH.read(path), WATCH_FILE.name if path is None else path.name)
    return Dataset(
        series=tuple(np.asarray(one, dtype=np.float64) for one in data["X"]),
        labels=np.asarray(data["y"], dtype=np.int64),
        label_names=tuple(str(name) for name in data["y_labels"]),
        groups=np.asarray(data["subject"], dtype=np.int64),
        sampling_rate_hz=WATCH_SAMPLING_RATE_HZ,
        channel_names=tuple(str(name) for name in data["X_labels"]),
    )


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
