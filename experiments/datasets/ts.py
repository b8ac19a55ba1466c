"""Files of the UEA and UCR archives of time series, which end in `.ts`.

Header lines start with @. Then comes a line for each series: its channels, which the format calls
dimensions, stand between colons, the values of a channel between commas, the label is last.
"""

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.dataset import DatasetError

# A file needs these lines to be understood. `@dimensions`, `@equalLength` and `@seriesLength` need
# not be there; where they are, the series are compared with them. `@missing` is not read, since
# the values themselves show what is missing.
_REQUIRED = ("@problemName", "@timeStamps", "@univariate", "@classLabel", "@data")
# A line that only files of other kinds have.
_OTHERS = {"@relation": "an ARFF file", "@targetlabel": "a file for regression, not classification"}
_COMMENT = ("#", "%")
_MISSING = ("", "?", "nan")
# What stands for bytes that are no text.
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
# How packed files begin.
_PACKED = {
    "PK\x03\x04": "zip",
    f"\x1f{_UNREADABLE}\x08": "gzip",
    "BZh": "bzip2",
    f"{_UNREADABLE}7zXZ": "xz",
}
# The marks that say how a text is written. That of UTF-32 begins as one of UTF-16 does.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


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


class _Found(NamedTuple):
    """A line of the header: where it stands, and what follows its key."""

    place: str
    value: str


def read_ts(path: Path) -> TimeSeriesFile:
    """Reads a classification file, line by line.

    **Arguments:**

    - `path`: a file without time stamps and without gaps in its series. Its text is UTF-8, or what
        the byte-order mark at its beginning says.

    **Raises:** `DatasetError`, with the name of the file and the number of the line, if it
    cannot be read, is truncated or damaged, does not keep what its header promises, has
    time stamps or missing values, or names classes that cannot be told apart.

    Reference: Bagnall et al., "The UEA multivariate time series classification archive",
    2018 (arXiv 1811.00075).
    """
    try:
        with path.open("rb") as file:
            start = file.peek(max(map(len, _MARKS)))
            encoding = next((_MARKS[mark] for mark in _MARKS if start.startswith(mark)), "utf-8")
            # Comments may have another encoding than the rest; a damaged number is refused later.
            lines = enumerate(io.TextIOWrapper(file, encoding, errors="replace"), start=1)
            header = _read_header(path.name, lines)
            return _read_series(path.name, lines, header)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def _read_header(name: str, lines: Iterable[tuple[int, str]]) -> _Header:
    found = _find_keys(name, lines)
    if not found:
        raise DatasetError(f"{name} is empty, or has comments only: get it again.")
    for key in _REQUIRED:
        if key.lower() not in found:
            raise DatasetError(
                f"{name} has no line {key} in its header, so it is damaged or no classification "
                "file: get it again."
            )
    if _flag(found, "@timestamps"):
        raise DatasetError(
            f"{found['@timestamps'].place}: the series have time stamps, which are not read here: "
            "use a file whose series are sampled evenly."
        )
    univariate = _flag(found, "@univariate")
    dimensions = _number(found, "@dimensions", "@dimension")
    if univariate and dimensions not in (None, 1):
        raise DatasetError(
            f"{found['@univariate'].place}: @univariate is true but the header promises "
            f"{dimensions} dimensions: it is damaged, get it again."
        )
    length = _number(found, "@serieslength")
    return _Header(
        label_names=_class_names(*found["@classlabel"]),
        dimensions=1 if univariate else dimensions,
        equal_length=_flag(found, "@equallength")
        if "@equallength" in found
        else length is not None,
        length=length,
    )


def _find_keys(name: str, lines: Iterable[tuple[int, str]]) -> dict[str, _Found]:
    """The lines of the header by their keys, in lower case: the archive's files differ in it."""
    found: dict[str, _Found] = {}
    for number, line in lines:
        words = line.split(maxsplit=1)
        if not words or words[0].startswith(_COMMENT):
            continue
        place = f"{name}, line {number}"
        if not words[0].startswith("@") or "\0" in line:
            raise DatasetError(
                f"{place}: {line.strip()[:20]!r} stands where the header or its last line, @data, "
                f"should: {_why_no_header(line)}."
            )
        key = words[0].lower()
        value = words[1].strip() if len(words) > 1 else ""
        if key == "@":
            raise DatasetError(f"{place}: a blank follows the @ of {line.strip()!r}: take it out.")
        if key in _OTHERS:
            raise DatasetError(
                f"{place}: a file with the line {key} is {_OTHERS[key]}: use a .ts file of a "
                "classification."
            )
        if key in found and found[key].value != value:
            raise DatasetError(
                f"{place}: {key} is {value!r} but was {found[key].value!r} before: leave the line "
                "that is right."
            )
        found[key] = _Found(place, value)
        if key == "@data":
            break
    return found


def _why_no_header(line: str) -> str:
    for start, kind in _PACKED.items():
        if line.startswith(start):
            return f"this is a packed file ({kind}) and no .ts file, unpack it"
    if "\0" in line:
        return (
            "this is no .ts file, or its text is UTF-16 without the mark at the beginning that "
            "says so, save it as UTF-8"
        )
    return "this is no .ts file or it is damaged, get it again"


def _class_names(place: str, value: str) -> tuple[str, ...]:
    classes, *names = value.split() or [""]
    if classes.lower() != "true" or not names:
        raise DatasetError(
            f"{place}: {value!r} names no classes: use a classification file, which has `true` "
            "and the names there."
        )
    for name in names:
        if _UNREADABLE in name:
            raise DatasetError(
                f"{place}: the class name {name[:20]!r} has bytes that are no UTF-8, so classes "
                "may look alike: save the file as UTF-8."
            )
        if ":" in name:
            raise DatasetError(
                f"{place}: the class name {name[:20]!r} has a colon, which ends a dimension: "
                "name the class without it, here and in its series."
            )
        if names.count(name) > 1:
            raise DatasetError(
                f"{place}: two classes have the name {name[:20]!r}: name each class once."
            )
    return tuple(names)


def _flag(found: dict[str, _Found], key: str) -> bool:
    place, value = found[key]
    if value.lower() not in ("true", "false"):
        raise DatasetError(
            f"{place}: {key} is {value!r}, neither true nor false: it is damaged, get it again."
        )
    return value.lower() == "true"


def _number(found: dict[str, _Found], *keys: str) -> int | None:
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
        start = line.strip()[:20]
        if not start or start.startswith(_COMMENT):
            continue
        place = f"{name}, line {number}"
        if start.startswith("@"):
            raise DatasetError(
                f"{place}: {start!r} is a line of a header, but @data, which ends it, came before: "
                "keep one header and the series that belong to it."
            )
        *channels, label = line.split(":")
        label = label.strip()
        dimensions = len(channels) if dimensions is None else dimensions
        fits = len(channels) == dimensions and label in numbers
        if not fits and not line.endswith("\n"):
            raise DatasetError(
                f"{place}: the file ends within this line, after {len(channels)} of "
                f"{dimensions} dimensions and a label: it is truncated, get it again."
            )
        if not label:
            raise DatasetError(
                f"{place}: the line ends with a colon where its label should be: add the label."
            )
        if len(channels) != dimensions:
            raise DatasetError(
                f"{place}: the series has {len(channels)} dimensions instead of {dimensions}: "
                "the file is damaged, get it again."
            )
        if label not in numbers:
            raise DatasetError(
                f"{place}: the label {label[:20]!r} is none of {', '.join(header.label_names)}, "
                f"the classes that the header names: {_why_unknown(label, header.label_names)}."
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


def _why_unknown(label: str, names: tuple[str, ...]) -> str:
    if label in ",".join(names).split(","):
        return "commas stand between these where the format has blanks, put blanks there"
    if len(label.split()) > 1:
        return "a class name has no blanks, write it as one word here and in the header"
    if _UNREADABLE in label:
        return "it has bytes that are no UTF-8, save the file as UTF-8"
    if any(label.lower() == name.lower() or _float(label) == _float(name) for name in names):
        return "it is written otherwise there, write it alike"
    return "the file is damaged, get it again"


def _values(place: str, channel: int, text: str) -> np.ndarray:
    words = text.split(",")
    values = _floats(text, words)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        word = words[wrong[0]].strip()
        place = f"{place}: value {wrong[0] + 1} of dimension {channel}"
        if word.lower() in _MISSING:
            raise DatasetError(
                f"{place} is missing ({word!r}): leave the series out or fill the gap."
            )
        if word.startswith("("):
            raise DatasetError(
                f"{place} is {word[:20]!r}, which has a time stamp though @timeStamps is false: "
                "use a file whose series are sampled evenly."
            )
        raise DatasetError(
            f"{place} is {word[:20]!r}, not a finite number: the file is damaged, get it again."
        )
    return values


def _floats(text: str, words: list[str]) -> np.ndarray:
    """The numbers that words stand for, NaN where one stands for none; `text` has them all."""
    if _is_plain(text):
        try:
            return np.array(words, dtype=np.float64)
        except ValueError:
            pass
    return np.array([_float(word) for word in words])


def _float(word: str) -> float:
    try:
        return float(word) if _is_plain(word) else float("nan")
    except ValueError:
        return float("nan")


def _is_plain(text: str) -> bool:
    """Whether only plain digits can be in a text: Python also takes 1_000 and Arabic ones."""
    return text.isascii() and "_" not in text
