"""The damping experiment at small sizes, its parts, and its figure."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import damping
from experiments.problems import systems, watch_classifier
from experiments.problems.argru import ARGRU
from experiments.problems.systems import System
from parallel_rnn import DEER
from tests.figure_scripts import draw


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "argru_weights.npz"
    ARGRU(key=jax.random.key(0)).save(path)
    return path


def run(folder, weights):
    output = folder / "damping.csv"
    sizes = ["--systems", "argru", "--argru-length", "30", "--window", "10", "--max-steps", "40"]
    values = ["--dampings", "0.1", "0.001", "--scales", "0", "0.1"]
    damping.main([*sizes, *values, "--weights", str(weights), "--output", str(output)])
    return output


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, weights):
    """A folder results/fresh/test with results."""
    folder = tmp_path_factory.mktemp("project") / "results" / "fresh" / "test"
    run(folder, weights)
    return folder


# What it writes


def test_one_row_a_solve(fresh):
    table = pd.read_csv(fresh / "damping.csv", keep_default_na=False, na_values=[""])
    for evaluation in ("whole", "windows"):
        cells = table[table.evaluation == evaluation]
        assert len(cells) == 4 * (2 + 1) + 2 * 2 + 1
        assert set(cells.rule) == {"fixed", "adaptive", "scale", "clip"}
    assert (table.iterations.notna() == (table.status == damping.REACHED)).all()
    undamped = table.query("rule in ['scale', 'clip']")
    assert (undamped.status == damping.REACHED).all()
    assert (undamped.query("evaluation == 'whole'").iterations <= 30).all()
    assert (undamped.query("evaluation == 'windows'").iterations <= 10).all()
    assert (undamped.mad < 1e-3).all()


def test_record_and_radii(fresh):
    record = json.loads((fresh / "damping.json").read_text())
    assert record["summary"] == {"argru": {"length": 30, "state_size": 4, "threshold": 0.1}}
    radii = pd.read_csv(fresh / "damping_radius.csv")
    assert list(radii.damping) == [0, 0.1, 0.001] * 2
    assert (radii.radius_low <= radii.radius_median).all()
    assert (radii.radius_high <= radii.radius_max).all()


@pytest.mark.slow
def test_two_runs_write_the_same(fresh, weights, tmp_path):
    run(tmp_path, weights)
    for name in ("damping.csv", "damping_radius.csv"):
        assert (tmp_path / name).read_text() == (fresh / name).read_text()


def test_figure(fresh):
    files = draw("damping", fresh)
    text = files["damping.svg"].decode()
    assert all(words in text for words in ("AR GRU", "quasi-ELK, smoother", "adapt.", "window"))


# Solving


@pytest.fixture(scope="module")
def system(weights):
    return systems.argru(ARGRU.load(weights), 40, 0)


def settings(**changes):
    values = {
        "systems": (),
        "weights": "",
        "argru_length": 40,
        "lorenz96_length": 40,
        "classifier_length": 40,
        "classifier_units": 2,
        "classifier_updates": 2,
        "seed": 0,
        "dampings": (0.1,),
        "initial_dampings": (0.1,),
        "scales": (0.0,),
        "window": 10,
        "max_steps": 100,
        "tolerance": 1e-6,
    }
    return damping.Settings(**{**values, **changes})


def variant(chosen, method):
    return next(one for one in damping.variants(chosen) if one.method == method)


def test_scale_elk_without_scaling_is_deer(system):
    chosen = settings()
    (row,) = damping.solve_whole(chosen, system, variant(chosen, "scale_elk"))
    solution = system.solve(
        DEER(rtol=1e-6, atol=1e-6),
        guess="zeros",
        window=None,
        trace=lambda step, states, residual: system.mad(states),
    )
    expected = next(k for k, mad in enumerate(np.asarray(solution.trace)) if mad < 0.1)
    assert row["status"] == damping.REACHED and row["iterations"] == expected


def test_what_does_not_arrive_is_marked(system):
    chosen = settings(dampings=(1e3,), max_steps=5)
    for solve in damping.EVALUATIONS.values():
        (row,) = solve(chosen, system, variant(chosen, "elk"))
        assert row["status"] == damping.MISSED and math.isnan(row["iterations"])


def test_what_stops_far_from_the_answer_is_marked(system):
    chosen = settings(tolerance=1e3)
    (row,) = damping.solve_whole(chosen, system, variant(chosen, "elk"))
    assert row["status"] == damping.ELSEWHERE and row["mad"] > system.threshold


@pytest.mark.parametrize("name", ["lorenz96", "classifier"])
def test_answers_of_the_other_systems(name):
    system = damping.SYSTEMS[name](settings())
    assert system.answer.shape == (40, system.s0.size)
    assert system.answer.dtype == jnp.float32
    assert system.mad(system.answer) == 0
    solution = system.solve(DEER(), window=20)
    assert system.mad(solution.value) < 1e-2


def test_deviations_are_those_of_the_paper():
    states, answer = jnp.array([[1.0, 5.0], [3.0, 9.0]]), jnp.zeros((2, 2))
    assert systems.output_deviation(states, answer) == 2.0
    assert systems.mean_deviation(states, answer) == 4.5
    assert systems.summed_deviation(states, answer) == 9.0
    assert systems.mean_deviation(states.at[0, 0].set(jnp.nan), answer) == jnp.inf


# The effective transition


def effective_by_the_textbook(A, lam):
    """(I - K_t) A_t with the gains of a Kalman filter, in float64."""
    identity = np.eye(A.shape[1])
    P, found = np.zeros_like(identity), []
    for t, transition in enumerate(np.asarray(A, np.float64)):
        predicted = identity if t == 0 else transition @ P @ transition.T + identity
        gain = predicted @ np.linalg.inv(predicted + identity / lam)
        P = (identity - gain) @ predicted
        found.append((identity - gain) @ transition)
    return np.stack(found)


@pytest.mark.parametrize("lam", [1e-4, 1e-2, 1.0])
def test_effective_transitions_are_those_of_a_kalman_filter(lam):
    A = jax.random.normal(jax.random.key(0), (30, 3, 3)) / 2
    found = damping.effective_transitions(A, jnp.asarray(lam, A.dtype))
    np.testing.assert_allclose(found, effective_by_the_textbook(A, lam), atol=1e-5)
    diagonal = jnp.diagonal(A, axis1=1, axis2=2)
    found = damping.effective_transitions(diagonal, jnp.asarray(lam, A.dtype))
    for column in range(3):
        expected = effective_by_the_textbook(diagonal[:, column, None, None], lam)[:, 0, 0]
        np.testing.assert_allclose(found[:, column], expected, atol=1e-5)


@pytest.mark.parametrize("lam", [1e-4, 1e-2, 1.0])
def test_a_change_reaches_one_over_the_root_of_the_damping(lam):
    """For A = 1 the filter's factor is 1 - G with G^2 + λ G = λ, about 1 - √λ."""
    found = damping.effective_transitions(jnp.ones((2000, 1)), jnp.asarray(lam, jnp.float32))
    left = (math.sqrt(lam**2 + 4 * lam) - lam) / 2
    assert found[-1, 0] == pytest.approx(1 - left, rel=1e-4)
    assert left == pytest.approx(math.sqrt(lam), rel=0.4)


def test_without_damping_nothing_is_changed(system):
    A = damping.jacobians(system)
    np.testing.assert_array_equal(damping.effective_transitions(A, jnp.zeros(())), A)
    t = 7
    derivative = jax.jacrev(system.f)(system.answer[t - 1], system.xs[t])
    np.testing.assert_allclose(A[t], derivative, atol=1e-6)


def test_spectral_radii_and_growth():
    rotation = np.array([[0.0, -2.0], [2.0, 0.0]])
    assert damping.spectral_radii(np.stack([rotation] * 3)) == pytest.approx([2, 2, 2])
    diagonal = np.array([[0.5, -3.0], [2.0, 0.1]])
    assert damping.spectral_radii(diagonal) == pytest.approx([3, 2])
    assert damping.growth_exponent(np.stack([rotation] * 50)) == pytest.approx(math.log(2))
    steady = np.tile([0.5, 0.1], (200, 1))
    assert damping.growth_exponent(steady) == pytest.approx(math.log(0.5), abs=0.01)


# The classifier


def test_training_lowers_the_loss():
    model, series, losses = watch_classifier.trained(units=4, updates=30, length=60, seed=0)
    assert series.shape == (60, 6) and losses.shape == (30,)
    assert losses[-5:].mean() < losses[:5].mean()
    assert model(series).shape == (7,)


def test_crops_are_no_longer_than_the_shortest_recording():
    dataset = watch_classifier.watch()
    shortest = min(map(len, dataset.series))
    assert watch_classifier.crops(dataset, 10**6).shape == (len(dataset.series), shortest, 6)


def test_system_passes_through_jit(system):
    assert isinstance(system, System)
    assert jax.jit(lambda s: s.mad(s.answer))(system) == 0
