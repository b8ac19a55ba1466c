"""Every method and every experiment once, at the smallest sizes: `pytest -m fast`."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import catalogue
from experiments.harness.command_line import to_words
from experiments.harness.configuration import complete
from experiments.harness.methods import CHUNKED, DAMPED, METHODS
from experiments.problems.argru import ARGRU
from parallel_rnn import BlockDiagonal, Diagonal, solve
from parallel_rnn.cells import GRUCell
from tests.clones import ROOT

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("barely_optimised")]
SETTINGS = complete(ROOT, {"scale": "smoke"})
# What solvers are given beside a tolerance, where the list of methods leaves it to an experiment.
GIVEN = {
    "block_quasi_deer": {"transition": BlockDiagonal(2)},
    "scale_elk": {"k": 0.1},
    "quasi_scale_elk": {"k": 0.1, "transition": Diagonal()},
}
# What experiments with rules of their own take beside their settings.
EXTRA = {
    "gru_scaling": ["--batch", "2", "--dim", "2", "--lengths", "10"],
    "gpu_memory": ["--target", "h100", "--batch", "1", "--dim", "1", "--lengths", "10"],
    "argru": ["--untrained-seed", "0"],
    "training": ["--variant", "quasi_deer"],
}


@pytest.mark.parametrize("name", [name for name, one in METHODS.items() if one.solver])
def test_every_method_finds_the_states_of_sequential_evaluation(name):
    cell = GRUCell(2, 4, key=jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (50, 2))
    damping = (1e-3,) if METHODS[name].kind == DAMPED else ()
    solver = METHODS[name].build(*damping, **GIVEN.get(name, {}))
    chunk = 7 if METHODS[name].kind == CHUNKED else None
    found = solve(cell, jnp.zeros(4), xs, solver, chunk=chunk).value
    expected = solve(cell, jnp.zeros(4), xs, METHODS["sequential"].build()).value
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("one", catalogue.EXPERIMENTS, ids=lambda one: one.name)
def test_every_experiment_writes_its_tables_and_a_record(one, tmp_path):
    settings = SETTINGS
    for key in (one.section or one.name).split("."):
        settings = settings[key]
    left_out = {*one.left_out, "variants"} if one.name == "training" else one.left_out
    words = to_words({name: value for name, value in settings.items() if name not in left_out})
    if one.weights or one.name == "argru_seeds":
        ARGRU(key=jax.random.key(0)).save(tmp_path / "weights.npz")
        words += ["--weights", str(tmp_path / "weights.npz")]
    if one.name == "gpu_memory":
        words += ["--compiler", str(tmp_path)]
    output = tmp_path / f"{one.name}.csv"
    module = import_module(f"experiments.{one.name}")
    module.main([*words, *EXTRA.get(one.name, []), "--output", str(output)])
    assert len(pd.read_csv(output)) > 0
    assert json.loads(output.with_suffix(".json").read_text())["experiment"] == one.name
    for table in one.tables:
        assert len(pd.read_csv(tmp_path / f"{one.name}_{table}.csv")) > 0
