"""Training: the same numbers whatever evaluates the GRUs, and whenever it is killed."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import baselines, gradients, training, training_step
from experiments.datasets.dataset import DatasetError
from experiments.datasets.parts import Part, Parts, divide, load
from experiments.harness import checkpoint, records
from experiments.harness.command_line import to_words
from experiments.harness.configuration import complete
from experiments.harness.timing import compiled
from experiments.problems.classifier import CELLS, VARIANTS, Classifier, evaluation, loss
from experiments.problems.scans import FORMS
from experiments.problems.trainer import (
    Checkpoint,
    Rows,
    State,
    batches,
    clipped_adam,
    resume,
    updating,
)
from experiments.reporting.tables import training_accuracy
from tests.figure_scripts import draw

ROOT = Path(__file__).resolve().parents[2]
STEPPED = ["sequential", "inputs_first_unrolled", "quasi_deer", "chunks"]
SETTINGS = complete(
    ROOT,
    {
        "scale": "smoke",
        "training": {"length": 40, "epochs": 2},
        "training_step": {"variants": STEPPED, "length": 60, "repetitions": 2},
    },
)
SMALL = SETTINGS["training"]
EXACT = ("sequential", "deer", "quasi_deer")


class Limits(NamedTuple):
    """What an evaluation depends on."""

    tolerance: float = 1e-6
    window: int | None = None
    group: int = 2
    chunk: int = 7


def words(variant, output, **changes):
    values = {name: value for name, value in SMALL.items() if name != "variants"} | changes
    return [*to_words(values), "--variant", variant, "--output", str(output)]


def run(variant, folder, **changes):
    output = folder / f"{variant}.csv"
    training.main(words(variant, output, **changes))
    return pd.read_csv(output), json.loads(output.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A folder results/fresh/test with the results of all experiments of the training."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    tables = [folder / "training" / f"{variant}.csv" for variant in VARIANTS]
    for variant in VARIANTS:
        run(variant, folder / "training", splits=2)
    records.collect(tables, folder / "training.csv", beside=["epochs"])
    values = to_words({name: value for name, value in SMALL.items() if name != "variants"})
    for module in (baselines, gradients):
        module.main([*values, "--output", str(folder / f"{module.EXPERIMENT}.csv")])
    steps = to_words(SETTINGS["training_step"])
    training_step.main([*steps, "--output", str(folder / "training_step.csv")])
    return folder


# The methods


@pytest.mark.slow
def test_exact_gradients_give_the_same_losses_in_float64():
    with jax.enable_x64(True):
        model = Classifier(6, 4, 2, 7, key=jax.random.key(0), dtype=jnp.float64)
        series = jax.random.normal(jax.random.key(1), (20, 8, 60, 6))
        labels = jax.random.randint(jax.random.key(2), (20, 8), 0, 7)
        curves = {variant: losses(variant, model, series, labels) for variant in EXACT}
    assert curves["sequential"][-1] < 0.9 * curves["sequential"][0]
    for variant in ("deer", "quasi_deer"):
        np.testing.assert_allclose(curves[variant], curves["sequential"], rtol=0, atol=1e-6)


def losses(variant, model, series, labels):
    """Those of 20 updates, on batches that are seen once each and a label that can be learned."""
    optimiser = clipped_adam(1e-2, 1.0)
    evaluate = evaluation(variant, Limits(tolerance=1e-10, group=4))
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    labels = jnp.zeros_like(labels)
    update = compiled(updating(evaluate, optimiser), model, state, series[0], labels[0], None)
    curve = []
    for batch, wanted in zip(series, labels, strict=True):
        model, state, shown, _ = update(model, state, batch, wanted, None)
        assert int(shown.failed) == 0
        curve.append(float(shown.loss))
    return curve


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell(cell):
    model = Classifier(3, 4, 1, 2, cell, key=jax.random.key(0))
    series = jax.random.normal(jax.random.key(1), (2, 20, 3), jnp.float32)
    wanted, (found,) = (
        model(series, evaluation(variant, Limits()))[1] for variant in ("sequential", "quasi_deer")
    )
    np.testing.assert_allclose(found.states, wanted[0].states, atol=1e-5)


@pytest.fixture(scope="module")
def batch():
    model = Classifier(3, 4, 2, 5, key=jax.random.key(0))
    series = jax.random.normal(jax.random.key(1), (6, 30, 3), jnp.float32)
    return model, series, jnp.arange(6) % 5


def value_and_gradient(variant, batch, guesses=None):
    model, series, labels = batch
    evaluate = evaluation(variant, Limits())
    graded = eqx.filter_value_and_grad(loss, has_aux=True)
    return graded(model, series, labels, evaluate, guesses)


def test_the_diagonal_gradient_is_another_one_of_the_same_loss(batch):
    (exact, _), wanted = value_and_gradient("quasi_deer", batch)
    (value, _), found = value_and_gradient("quasi_deer_diagonal", batch)
    assert abs(float(value) - float(exact)) < 1e-6
    for part, measures in {
        part: gradients.compare(gradients.parts_of(wanted)[part], gradients.parts_of(found)[part])
        for part in ("all", "recurrence_1", "recurrence_2")
    }.items():
        assert 0.1 < measures["angle_deg"] < 90, part
    assert gradients.compare(wanted.decoder, found.decoder)["angle_deg"] < 0.1


@pytest.mark.parametrize("variant", ["inputs_first", "unrolled", "inputs_first_unrolled", "chunks"])
def test_exact_variants_have_the_sequential_loss_and_gradient(batch, variant):
    (wanted, _), gradient = value_and_gradient("sequential", batch)
    (value, seen), found = value_and_gradient(variant, batch)
    assert abs(float(value) - float(wanted)) < 1e-6 and bool(seen.converged.all())
    compared = gradients.compare(gradient, found)
    # Both gradients are rounded, to 6e-8 a number: an angle of about 1e-3 degrees after 30 steps.
    assert compared["angle_deg"] < 0.05 and abs(compared["norm_ratio"] - 1) < 1e-4


def test_the_gradient_of_chunks_on_a_gpu_is_exact_too(batch, monkeypatch):
    _, gradient = value_and_gradient("sequential", batch)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    evaluate = evaluation("chunks", Limits())
    monkeypatch.undo()
    model, series, labels = batch
    found = eqx.filter_grad(lambda model: loss(model, series, labels, evaluate)[0])(model)
    assert gradients.compare(gradient, found)["angle_deg"] < 0.05


def test_a_warm_start_from_the_solution_needs_no_iterations(batch):
    (_, cold), _ = value_and_gradient("quasi_deer_warm", batch)
    (_, warm), _ = value_and_gradient("quasi_deer_warm", batch, cold.states)
    assert int(cold.num_steps.min()) > 2
    assert int(warm.num_steps.max()) <= 1
    np.testing.assert_allclose(warm.states, cold.states, atol=1e-5)


# The training


@pytest.mark.slow
def test_rows(fresh):
    updates = pd.read_csv(fresh / "training.csv")
    epochs = pd.read_csv(fresh / "training_epochs.csv")
    assert set(updates.variant) == set(epochs.variant) == set(VARIANTS)
    assert set(updates.failed_solves) == {0}
    assert (updates.time_s > 0).all() and (updates.gradient_norm > 0).all()
    stepped = updates.variant.isin(FORMS)
    assert (updates[stepped].num_steps_layer_1 == 0).all()
    assert (updates[~stepped].num_steps_layer_1 >= 1).all()
    for _, own in epochs.groupby(["variant", "split"]):
        assert list(own.epoch) == [1, 2]
        best = own[own.validation_accuracy == own.validation_accuracy.cummax()]
        assert list(own.test_accuracy.notna()) == list(own.index.isin(best.index))
    about = json.loads((fresh / "training.json").read_text())
    assert all(one["compile_time_s"] > 0 and len(one["weights_sha256"]) == 2 for one in about)
    # In float32 the exact variants part slowly.
    first = updates.query("epoch == 1 and update == 1").set_index(["variant", "split"]).loss
    for variant in VARIANTS:
        np.testing.assert_allclose(first[variant], first["sequential"], atol=1e-4)


@pytest.mark.slow
def test_two_runs_write_the_same(tmp_path):
    first, second = (run("quasi_deer_warm", tmp_path / name) for name in ("a", "b"))
    pd.testing.assert_frame_equal(
        first[0].drop(columns="time_s"), second[0].drop(columns="time_s"), check_exact=True
    )
    assert first[1]["weights_sha256"] == second[1]["weights_sha256"]


@pytest.mark.slow
def test_killed_ten_times_it_ends_with_the_same_weights(tmp_path):
    changes = {"epochs": 120, "patience": 120}
    table, about = run("quasi_deer_warm", tmp_path / "whole", **changes)
    output = tmp_path / "killed" / "quasi_deer_warm.csv"
    kept = output.with_name("quasi_deer_warm_checkpoints") / "split0.eqx"
    moments = random.Random(0)
    reached = [0]
    for _ in range(10):
        killed = start(words("quasi_deer_warm", output, **changes))
        wait_for_an_epoch_after(reached[-1], kept, killed)
        time.sleep(moments.uniform(0, 0.05))
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not output.exists()
        reached.append(epochs_in(kept))
    assert reached == sorted(set(reached)) and reached[-1] < 120
    last = start(words("quasi_deer_warm", output, **changes))
    assert last.wait() == 0
    found = pd.read_csv(output)
    assert (
        json.loads(output.with_suffix(".json").read_text())["weights_sha256"]
        == (about["weights_sha256"])
    )
    pd.testing.assert_frame_equal(
        found.drop(columns="time_s"), table.drop(columns="time_s"), check_exact=True
    )
    assert not kept.exists()


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.training", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def epochs_in(kept):
    about = checkpoint.read_about(kept)
    return 0 if about is None else len(about["rows"]["epochs"])


def wait_for_an_epoch_after(reached, kept, process):
    end = time.monotonic() + 120
    while epochs_in(kept) <= reached:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)


def test_a_checkpoint_of_another_run_is_not_used(tmp_path, capsys):
    path = tmp_path / "split0.eqx"
    begun = State(Classifier(1, 2, 1, 2, key=jax.random.key(0)), (), None)
    checkpoint.save(path, {"identity": "old", "rows": {}}, begun)
    state, rows = resume(Checkpoint(path, "new"), begun)
    assert state is begun and rows == Rows([], [])
    assert "split0.eqx is of other settings or code: starting afresh." in capsys.readouterr().err


@pytest.mark.slow
def test_it_stops_early(tmp_path):
    table, _ = run("sequential", tmp_path, epochs=30, patience=1, learning_rate=1e-9)
    epochs = pd.read_csv(tmp_path / "sequential_epochs.csv")
    assert len(epochs) < 30 and table.epoch.max() == len(epochs)


def test_every_series_of_an_epoch_is_seen_once():
    settings = training.Settings(
        **{name: value for name, value in SMALL.items() if name != "variants"}, variant="deer"
    )
    orders = [np.concatenate(batches(settings, 0, epoch, 21)) for epoch in range(3)]
    assert all(len(set(order)) == len(order) == 16 for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    with pytest.raises(DatasetError, match="has 5 series, fewer than the 8 of a batch"):
        batches(settings, 0, 0, 5)


# The data and the baselines


def test_people_are_in_one_part_only():
    dataset = load("watch", None, 1024)
    assert len(dataset.series) == 135
    parts = divide(dataset, 1024, 2, 2, seed=0)
    sizes = [len(part.labels) for part in parts]
    assert sum(sizes) == 135 and sizes[0] > 70
    assert {part.series.shape[1:] for part in parts} == {(1024, 6)}


def separable(count, seed):
    labels = np.arange(count) % 3
    noise = np.random.default_rng(seed).normal(size=(count, 50, 2))
    return Part((noise + 4 * labels[:, None, None]).astype(np.float32), labels)


def test_baselines():
    training_part = separable(30, 0)
    often = Part(training_part.series, np.where(np.arange(30) < 12, 1, training_part.labels))
    parts = Parts(training_part, separable(9, 1), separable(12, 2))
    assert baselines.linear_probe(parts) == 1
    assert math.isclose(baselines.majority(parts._replace(training=often)), 1 / 3)
    shuffled = replace_labels(parts)
    assert baselines.linear_probe(shuffled) < 1


def replace_labels(parts):
    """Labels that the series do not tell."""
    labels = np.random.default_rng(0).permutation(parts.test.labels)
    return parts._replace(test=parts.test._replace(labels=labels))


# Gradients, table and figures


def test_angles_and_norms():
    found = gradients.compare({"a": jnp.array([1.0, 0.0])}, {"a": jnp.array([0.0, 3.0])})
    assert math.isclose(found["angle_deg"], 90) and math.isclose(found["norm_ratio"], 3)
    same = gradients.compare({"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([1.0, 2.0])})
    assert same["angle_deg"] < 1e-3 and math.isclose(same["norm_ratio"], 1)


@pytest.mark.slow
def test_gradients_along_a_training(fresh):
    table = pd.read_csv(fresh / "gradients.csv")
    assert list(table.epoch) == [1, 2]
    assert (table.angle_deg_recurrence_1.between(0.001, 90)).all()


@pytest.mark.slow
def test_steps_are_timed(fresh):
    table = pd.read_csv(fresh / "training_step.csv")
    assert list(table.variant) == STEPPED * 2
    assert (table.time_s > 0).all() and (table.failed_solves == 0).all()
    assert table.loss.max() - table.loss.min() < 1e-3


@pytest.mark.slow
def test_table(fresh, tmp_path):
    output = tmp_path / "training_accuracy.csv"
    training_accuracy.main(["--results", str(fresh), "--output", str(output)])
    table = pd.read_csv(tmp_path / "training_accuracy.csv")
    assert list(table.trained) == [*baselines.BASELINES, *VARIANTS]
    assert "quasi-DEER, warm start" in (tmp_path / "training_accuracy.md").read_text()
    assert r"\toprule" in (tmp_path / "training_accuracy.tex").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [("training", ("diagonal gradient", "linear probe", "warm start")), ("gradients", ("angle",))],
)
def test_figures(fresh, name, parts):
    text = draw(name, fresh)[f"{name}.svg"].decode()
    assert all(words in text for words in parts)
