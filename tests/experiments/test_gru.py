"""The experiments at small sizes: what they write, and what they do when a cell fails."""

import json
import os
import resource
import time
from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import gru_accuracy, gru_scaling
from experiments.harness import memory, records
from experiments.harness.memory import device_memory, program_memory
from experiments.harness.timing import Plan, interleaved, timed
from experiments.problems import gru

METHODS = ["sequential", "inputs_first", "unrolled", "inputs_first_unrolled"]
METHODS += ["deer", "quasi_deer", "chunks", "by_default"]
SCANS = METHODS[:4]
# A curve with the default of every setting but its grid.
SETTINGS = gru_scaling.Settings(
    batch=1,
    dim=4,
    lengths=(),
    methods=(*METHODS,),
    seeds=1,
    repetitions=1,
    warmups=1,
    tolerance=1e-4,
    shortest_chunk=200,
    most_chunks=128,
    memory_fraction=0.8,
    cell_seconds=None,
)


def scaling(tmp_path, *extra, dim=3, lengths=("20",)):
    output = tmp_path / "curve.csv"
    sizes = ["--batch", "2", "--dim", str(dim), "--lengths", *lengths, "--shortest-chunk", "10"]
    counts = ["--seeds", "2", "--repetitions", "3"]
    gru_scaling.main([*sizes, *counts, *extra, "--output", str(output)])
    return pd.read_csv(output), json.loads(output.with_suffix(".json").read_text())


# The methods


@pytest.mark.parametrize("method", ["deer", "quasi_deer", "by_default"])
@pytest.mark.parametrize(("length", "batch", "dim"), [(1, 1, 1), (200, 3, 5), (1000, 2, 8)])
def test_methods_agree_with_sequential(method, length, batch, dim):
    cell = gru.untrained_gru(jax.random.key(0), dim, dim)
    inputs = gru.normal_inputs(jax.random.key(1), length, batch, dim)
    start = jnp.zeros((batch, dim), jnp.float32)
    expected = gru.METHODS["sequential"](cell, start, inputs, 1e-6)
    found = gru.METHODS[method](cell, start, inputs, 1e-6)
    assert bool(found.converged)
    assert found.num_steps is not None and int(found.num_steps) <= length
    assert found.states.dtype == jnp.float32
    np.testing.assert_allclose(found.states, expected.states, atol=1e-5)


@pytest.mark.parametrize("method", ["inputs_first", "unrolled", "inputs_first_unrolled"])
@pytest.mark.parametrize(("length", "batch"), [(1, 1), (21, 1), (21, 3)])
def test_forms_of_the_scan_agree(method, length, batch):
    cell = gru.untrained_gru(jax.random.key(0), 4, 4)
    inputs = gru.normal_inputs(jax.random.key(1), length, batch, 4)
    start = jnp.zeros((batch, 4), jnp.float32)
    expected = gru.METHODS["sequential"](cell, start, inputs, 0.0)
    found = gru.METHODS[method](cell, start, inputs, 0.0)
    assert found.num_steps is None
    np.testing.assert_allclose(found.states, expected.states, atol=1e-6)


@pytest.mark.parametrize("method", ["chunks", "dense_chunks"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("chunk", [7, 50, 1000])
def test_chunks_agree_with_sequential(method, batch, chunk):
    cell = gru.untrained_gru(jax.random.key(0), 4, 4)
    inputs = gru.normal_inputs(jax.random.key(1), 300, batch, 4)
    start = jnp.zeros((batch, 4), jnp.float32)
    expected = gru.METHODS["sequential"](cell, start, inputs, 0.0)
    found = gru.chunked(method, chunk)(cell, start, inputs, 0.0)
    assert bool(found.converged)
    np.testing.assert_allclose(found.states, expected.states, atol=1e-5)


# gru_scaling


@pytest.mark.parametrize(("length", "chunk"), [(100, 200), (25_600, 200), (100_000, 782)])
def test_chunks_get_longer_where_there_would_be_too_many(length, chunk):
    assert SETTINGS.chunk(length) == chunk


def test_scaling_writes_one_row_a_measurement(tmp_path):
    table, record = scaling(tmp_path, lengths=("20", "50"))
    assert tuple(table.columns) == gru_scaling.COLUMNS
    keys = list(zip(table.length, table.method, table.seed, table.repetition, strict=True))
    assert sorted(keys) == sorted(product([20, 50], METHODS, [0, 1], [0, 1, 2]))
    assert set(table.status) == {"ok"}
    assert (table.time_s > 0).all() and (table.compile_time_s > 0).all()
    assert (table.max_abs_error < 1e-3).all()
    stepped = table.method.isin(SCANS)
    fewest = (table.method != "by_default").astype(int)  # which here takes the steps in turn
    assert table.num_steps.between(fewest, table.length)[~stepped].all()
    assert table[stepped].num_steps.isna().all()
    assert record["seeds"] == [0, 1] and record["configuration"]["dim"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "curve.json"]


def test_seeds_differ(tmp_path):
    table, _ = scaling(tmp_path, "--methods", "deer", "sequential")
    errors = table[table.method == "deer"].groupby("seed").max_abs_error.first()
    assert errors.nunique() == 2


def test_record_names_the_kind_of_machine_only(tmp_path):
    _, record = scaling(tmp_path)
    assert record["device"]["platform"] == jax.default_backend()
    assert record["versions"]["jax"] == jax.__version__
    assert record["device_memory_bytes"] > 0 and record["duration_s"] > 0
    text = json.dumps(record)
    assert str(tmp_path) not in text and os.path.expanduser("~") not in text
    assert f'"{os.uname().nodename}"' not in text


def test_cells_that_do_not_fit_are_never_run(tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("arrays were made for a cell that does not fit")

    monkeypatch.setattr(gru_scaling, "normal_inputs", fail)
    table, _ = scaling(tmp_path, "--memory-fraction", "1e-12")
    assert list(table.status) == ["out of memory"] * len(METHODS)
    assert table.time_s.isna().all() and table.seed.isna().all()
    assert (table.argument_memory_bytes > 0).all() and (table.output_memory_bytes > 0).all()


def test_memory_is_known_before_anything_is_allocated():
    settings = replace(SETTINGS, batch=16, dim=64, memory_fraction=1e-9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program = gru_scaling.build(settings, 10_000_000, "deer")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert program.status == "out of memory" and program.run is None
    assert program.memory is not None
    trajectory = 16 * 64 * 10_000_000 * 4
    assert program.memory.argument >= trajectory and program.memory.output >= trajectory
    assert grown * 1024 < trajectory / 20


def test_failed_compilation_is_a_row(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the first line\nthe second line")

    monkeypatch.setitem(gru.METHODS, "deer", broken)
    table, _ = scaling(tmp_path)
    status = table.groupby("method").status.unique()
    assert list(status["deer"]) == ["compiling failed: the first line"]
    assert all(list(status[name]) == ["ok"] for name in METHODS if name != "deer")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("RESOURCE_EXHAUSTED: 3 GiB\nstack", "out of memory"),
        ("device lost", "running failed: device lost"),
        ("", "running failed: RuntimeError"),
    ],
)
def test_failed_run_is_a_row(tmp_path, monkeypatch, message, status):
    build = gru_scaling.build

    def run(*_):
        raise RuntimeError(message)

    def build_broken(settings, length, method):
        program = build(settings, length, method)
        return program._replace(run=run) if method == "deer" else program

    monkeypatch.setattr(gru_scaling, "build", build_broken)
    table, _ = scaling(tmp_path)
    rows = table[table.method == "deer"]
    assert list(rows.status) == [status]
    assert rows.time_s.isna().all()
    assert len(table) == 1 + 6 * (len(METHODS) - 1) and set(
        table[table.method != "deer"].status
    ) == {"ok"}


def test_unconverged_answers_are_marked(tmp_path, monkeypatch):
    deer = gru.METHODS["deer"]

    def stopped(*arguments):
        return deer(*arguments)._replace(converged=jnp.array(False))

    monkeypatch.setitem(gru.METHODS, "deer", stopped)
    table, _ = scaling(tmp_path)
    assert set(table[table.method == "deer"].status) == {"not converged"}


def test_time_limit_cuts_repetitions_then_seeds(tmp_path):
    table, _ = scaling(tmp_path, "--cell-seconds", "1e-9")
    assert set(table.seed) == set(table.repetition) == {0} and len(table) == len(METHODS)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dim", "0", "'0' is not a whole number of at least 1"),
        ("--batch", "two", "'two' is not a whole number"),
        ("--lengths", "-5", "argument --lengths"),
        ("--output", "curve.txt", "'curve.txt' does not end in .csv"),
    ],
)
def test_wrong_arguments_are_named(capsys, option, value, message):
    given = {"--batch": "1", "--dim": "2", "--lengths": "5", "--output": "x.csv", option: value}
    with pytest.raises(SystemExit):
        gru_scaling.main([text for pair in given.items() for text in pair])
    assert message in capsys.readouterr().err


# Timing and memory


def test_timed_waits_for_the_result():
    def slow(x):
        time.sleep(0.2)
        return np.asarray(x)

    shape = jax.ShapeDtypeStruct((), jnp.float32)
    call = jax.jit(lambda x: jax.pure_callback(slow, shape, x))
    seconds, result = timed(lambda: call(jnp.float32(3)))
    assert seconds >= 0.2 and float(result) == 3


def test_methods_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    plans = {"a": Plan(1, 2, 3), "b": Plan(1, 1, 2)}
    names = [(name, repetition) for name, repetition, _ in interleaved(calls, plans)]
    assert order == ["a", "a", "b", "a", "b", "a"]  # one more warm-up of a, then turns
    assert names == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, Plan(4, 2, 5)),
        (28.0, Plan(4, 2, 5)),
        (27.0, Plan(4, 1, 5)),
        (12.0, Plan(4, 1, 2)),
        (5.0, Plan(2, 1, 1)),
        (0.1, Plan(1, 1, 1)),
    ],
)
def test_plan_within_a_limit(limit, expected):
    assert Plan(4, 2, 5).within(limit, first_run_s=1.0) == expected


def test_program_memory_counts_every_buffer():
    shape = jax.ShapeDtypeStruct((1000, 1000), jnp.float32)
    compiled = jax.jit(lambda a, b: (a @ b) @ a).lower(shape, shape).compile()
    found = program_memory(compiled)
    assert found.argument == 8_000_000 and found.temp >= 4_000_000
    assert found.total == found.argument + found.output + found.temp
    assert found.output == pytest.approx(4_000_000, rel=0.01)
    assert device_memory() > 0


class _Accelerator:
    def memory_stats(self):
        return {"bytes_limit": 12_345, "bytes_in_use": 1}


def test_device_memory_of_an_accelerator_is_its_pool(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [_Accelerator()])
    assert device_memory() == 12_345


def test_device_memory_respects_a_control_group(tmp_path, monkeypatch):
    for name, text in (("_CGROUP_LIMIT", "5000\n"), ("_CGROUP_USED", "2000\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert device_memory() == 3000
    (tmp_path / "_CGROUP_LIMIT").write_text("max\n")
    assert device_memory() > 3000


# gru_accuracy


def test_accuracy_compares_every_method_on_every_input(tmp_path):
    output = tmp_path / "accuracy.csv"
    sizes = ["--dim", "2", "--length", "300", "--shown", "50"]
    gru_accuracy.main([*sizes, "--tolerance", "1e-6", "--output", str(output)])
    table = pd.read_csv(output)
    columns = ["inputs", "method", "step", "unit", "sequential", "value", "difference"]
    assert list(table.columns) == columns
    sizes = table.groupby(["inputs", "method"]).size()
    assert len(sizes) == 4 and set(sizes) == {50 * 2}
    assert (table.step.min(), table.step.max()) == (251, 300)
    np.testing.assert_allclose(table.value - table.sequential, table.difference, atol=1e-12)
    summary = json.loads(output.with_suffix(".json").read_text())["summary"]
    for kind, width in (("normal", 2), ("watch", 6)):
        assert summary[kind]["length"] == 300 and summary[kind]["input_width"] == width
        assert 0 < summary[kind]["sequential_rounding"]["max_abs"] < 1e-5
        for method in ("deer", "quasi_deer"):
            found = summary[kind]["methods"][method]
            shown = table[(table.inputs == kind) & (table.method == method)].difference
            assert found["converged"] and shown.abs().max() <= found["max_abs"] < 1e-4


def test_accuracy_uses_the_whole_of_a_shorter_recording(tmp_path):
    output = tmp_path / "accuracy.csv"
    gru_accuracy.main(
        ["--length", "9000", "--inputs", "watch", "--methods", "deer", "--output", str(output)]
    )
    assert json.loads(output.with_suffix(".json").read_text())["summary"]["watch"]["length"] == 2618
    assert pd.read_csv(output).step.max() == 2618


# records


def result_file(folder, name, rows, record):
    path = folder / name
    records.write_results(path, pd.DataFrame(rows), record)
    return path


def test_collect_joins_tables_and_records(tmp_path):
    first = result_file(tmp_path, "b.csv", {"dim": [10, 9], "time_s": ["0.10", "2e-05"]}, {"n": 1})
    second = result_file(tmp_path, "a.csv", {"dim": [9, 10], "time_s": ["0.3", ""]}, {"n": 2})
    output = tmp_path / "deep" / "all.csv"
    command = ["collect", "--inputs", str(first), str(second), "--output", str(output)]
    records.main(command)
    assert output.read_text().split() == ["dim,time_s", "9,2e-05", "9,0.3", "10,0.10", "10,"]
    assert json.loads(output.with_suffix(".json").read_text()) == [{"n": 1}, {"n": 2}]


def test_collect_joins_what_is_there_where_that_is_asked(tmp_path, capsys):
    (tmp_path / "there").mkdir()
    scaling(tmp_path / "there")
    inputs = [str(tmp_path / name / "curve.csv") for name in ("there", "missing")]
    output = tmp_path / "all.csv"
    records.main(["collect", "--present", "--inputs", *inputs, "--output", str(output)])
    assert len(pd.read_csv(output)) == len(pd.read_csv(inputs[0]))
    assert f"{inputs[1]} does not exist and is left out." in capsys.readouterr().err
    with pytest.raises(SystemExit, match="does not exist: run its experiment first"):
        records.main(["collect", "--present", "--inputs", inputs[1], "--output", str(output)])


def test_collect_says_what_is_wrong(tmp_path):
    good = result_file(tmp_path, "good.csv", {"dim": [1]}, {})
    other = result_file(tmp_path, "other.csv", {"size": [1]}, {})
    alone = tmp_path / "alone.csv"
    alone.write_text("dim\n1\n")
    for bad, message in [
        (other, r"other\.csv has the columns size"),
        (alone, r"alone\.csv has no record alone\.json"),
        (tmp_path / "none.csv", r"none\.csv does not exist"),
    ]:
        with pytest.raises(SystemExit, match=message):
            records.main(["collect", "--inputs", str(good), str(bad), "--output", "x.csv"])


def test_results_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    path = result_file(tmp_path, "a.csv", {"dim": [1]}, {"run": "old"})
    replaced = []

    def stop_at_the_table(source, target):
        replaced.append(target.name)
        if target.suffix == ".csv":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop_at_the_table)
    with pytest.raises(KeyboardInterrupt):
        records.write_results(path, pd.DataFrame({"dim": [2]}), {"run": "new"})
    assert replaced == ["a.json", "a.csv"]
    assert path.read_text() == "dim\n1\n"
