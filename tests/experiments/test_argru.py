"""The AR GRU: its training, the convergence and the sweep at small sizes, tables and figures."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import argru, argru_seeds, argru_sweep
from experiments.harness.command_line import to_words
from experiments.harness.configuration import complete
from experiments.harness.outcome import first_below
from experiments.problems import argru_training, systems
from experiments.problems.argru import ARGRU, untrained
from experiments.problems.search import COMPARED, deviations, search
from experiments.problems.systems import System
from experiments.reporting.tables import table_2
from tests.figure_scripts import draw

ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT.parent / "shared" / "reference" / "argru_released.npz"
# Long enough to tell methods, seeds and dampings apart.
SIZES = {
    "training": {"length": 300, "crop": 100, "crop_updates": 20, "updates": 10},
    "convergence": {"length": 300, "seeds": 2, "iterates": [1, 10], "repetitions": 2},
    "seeds": {"seeds": [0, 6], "length": 300, "max_steps": 300},
    "sweep": {"length": 300, "seeds": 2, "dampings": [0.1, 1e-3, 1e-6], "mad_after": [5, 20]},
}
TRAINING = argru_training.Settings(
    seed=0,
    amplitude=10,
    period=50,
    noise=1,
    length=60,
    crop=30,
    crop_updates=60,
    updates=55,
    batch_size=4,
    learning_rate=0.03,
    largest_gradient=1,
)


class Silent:
    """A progress that says nothing."""

    def advance(self, message):
        del message


def run_everything(folder):
    """All experiments, with the values of scale smoke beside these sizes."""
    settings = complete(ROOT, {"scale": "smoke", "argru": SIZES})["argru"]
    weights = ["--weights", str(folder / "argru_weights.npz")]
    for module, part in (
        (argru_training, "training"),
        (argru, "convergence"),
        (argru_sweep, "sweep"),
    ):
        output = ["--output", str(folder / f"{module.EXPERIMENT}.csv")]
        extra = ["--untrained-seed", "0"] if module is argru else []
        module.main([*to_words(settings[part]), *weights, *extra, *output])
    count_seeds(folder, settings["seeds"], weights[1:] * len(settings["seeds"]["seeds"]))
    return settings


def count_seeds(folder, values, weights):
    """The experiment argru_seeds, on the same weights for all seeds where they are the same."""
    output = ["--output", str(folder / "argru_seeds.csv")]
    argru_seeds.main([*to_words(values), "--weights", *weights, *output])


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    run_everything(folder)
    return folder


# The training


def test_waves_start_at_phase_zero():
    quiet = replace(TRAINING, noise=1e-9)
    series = argru_training.waves(quiet, 50, jax.random.key(0))
    assert series.shape == (50, 4) and series.dtype == jnp.float32
    wave = 10 * np.sin(2 * np.pi * np.arange(1, 51) / 50)
    np.testing.assert_allclose(series, np.tile(wave[:, None], 4), atol=1e-4)
    loud = argru_training.waves(replace(TRAINING, noise=3), 5000, jax.random.key(1))
    assert float(jnp.std(loud - jnp.mean(loud, axis=1, keepdims=True))) == pytest.approx(
        3 * math.sqrt(3 / 4), rel=0.02
    )


def test_likelihood_is_that_of_the_noise_behind_the_series():
    """log p(x) = log p(e) - sum of log dx_t/de_t, where e is the noise that makes x."""
    model = ARGRU(key=jax.random.key(2))
    noise = jax.random.normal(jax.random.key(3), (20,))
    output = argru_training.rollout(model, noise)
    slopes = jnp.diag(jax.jacfwd(lambda e: argru_training.rollout(model, e))(noise))
    density = jnp.sum(noise**2 / 2 + math.log(2 * math.pi) / 2 + jnp.log(slopes))
    found = argru_training.negative_log_likelihood(model, output[:, None])
    np.testing.assert_allclose(found, density / 20, rtol=1e-4)


def test_training_lowers_the_loss_and_counts_every_update():
    model, table = argru_training.train(TRAINING, Silent())  # pyright: ignore[reportArgumentType]
    assert list(table.columns) == ["update", "length", "loss_nats_per_step"]
    assert list(table["update"]) == list(range(1, 116))
    assert list(table["length"]) == [30] * 60 + [60] * 55
    losses = np.asarray(table["loss_nats_per_step"])
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()
    assert jax.tree.structure(model) == jax.tree.structure(untrained(0))


def test_a_wave_is_described():
    steps = np.arange(1000)
    wave = np.where(steps < 500, 3.0, 1.0) * np.sin(2 * np.pi * steps / 50) + 7
    found = argru_training.describe_wave(wave)
    assert found["period_steps"] == pytest.approx(50)
    assert found["amplitude_first_half"] == pytest.approx(3)
    assert found["amplitude_second_half"] == pytest.approx(1)


# Convergence and sweep


@pytest.mark.parametrize("last", [3, 99, 100, 101, 5000])
def test_kept_iterations(last):
    mad = np.full(last + 1, 1.0)
    mad[last - 2 :] = 0.01
    kept = argru.kept_iterations(mad)
    assert set(range(min(100, last + 1))) <= set(kept)
    assert {last - 2, last} <= set(kept) and kept.max() == last
    assert len(kept) <= 100 + 1 + argru.KEPT_PER_DECADE * math.log10(max(100, last) / 100) + 2


def test_one_row_a_solve(fresh):
    table = pd.read_csv(fresh / "argru.csv")
    assert len(table) == 2 * 5 * 2
    assert list(table.columns[:4]) == ["model", "method", "damping", "seed"]
    undamped = table[table.method.isin(["deer", "quasi_deer"])]
    assert (undamped.damping == 0).all() and (undamped.run_steps <= 300).all()
    assert set(table[table.method == "elk"].damping) == {1e-6}


def test_curves_agree_with_the_solves(fresh):
    table, curves = (pd.read_csv(fresh / f"argru{part}.csv") for part in ("", "_mad"))
    keys = ["model", "method", "damping", "seed"]
    grouped = dict(iter(curves.groupby(keys)))
    assert len(grouped) == len(table)
    for row in table.to_dict("records"):
        curve = grouped[tuple(row[key] for key in keys)]
        assert curve.iteration.iloc[-1] == row["run_steps"]
        assert curve.mad.iloc[-1] == pytest.approx(row["last_mad"], rel=1e-4)
        below = list(curve[curve.mad < 0.1].iteration)
        assert below[:1] == ([] if math.isnan(row["num_steps"]) else [row["num_steps"]])


def test_chunks_find_the_answer_in_sweeps(fresh):
    table = pd.read_csv(fresh / "argru.csv").query("method == 'dense_chunks'")
    # The output of the untrained model grows to 1e6, where rounding alone is above the threshold.
    table = table.query("model == 'trained'")
    # 300 steps are 15 chunks of 20, and as many sweeps are always enough.
    assert table.num_steps.between(1, 15).all() and (table.last_mad < 1e-3).all()


def test_iterates_begin_with_the_sequential_output(fresh):
    """After n iterations of an undamped method the first n states are right."""
    table = pd.read_csv(fresh / "argru_iterates.csv")
    outputs = {key: cells.output.values for key, cells in table.groupby(["method", "iteration"])}
    truth = outputs["sequential", 0]
    assert list(table.step.iloc[: len(truth)]) == list(range(1, 301, 3))
    assert set(outputs) == {("sequential", 0), *product(COMPARED, (1, 10))}
    for method in ("deer", "quasi_deer"):
        np.testing.assert_allclose(outputs[method, 1][:1], truth[:1], atol=1e-4)
        np.testing.assert_allclose(outputs[method, 10][:4], truth[:4], atol=1e-4)


def test_times_are_of_all_methods_in_turns(fresh):
    table = pd.read_csv(fresh / "argru_times.csv")
    assert list(table.method) == 2 * ["sequential", *argru.METHODS]
    assert (table.time_s > 0).all()
    assert table[table.method == "sequential"].run_steps.isna().all()
    assert table[table.method != "sequential"].run_steps.between(1, 10).all()


def test_records(fresh):
    for name in ("argru", "argru_sweep"):
        record = json.loads((fresh / f"{name}.json").read_text())
        assert record["weights"]["name"] == "argru_weights.npz"
        assert len(record["weights"]["sha256"]) == 64
        assert str(fresh) not in json.dumps(record)
    rollouts = json.loads((fresh / "argru_training.json").read_text())["rollouts"]
    assert len(rollouts) == 3


def test_sweep_has_every_damping(fresh):
    table = pd.read_csv(fresh / "argru_sweep.csv")
    assert len(table) == 2 * 3 * 2 and set(table.damping) == {0.1, 1e-3, 1e-6}
    assert {"mad_after_5", "mad_after_20"} <= set(table.columns)
    done = table[table.run_steps < 5]
    assert (done.mad_after_5 == done.last_mad).all()


@pytest.mark.parametrize(
    ("iterations", "max_steps", "found"), [(1, 2, 2.0), (5, 9, 1.0), (2, 2, 1.0), (5, 2, math.nan)]
)
def test_mad_after_the_last_iteration(iterations, max_steps, found):
    mad = np.array([3.0, 2.0, 1.0])
    assert argru_sweep._mad_after(mad, iterations, max_steps) == pytest.approx(found, nan_ok=True)


def test_every_seed_is_counted_with_every_method(fresh, tmp_path):
    table = pd.read_csv(fresh / "argru_seeds.csv")
    assert len(table) == 2 * len(COMPARED) and set(table.training_seed) == {0, 6}
    one, other = (table[table.training_seed == seed] for seed in (0, 6))
    assert list(one.run_steps) == list(other.run_steps)  # the same weights were given for both
    solves = pd.read_csv(fresh / "argru.csv").query("model == 'trained' and seed == 0")
    solves = solves[solves.method.isin(COMPARED)]
    assert list(one.last_mad) == pytest.approx(list(solves.last_mad))
    with pytest.raises(SystemExit):
        count_seeds(tmp_path, {"seeds": [0, 6]}, [str(fresh / "argru_weights.npz")])


@pytest.mark.slow
def test_two_runs_give_the_same_numbers(fresh, tmp_path):
    again = tmp_path / "again"
    run_everything(again)
    names = sorted(path.name for path in fresh.glob("argru*.csv"))
    assert len(names) == 7
    for name in names:
        if name != "argru_times.csv":
            assert (again / name).read_bytes() == (fresh / name).read_bytes(), name
    first, second = (ARGRU.load(folder / "argru_weights.npz") for folder in (fresh, again))
    assert jax.tree.all(jax.tree.map(np.array_equal, first, second))


@pytest.mark.slow
@pytest.mark.skipif(not RELEASED.exists(), reason="no copy of the authors' released weights")
@pytest.mark.usefixtures("optimised")
def test_released_weights_give_the_order_of_the_paper():
    system = systems.argru(ARGRU.load(RELEASED), 10_000, seed=0)
    dampings = {"elk": 1e-6, "quasi_elk": 1e-2, "deer": 0.0, "quasi_deer": 0.0}
    counts = {}
    for method, damping in dampings.items():
        run = search(method, 1e-6, 10_000, System.mad)
        counts[method] = first_below(deviations(run, system, damping), 0.1)
    assert counts["elk"] < counts["quasi_elk"] < counts["deer"] < counts["quasi_deer"]
    assert 10 * counts["elk"] <= counts["deer"]


# Table and figures


def test_table_says_what_was_not_found():
    solves = pd.DataFrame(
        [
            {"model": "untrained", "method": "deer", "num_steps": 1},
            *({"model": "trained", "method": "deer", "num_steps": n} for n in (100, 300, 200)),
            *({"model": "trained", "method": "elk", "num_steps": n} for n in (10, math.nan, 20)),
            *(
                {"model": "trained", "method": name, "num_steps": math.nan}
                for name in ("quasi_elk",)
            ),
            {"model": "trained", "method": "quasi_deer", "num_steps": 7},
        ]
    )
    times = pd.DataFrame(
        [
            {"method": "sequential", "run_steps": math.nan, "time_s": 0.002},
            *({"method": name, "run_steps": 50, "time_s": 0.1} for name in COMPARED),
        ]
    )
    table = table_2.tabulate(solves, times).set_index("method")
    assert table.loc["deer", "num_steps_median"] == 200
    assert table.loc["deer", "time_s"] == pytest.approx(0.4)
    assert table.loc["sequential", "time_s"] == 0.002
    assert math.isinf(table.loc["elk", "num_steps_max"]) and math.isinf(
        table.loc["quasi_elk", "time_s"]
    )
    shown = table_2.for_readers(table.reset_index()).set_index("method")
    assert shown.loc["DEER", "iterations"] == "200 (100 to 300)"
    assert shown.loc["ELK", "iterations"] == "20 (10 to not found)"
    assert shown.loc["quasi-ELK", "iterations"] == "not found"
    assert shown.loc["quasi-ELK", "ms in all"] == table_2.MISSING
    assert shown.loc["quasi-DEER", "iterations"] == "7"
    assert shown.loc["ELK", "ms per iteration"] == "2"
    assert shown.loc["ELK", "paper: ms in all"] == "(619)"
    assert shown.loc["quasi-ELK", "paper: ms in all"] == "221"


def test_table_is_written_in_all_formats(fresh, tmp_path):
    output = tmp_path / "table_2.csv"
    table_2.main(["--results", str(fresh), "--output", str(output)])
    assert list(pd.read_csv(output).method) == ["sequential", *argru.METHODS]
    markdown = output.with_suffix(".md").read_text()
    assert markdown.splitlines()[0].startswith("| method | iterations")
    assert r"\toprule" in output.with_suffix(".tex").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("argru_convergence", ("untrained", "quasi-ELK", "MAD of the output", "iteration 10")),
        ("argru_sweep", ("damping λ", "after 20", "sequential")),
    ],
)
def test_figures_draw(fresh, name, words):
    files = draw(name, fresh)
    assert set(files) == {f"{name}{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files[f"{name}.svg"].decode()
    assert all(word in text for word in words)
