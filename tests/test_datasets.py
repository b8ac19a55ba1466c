"""The recordings are what they should be, and a bad file is refused in one sentence."""

import io
import os
import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from experiments import datasets
from experiments.datasets import DatasetError, read_object_npy, standardise, watch


@pytest.fixture(scope="module")
def content() -> bytes:
    spec = find_spec("seglearn")
    assert spec is not None and spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / datasets.WATCH_FILE).read_bytes()


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


def test_missing_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"seglearn.*not installed.*pip install"):
        watch()


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
