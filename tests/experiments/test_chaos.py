"""Lyapunov exponents against known ones, and iterations against exponents."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import chaos
from experiments.problems.argru import ARGRU
from experiments.problems.lorenz96 import Lorenz96
from experiments.problems.lyapunov import spectrum
from parallel_rnn.cells import ElmanCell, GRUCell
from tests.figure_scripts import draw

SMALL = ["--length", "24", "--windows", "8", "24", "--methods", "deer", "quasi_deer"]
SMALL += ["--forcings", "2", "8", "--gains", "0.3", "3", "--tanh-dim", "4"]
SMALL += ["--exponent-length", "300", "--repetitions", "2"]
TABLES = ("chaos", "chaos_exponents")


def run_small(folder: Path, weights: Path) -> dict[str, pd.DataFrame]:
    chaos.main([*SMALL, "--weights", str(weights), "--output", str(folder / "chaos.csv")])
    return {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the results of a small run, with weights that are untrained."""
    folder = tmp_path_factory.mktemp("project")
    ARGRU(key=jax.random.key(3)).save(folder / "weights.npz")
    run_small(folder / "results" / "fresh" / "test", folder / "weights.npz")
    return folder


@pytest.fixture(scope="module")
def tables(project):
    fresh = project / "results" / "fresh" / "test"
    return {name: pd.read_csv(fresh / f"{name}.csv") for name in TABLES}


# Exponents


def test_exponents_of_a_linear_map_are_its_eigenvalues():
    rng = np.random.default_rng(0)
    basis, scales = rng.normal(size=(4, 4)), np.array([1.3, 0.9, -0.5, 0.1])
    matrix = jnp.asarray(basis @ np.diag(scales) @ np.linalg.inv(basis), jnp.float32)
    found = spectrum(lambda s, _: matrix.astype(s.dtype) @ s, jnp.ones(4), None, 3000)
    np.testing.assert_allclose(found.exponents, np.log(np.abs(scales)), atol=2e-3)


def test_largest_exponent_of_the_logistic_map_is_log_2():
    def logistic(s, _):
        return 4 * s * (1 - s)

    found = spectrum(logistic, jnp.array([0.3], jnp.float32), None, 20_000)
    assert found.exponents[0] == pytest.approx(np.log(2), abs=0.02)


@pytest.mark.parametrize("kind", ["lorenz96", "elman", "gru", "argru"])
def test_exponents_add_up_to_the_divergence(kind):
    key, state_key, noise_key = jax.random.split(jax.random.key(1), 3)
    f, size, width = {
        "lorenz96": (Lorenz96(), 5, None),
        "elman": (ElmanCell(3, 3, key=key), 3, (3,)),
        "gru": (GRUCell(2, 6, key=key), 6, (2,)),
        "argru": (ARGRU(key=key), 4, ()),
    }[kind]
    s0 = jax.random.normal(state_key, (size,), jnp.float32)
    xs = None if width is None else jax.random.normal(noise_key, (200, *width), jnp.float32)
    found = spectrum(f, s0, xs, 200)
    assert found.exponents.dtype == np.float64 and (np.diff(found.exponents) <= 0).all()
    assert found.exponents.sum() == pytest.approx(found.divergence, rel=1e-12)


@pytest.mark.parametrize(("size", "forcing", "step"), [(5, 8.0, 0.01), (6, 3.0, 0.02)])
def test_volumes_of_the_flow_shrink_by_d_in_a_unit_of_time(size, forcing, step):
    model = Lorenz96(size, forcing, step)
    found = spectrum(model, model.perturbed_rest(), None, 500)
    assert found.divergence == pytest.approx(-size * step, rel=1e-6)


@pytest.mark.slow
def test_lorenz96_becomes_chaotic_with_its_forcing():
    """Exponents in a unit of time. For F = 2 the attractor is a cycle."""
    largest = {}
    for forcing in (0.5, 2.0, 8.0):
        model = Lorenz96(forcing=jnp.float32(forcing))
        start = eqx.filter_jit(model.states)(model.perturbed_rest(), 5000)[-1]
        largest[forcing] = spectrum(model, start, None, 20_000).exponents[0] / model.step
    assert largest[0.5] < -0.1 and abs(largest[2.0]) < 0.02 and largest[8.0] > 0.3


# The tables


def test_one_row_a_solve(tables, project):
    table = tables["chaos"]
    assert list(table.columns) == ["system", *chaos.COLUMNS]
    counts = table.groupby(["system", "method"]).size()
    for system in chaos.SYSTEMS:
        assert list(counts[system].items()) == [("deer", 4), ("quasi_deer", 4), ("sequential", 2)]
    ok = table[(table["status"] == "ok") & (table["method"] != "sequential")]
    assert (ok["iterations_per_window"] <= ok["window"]).all() and (ok["time_s"] > 0).all()
    # Undamped methods need no more iterations than a window has steps.
    assert set(table["status"]) == {"ok"}
    text = (project / "results/fresh/test/chaos.json").read_text()
    assert json.loads(text)["configuration"]["weights"]["name"] == "weights.npz"
    assert str(project) not in text


def test_more_iterations_for_larger_exponents(tables):
    cells = tables["chaos"].query("system == 'tanh' and method == 'deer' and window == 24")
    cells = cells.sort_values("exponent_per_step")
    assert cells["exponent_per_step"].is_monotonic_increasing
    assert list(cells["parameter"].astype(float)) == [0.3, 3]
    few, many = cells["num_steps"]
    assert few < many


def test_largest_exponent_is_that_of_the_spectrum(tables):
    spectra = tables["chaos_exponents"]
    sums = spectra.groupby(["system", "parameter"])["exponent_per_step"].sum()
    divergence = spectra.groupby(["system", "parameter"])["divergence_per_step"].first()
    np.testing.assert_allclose(sums, divergence, rtol=1e-8)
    keys = ["system", "parameter", "draw"]
    largest = spectra.groupby(keys)["exponent_per_step"].max()
    shown = tables["chaos"].groupby(keys)["exponent_per_step"].first()
    np.testing.assert_allclose(shown, largest, rtol=1e-8)


def test_solves_without_an_answer_have_no_counts():
    outcome = chaos.Outcome(jnp.zeros((3, 2)), jnp.array(False), jnp.array(8), jnp.array(1))
    row = chaos.parallel_row("deer", 8, outcome, 0.1)
    assert row == {"method": "deer", "window": 8, "status": "not converged"}


@pytest.mark.slow
def test_a_second_run_differs_in_times_only(tables, project, tmp_path):
    for name, second in run_small(tmp_path, project / "weights.npz").items():
        first = tables[name]
        times = [column for column in first if column.startswith("time")]
        pd.testing.assert_frame_equal(
            first.drop(columns=times), second.drop(columns=times), check_exact=True
        )


# The figure


def test_figure_draws_alone(project):
    files = draw("chaos", project / "results" / "fresh" / "test")
    assert set(files) == {f"chaos{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files["chaos.svg"].decode()
    assert all(words in text for words in ("tanh network, D = 4", "largest Lyapunov exponent"))
