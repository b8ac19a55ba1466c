"""A `.ts` file is read as it stands, and a bad one is refused with the line that is wrong."""

import numpy as np
import pytest

from experiments.datasets.dataset import DatasetError
from experiments.datasets.ts import read_ts

FILE = """\
# A comment
@problemName Example
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true up down
@data
1,2,3:0.5,-1e-3,6:up
7,8,9:10,11,12:down
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str, newline: str | None = None):
        path = tmp_path / "example.ts"
        path.write_text(text, newline=newline)
        return read_ts(path)

    return read


def test_values_labels_and_classes(read):
    file = read(FILE)
    first, second = file.series
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, [[1, 0.5], [2, -1e-3], [3, 6]])
    np.testing.assert_array_equal(second, [[7, 10], [8, 11], [9, 12]])
    assert file.labels.tolist() == [0, 1] and file.label_names == ("up", "down")


@pytest.mark.parametrize(
    "old, new",
    [
        ("@problemName", "@problemname"),
        ("@timeStamps false", "@timestamps False"),
        ("@dimensions 2\n", ""),
        ("@dimensions", "@dimension"),
        ("@seriesLength 3\n", ""),
        ("@missing false\n@univariate", "\n% More\n@univariate"),
        ("3:0.5,", "3 : 0.5, "),
        (":down\n", ":down"),
        ("1,2,3", "\n1,2,3"),
        ("# A", "# \xe4"),
    ],
)
def test_forms_that_the_archive_has(read, old, new):
    assert old in FILE
    expected, file = read(FILE), read(FILE.replace(old, new))
    np.testing.assert_array_equal(file.series, expected.series)
    np.testing.assert_array_equal(file.labels, expected.labels)


def test_windows_line_ends(read):
    np.testing.assert_array_equal(read(FILE, newline="\r\n").series, read(FILE).series)


def test_one_channel(read):
    text = FILE.replace("@univariate false\n@dimensions 2", "@univariate true")
    file = read(text.replace(":0.5,-1e-3,6", "").replace(":10,11,12", ""))
    assert [one.shape for one in file.series] == [(3, 1), (3, 1)]


def test_lengths_may_differ_where_none_is_promised(read):
    text = FILE.replace("@equalLength true\n@seriesLength 3", "@equalLength false")
    file = read(text.replace("7,8,9:10,11,12", "7,8:10,11"))
    assert [one.shape for one in file.series] == [(3, 2), (2, 2)]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("9:10", "?:10", r"line 12: value 3 of dimension 1 is missing \('\?'\): leave"),
        (",11,", ",NaN,", r"line 12: value 2 of dimension 2 is missing \('NaN'\)"),
        (",11,", ",,", r"line 12: value 2 of dimension 2 is missing \(''\)"),
        (",11,", ",1l,", r"line 12: value 2 of dimension 2 is '1l', not a finite number"),
        (",11,", ",inf,", r"line 12: value 2 of dimension 2 is 'inf', not a finite number"),
        ("7,8,9:10,11,12", "7,8:10,11", r"line 12: dimension 1 has 2 values instead of 3"),
        ("10,11,12", "10,11", r"line 12: dimension 2 has 2 values instead of 3"),
        (":10,11,12", "", r"line 12: the series has 1 dimensions instead of 2"),
        (":0.5", ":0:0.5", r"line 11: the series has 3 dimensions instead of 2"),
        (":down\n", ":left\n", r"line 12: the label 'left' is none of up, down"),
        ("@timeStamps false", "@timeStamps true", r"line 3: the series have time stamps"),
        ("@timeStamps false", "@timeStamps no", r"line 3: @timestamps is 'no', neither true nor"),
        ("@dimensions 2", "@dimensions two", r"line 6: @dimensions is 'two', not a whole number"),
        ("@seriesLength 3", "@seriesLength 0", r"line 8: @serieslength is '0', not a whole number"),
        ("true up down", "false", r"line 9: 'false' names no classes"),
        ("true up down", "", r"line 9: '' names no classes"),
        ("@data\n", "", r"line 10: '1,2,3:0.5,-1e-3,6:up' stands where"),
        ("# A comment", "PK\x03\x04", r"line 1: 'PK.*' stands where .* no \.ts file"),
    ],
)
def test_damaged_file(read, old, new, message):
    assert FILE.count(old) == 1
    with pytest.raises(DatasetError, match=r"^example\.ts, " + message):
        read(FILE.replace(old, new))


@pytest.mark.parametrize("key", ["@problemName", "@timeStamps", "@univariate", "@classLabel"])
def test_missing_header_line(read, key):
    kept = [line for line in FILE.splitlines(keepends=True) if not line.startswith(key)]
    with pytest.raises(DatasetError, match=rf"^example\.ts has no line {key} in its header"):
        read("".join(kept))


def test_lengths_differ_though_equal_ones_are_promised_without_a_number(read):
    text = FILE.replace("@seriesLength 3\n", "").replace("7,8,9:10,11,12", "7,8:10,11")
    with pytest.raises(DatasetError, match=r"line 11: dimension 1 has 2 values instead of 3"):
        read(text)


# Cut within the first channel, the last channel, and the label.
@pytest.mark.parametrize("size", [len("7,8"), len("7,8,9:10,1"), len("7,8,9:10,11,12:do")])
def test_truncated_last_line(read, size):
    *kept, last = FILE.splitlines(keepends=True)
    with pytest.raises(
        DatasetError, match=r"line 12: the file ends within this line, .* truncated"
    ):
        read("".join(kept) + last[:size])


def test_truncated_before_the_series(read):
    header = FILE[: FILE.index("1,2,3")]
    with pytest.raises(DatasetError, match=r"^example\.ts has no series after @data: .*truncated"):
        read(header)
    with pytest.raises(DatasetError, match=r"^example\.ts has no line @data"):
        read(header.replace("@data\n", ""))


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.ts cannot be read \(No such file"):
        read_ts(tmp_path / "none.ts")
