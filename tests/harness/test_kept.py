"""Cells of experiments that were killed."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from experiments.harness import kept
from experiments.harness.kept import Cells, join, kept_cells, to_rows
from tests.clones import ROOT, environment

# Measures three cells, each of which tells of itself; the last takes longer than any test.
SCRIPT = """\
import sys, time
from pathlib import Path
from experiments.harness.kept import kept_cells

output, seconds = Path(sys.argv[1]), float(sys.argv[2])

def measure(name):
    print(name, flush=True)
    if name == "c":
        time.sleep(seconds)
    return {"name": name}

with kept_cells(output, "wide", {"setting": 1}) as cells:
    found = [cells.measured(name, lambda: measure(name)) for name in "abc"]
    print([one["name"] for one in found], cells.about())
"""


def start(output, seconds):
    words = [sys.executable, "-c", SCRIPT, str(output), str(seconds)]
    return subprocess.Popen(words, env=environment(ROOT), stdout=subprocess.PIPE, text=True)


def test_a_killed_run_is_taken_up(tmp_path):
    output = tmp_path / "table.csv"
    first = start(output, 1000)
    assert first.stdout is not None
    assert [first.stdout.readline() for _ in range(3)] == ["a\n", "b\n", "c\n"]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["table_cells.jsonl"]

    text, _ = start(output, 0).communicate()
    assert text.splitlines() == ["c", "['a', 'b', 'c'] {'cells_of_an_earlier_run': 2}"]
    assert list(tmp_path.iterdir()) == []


def no_measurement():
    raise AssertionError("measured again")


@pytest.fixture
def half(tmp_path):
    """The file of a run that measured two cells."""
    path = tmp_path / "table_cells.jsonl"
    cells = Cells(path, "mine")
    cells.measured("a", lambda: [1, 0.1])
    cells.measured("b", lambda: "two")
    return path


def test_only_what_is_missing_is_measured(half):
    cells = Cells(half, "mine")
    assert cells.missing(["a", "b", "c"]) == ["c"]
    assert cells.measured("a", no_measurement) == [1, 0.1]
    assert cells.measured("c", lambda: 3) == 3
    assert Cells(half, "mine").about() == {"cells_of_an_earlier_run": 3}


@pytest.mark.parametrize("lost", [1, 3, 1000])
def test_a_line_cut_short_is_measured_again(half, lost):
    """As many bytes are lost as a kill in the middle of a line leaves away; last, all of them."""
    half.write_bytes(half.read_bytes()[:-lost])
    cells = Cells(half, "mine")
    assert cells.missing(["a", "b"]) == (["a", "b"] if lost == 1000 else ["b"])
    cells.measured("b", lambda: "again")
    assert Cells(half, "mine").measured("b", no_measurement) == "again"


def test_another_identity_begins_afresh(half, capsys):
    assert Cells(half, "yours").missing(["a", "b"]) == ["a", "b"]
    assert "table_cells.jsonl is of other settings, code or device" in capsys.readouterr().err


def test_settings_code_versions_and_device_are_the_identity(tmp_path, monkeypatch):
    def first_line(about):
        with pytest.raises(KeyboardInterrupt), kept_cells(tmp_path / "t.csv", "wide", about):
            raise KeyboardInterrupt
        return (tmp_path / "t_cells.jsonl").read_text()

    known = first_line({"setting": 1})
    assert first_line({"setting": 1}) == known
    assert first_line({"setting": 2}) != known
    monkeypatch.setattr(kept, "describe_device", lambda: {"kind": "another"})
    assert first_line({"setting": 1}) != known
    monkeypatch.undo()
    monkeypatch.setattr(kept, "describe_versions", lambda: {"jax": "another"})
    assert first_line({"setting": 1}) != known
    monkeypatch.undo()
    monkeypatch.setattr(kept.Sources, "digest", lambda *_, **__: "another")
    assert first_line({"setting": 1}) != known


def test_what_was_measured_reads_as_what_was_kept(tmp_path):
    path = tmp_path / "t_cells.jsonl"
    found = {"one": np.float32(0.1), "none": None, "list": np.arange(2), "nan": math.nan}
    first = Cells(path, "mine").measured("a", lambda: found)
    assert json.dumps(Cells(path, "mine").measured("a", no_measurement)) == json.dumps(first)
    assert first["one"] == np.float32(0.1) and first["list"] == [0, 1]


def test_threads_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "t_cells.jsonl"
    cells = Cells(path, "mine")
    names = [str(number) for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: cells.measured(name, lambda: name * 1000), names))
    assert Cells(path, "mine").missing(names) == []


def test_tables_of_several_cells_are_joined():
    first = {"solves": [{"a": 1}], "pictures": to_rows(pd.DataFrame({"x": [1.5, 2.5]}))}
    tables = join([first, {"solves": [{"a": 2, "b": 3}]}])
    assert list(tables) == ["solves", "pictures"]
    assert tables["solves"].a.tolist() == [1, 2] and tables["pictures"].x.tolist() == [1.5, 2.5]


@pytest.mark.slow
def test_an_experiment_that_was_killed_goes_on(tmp_path):
    """Killed as soon as it has kept a cell; the next run measures the others only."""
    output = tmp_path / "wide.csv"
    words = ["--methods", "sequential", "--dims", "2", "3", "4", "--length", "20"]
    command = [sys.executable, "-m", "experiments.wide", *words, "--repetitions", "1"]
    command += ["--seeds", "100", "--output", str(output)]  # a second a cell
    first = subprocess.Popen(command, cwd=ROOT, env=environment(ROOT))
    lines = tmp_path / "wide_cells.jsonl"
    end = time.monotonic() + 120
    while not lines.exists() or lines.read_bytes().count(b"\n") < 2:
        assert first.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not output.exists()
    kept_rows = json.loads(lines.read_text().splitlines()[1])[1]

    subprocess.run(command, cwd=ROOT, env=environment(ROOT), check=True)
    assert json.loads(output.with_suffix(".json").read_text())["cells_of_an_earlier_run"] >= 1
    table = pd.read_csv(output)
    assert sorted(table.dim.unique()) == [2, 3, 4]
    assert table.time_s[: len(kept_rows)].tolist() == [row["time_s"] for row in kept_rows]
    assert not lines.exists()
