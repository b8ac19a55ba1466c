"""A `.ts` file is read as it stands, and a bad one is refused with the line that is wrong."""

import bz2
import gzip
import lzma

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
        ("7,8,9", "# Another\n% comment\n7,8,9"),
        ("@dimensions 2\n", "@dimensions 2\n@dimensions 2\n"),
        ("# A", "# \xe4"),
    ],
)
def test_forms_that_the_archive_has(read, old, new):
    assert old in FILE
    expected, file = read(FILE), read(FILE.replace(old, new))
    np.testing.assert_array_equal(file.series, expected.series)
    np.testing.assert_array_equal(file.labels, expected.labels)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends(read, newline):
    np.testing.assert_array_equal(read(FILE, newline=newline).series, read(FILE).series)


# These begin with a byte-order mark, before a comment or the first line of the header.
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("comment", ["", "# A comment\n", "% A comment\n"])
def test_encodings_that_a_mark_names(tmp_path, encoding, comment):
    text = comment + FILE.partition("\n")[2].replace("up", "h\xf6r")
    path = tmp_path / "marked.ts"
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    file = read_ts(path)
    np.testing.assert_array_equal(file.series[1], [[7, 10], [8, 11], [9, 12]])
    assert file.labels.tolist() == [0, 1] and file.label_names == ("h\xf6r", "down")


def test_bytes_that_are_no_text_do_not_tell_classes_apart(tmp_path):
    path = tmp_path / "latin.ts"
    names = FILE.replace("up", "\xe4").replace("down", "\xf6")
    path.write_bytes(names.encode("latin-1"))
    with pytest.raises(
        DatasetError, match=r"line 9: the class name '\ufffd' has bytes .* as UTF-8"
    ):
        read_ts(path)
    path.write_bytes(FILE.replace("12:down", "12:d\xf6wn").encode("latin-1"))
    with pytest.raises(DatasetError, match=r"line 12: the label 'd\ufffdwn' is none .* as UTF-8"):
        read_ts(path)


@pytest.mark.parametrize(
    "data, message",
    [
        (gzip.compress(FILE.encode()), r"a packed file \(gzip\) .* unpack it"),
        (bz2.compress(FILE.encode()), r"a packed file \(bzip2\) .* unpack it"),
        (lzma.compress(FILE.encode()), r"a packed file \(xz\) .* unpack it"),
        (
            FILE.partition("\n")[2].encode("utf-16-le"),
            r"UTF-16 without the mark .* save it as UTF-8",
        ),
        (FILE.encode("utf-16-be"), r"UTF-16 without the mark .* save it as UTF-8"),
        (b"", r"is empty"),
    ],
)
def test_what_is_no_text(tmp_path, data, message):
    path = tmp_path / "example.ts"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_ts(path)


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
        ("# A comment", "PK\x03\x04", r"line 1: 'PK.*' stands where .* no \.ts file, unpack"),
        (",11,", ",1_1,", r"line 12: value 2 of dimension 2 is '1_1', not a finite number"),
        (",11,", ",\uff11,", r"line 12: value 2 of dimension 2 is '\uff11', not a finite number"),
        ("7,8", "(0,7),8", r"line 12: value 1 of dimension 1 is '\(0', which has a time stamp"),
        ("true up down", "true up down up", r"line 9: two classes have the name 'up'"),
        ("true up down", "true u:p down", r"line 9: the class name 'u:p' has a colon"),
        ("true up down", "true up,down", r"line 11: the label 'up' is none .* put blanks there"),
        (":down\n", ":go down\n", r"line 12: the label 'go down' .* a class name has no blanks"),
        (":down\n", ":Down\n", r"line 12: the label 'Down' .* write it alike"),
        (":down\n", ":\n", r"line 12: the line ends with a colon where its label should be"),
        (":down\n", ":down:\n", r"line 12: the line ends with a colon where its label should be"),
        ("7,8", "@data\n7,8", r"line 12: '@data' is a line of a header"),
        (
            "@dimensions 2",
            "@dimensions 3\n@dimensions 2",
            r"line 7: @dimensions is '2' but was '3'",
        ),
        (
            "@univariate false",
            "@univariate true",
            r"line 5: @univariate is true but .* 2 dimensions",
        ),
        ("@timeStamps", "@ timeStamps", r"line 3: a blank follows the @ of '@ timeStamps false'"),
        ("@classLabel true up down", "@targetLabel true", r"line 9: .* file for regression"),
        ("@problemName", "@relation", r"line 2: .* is an ARFF file"),
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


def test_a_length_alone_promises_that_all_series_have_it(read):
    text = FILE.replace("@equalLength true\n", "").replace("7,8,9:10,11,12", "7,8:10,11")
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
