"""Files of the UEA and UCR archives of time series, which end in `.ts`.

Header lines start with @. Then comes a line for each series: its channels, which the format calls
dimensions, stand between colons, the values of a channel between commas, the label is last.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.datasets.dataset import DatasetError

# Without these no file is understood; `@dimensions`, `@equalLength` and `@seriesLength` promise
# what is then compared. `@missing` says nothing that the values do not.
_REQUIRED = ("@problemName", "@timeStamps", "@univariate", "@classLabel", "@data")
_MISSING = ("", "?", "nan")


@dataclass(frozen=True)
class TimeSeriesFile:
    """What a file holds.

    **Arguments:**

    - `series`: arrays of shape (time, channel), float64.
    - `labels`: one class number a series.
    - `label_names`: the name of each class number, in the order of the header.
    """

    series: tuple[np.ndarray, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class _Header:
    """What the header promises; `None` where it promises nothing."""

    label_names: tuple[str, ...]
    dimensions: int | None
    equal_length: bool
    length: int | None


def read_ts(path: Path) -> TimeSeriesFile:
    """Reads a classification file, line by line.

    **Arguments:**

    - `path`: a file without time stamps and without gaps in its series.

    **Raises:** `DatasetError`, with the name of the file and the number of the line, if it
    cannot be read, is truncated or damaged, does not keep what its header promises, or has
    time stamps or missing values.

    Reference: Bagnall et al., "The UEA multivariate time series classification archive",
    2018 (arXiv 1811.00075).
    """
    try:
        # Comments are not always UTF-8; a damaged number is found when it is converted.
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = enumerate(file, start=1)
            header = _read_header(path.name, lines)
            return _read_series(path.name, lines, header)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def _read_header(name: str, lines: Iterable[tuple[int, str]]) -> _Header:
    found: dict[str, tuple[str, str]] = {}
    for number, line in lines:
        words = line.split(maxsplit=1)
        if not words or words[0].startswith(("#", "%")):
            continue
        if not words[0].startswith("@"):
            raise DatasetError(
                f"{name}, line {number}: {line.strip()[:20]!r} stands where the header or its last "
                "line, @data, should: this is no .ts file or it is damaged, get it again."
            )
        # Upper and lower case differ between the archive's files.
        value = words[1].strip() if len(words) > 1 else ""
        found[words[0].lower()] = (f"{name}, line {number}", value)
        if words[0].lower() == "@data":
            break
    for key in _REQUIRED:
        if key.lower() not in found:
            raise DatasetError(
                f"{name} has no line {key} in its header, so it is damaged or no classification "
                "file: get it again."
            )
    place, _ = found["@timestamps"]
    if _flag(found, "@timestamps"):
        raise DatasetError(
            f"{place}: the series have time stamps, which are not read here: use a file whose "
            "series are sampled evenly."
        )
    place, labels = found["@classlabel"]
    classes, *label_names = labels.split() or [""]
    if classes.lower() != "true" or not label_names:
        raise DatasetError(
            f"{place}: {labels!r} names no classes: use a classification file, which has `true` "
            "and the names there."
        )
    univariate = _flag(found, "@univariate")
    return _Header(
        label_names=tuple(label_names),
        dimensions=1 if univariate else _number(found, "@dimensions", "@dimension"),
        equal_length="@equallength" in found and _flag(found, "@equallength"),
        length=_number(found, "@serieslength"),
    )


def _flag(found: dict[str, tuple[str, str]], key: str) -> bool:
    place, value = found[key]
    if value.lower() not in ("true", "false"):
        raise DatasetError(
            f"{place}: {key} is {value!r}, neither true nor false: it is damaged, get it again."
        )
    return value.lower() == "true"


def _number(found: dict[str, tuple[str, str]], *keys: str) -> int | None:
    for key in keys:
        if key in found:
            place, value = found[key]
            if not value.isdecimal() or int(value) == 0:
                raise DatasetError(
                    f"{place}: {key} is {value!r}, not a whole number of at least 1: it is "
                    "damaged, get it again."
                )
            return int(value)
    return None


def _read_series(name: str, lines: Iterator[tuple[int, str]], header: _Header) -> TimeSeriesFile:
    numbers = {label: number for number, label in enumerate(header.label_names)}
    dimensions, length = header.dimensions, header.length
    series, labels = [], []
    for number, line in lines:
        if line.isspace():
            continue
        place = f"{name}, line {number}"
        *channels, label = line.split(":")
        label = label.strip()
        dimensions = len(channels) if dimensions is None else dimensions
        fits = len(channels) == dimensions and label in numbers
        if not fits and not line.endswith("\n"):
            raise DatasetError(
                f"{place}: the file ends within this line, after {len(channels)} of "
                f"{dimensions} dimensions and a label: it is truncated, get it again."
            )
        if len(channels) != dimensions:
            raise DatasetError(
                f"{place}: the series has {len(channels)} dimensions instead of {dimensions}: "
                "the file is damaged, get it again."
            )
        if label not in numbers:
            raise DatasetError(
                f"{place}: the label {label[:20]!r} is none of {', '.join(header.label_names)}, "
                "the classes that the header names: the file is damaged, get it again."
            )
        values = [_values(place, channel, text) for channel, text in enumerate(channels, start=1)]
        if header.equal_length and length is None:
            length = len(values[0])
        expected = length if header.equal_length and length is not None else len(values[0])
        for channel, one in enumerate(values, start=1):
            if len(one) != expected:
                raise DatasetError(
                    f"{place}: dimension {channel} has {len(one)} values instead of {expected}: "
                    "the file is damaged, get it again."
                )
        series.append(np.stack(values, axis=1))
        labels.append(numbers[label])
    if not series:
        raise DatasetError(f"{name} has no series after @data: it is truncated, get it again.")
    return TimeSeriesFile(tuple(series), np.array(labels, np.int64), header.label_names)


def _values(place: str, channel: int, text: str) -> np.ndarray:
    words = text.split(",")
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([_float(word) for word in words])
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        word = words[wrong[0]].strip()
        place = f"{place}: value {wrong[0] + 1} of dimension {channel}"
        if word.lower() in _MISSING:
            raise DatasetError(
                f"{place} is missing ({word!r}): leave the series out or fill the gap."
            )
        raise DatasetError(
            f"{place} is {word[:20]!r}, not a finite number: the file is damaged, get it again."
        )
    return values


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
