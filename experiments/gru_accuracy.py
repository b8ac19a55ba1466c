"""How far DEER and quasi-DEER are from sequential evaluation (Figure 5).

An untrained GRU is rolled out once on the paper's N(0, 1) inputs and once on a
recording of six channels. The states of each method are compared with those of
`jax.lax.scan` over the whole sequence; the last steps are kept for the figure. For
scale, the rounding of sequential evaluation itself is measured too: its float32
states against its float64 states, from the same weights and inputs.

    python -m experiments.gru_accuracy --dim 4 --length 10000 \\
        --output results/fresh/cpu/gru_accuracy.csv
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.datasets.dataset import DatasetError, standardise
from experiments.datasets.watch import watch
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.problems.gru import METHODS, GRUCell, Rollout, normal_inputs, untrained_gru

EXPERIMENT = "gru_accuracy"


@dataclass(frozen=True)
class Settings:
    """What the comparison depends on; config/README.md explains each value."""

    dim: int
    length: int
    shown: int
    methods: tuple[str, ...]
    seed: int
    tolerance: float
    inputs: tuple[str, ...]


def noise(settings: Settings) -> jax.Array:
    """N(0, 1) inputs as wide as the state, shape (time, 1, channel)."""
    key = jax.random.fold_in(jax.random.key(settings.seed), 1)
    return normal_inputs(key, settings.length, 1, settings.dim)


def recording(settings: Settings) -> jax.Array:
    """The start of the longest watch recording, all of it if it is shorter than asked for.

    Each channel is standardised over all recordings. Shape (time, 1, channel).
    """
    dataset = watch()
    (series,) = standardise([dataset.longest()], training=dataset.series)
    return jnp.asarray(series[: settings.length, None], jnp.float32)


INPUTS: dict[str, Callable[[Settings], jax.Array]] = {"normal": noise, "watch": recording}


def compare(settings: Settings, kind: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The last states of every method beside the sequential ones, and a summary of all states.

    **Arguments:**

    - `kind`: a name in `INPUTS`.
    """
    inputs = INPUTS[kind](settings)
    key = jax.random.fold_in(jax.random.key(settings.seed), 0)
    cell = untrained_gru(key, inputs.shape[-1], settings.dim)
    expected = _states(evaluate(settings, "sequential", cell, inputs))
    tables, methods = [], {}
    for method in settings.methods:
        rollout = evaluate(settings, method, cell, inputs)
        states = _states(rollout)
        tables.append(_tabulate(kind, method, expected, states, settings.shown))
        methods[method] = {
            "converged": bool(rollout.converged),
            "num_steps": None if rollout.num_steps is None else int(rollout.num_steps),
            **_summarise(states - expected),
        }
    summary = {
        "length": len(expected),
        "input_width": inputs.shape[-1],
        "methods": methods,
        "sequential_rounding": _summarise(expected - _sequential_float64(settings, cell, inputs)),
    }
    return pd.concat(tables, ignore_index=True), summary


def evaluate(settings: Settings, method: str, cell: GRUCell, inputs: jax.Array) -> Rollout:
    """Rolls the GRU out from a zero state."""
    start = jnp.zeros((inputs.shape[1], settings.dim), inputs.dtype)
    roll = jax.jit(lambda cell, inputs: METHODS[method](cell, start, inputs, settings.tolerance))
    return roll(cell, inputs)


def _sequential_float64(settings: Settings, cell: GRUCell, inputs: jax.Array) -> np.ndarray:
    with jax.enable_x64(True):
        cell, inputs = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), (cell, inputs)
        )
        return _states(evaluate(settings, "sequential", cell, inputs))


def _states(rollout: Rollout) -> np.ndarray:
    """States of the one sequence, (time, unit), in float64 so that differences are exact."""
    return np.asarray(rollout.states, np.float64)[:, 0]


def _tabulate(
    kind: str, method: str, expected: np.ndarray, states: np.ndarray, shown: int
) -> pd.DataFrame:
    length, dim = states.shape
    steps = np.arange(max(0, length - shown), length)
    return pd.DataFrame(
        {
            "inputs": kind,
            "method": method,
            "step": np.repeat(steps + 1, dim),
            "unit": np.tile(np.arange(1, dim + 1), len(steps)),
            "sequential": expected[steps].ravel(),
            "value": states[steps].ravel(),
            "difference": (states - expected)[steps].ravel(),
        }
    )


def _summarise(difference: np.ndarray) -> dict[str, float]:
    size = np.abs(difference)
    return {"max_abs": float(size.max()), "median_abs": float(np.median(size))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    tables, summary = [], {}
    with Progress(len(settings.inputs), "GRU accuracy") as progress:
        for kind in settings.inputs:
            try:
                table, summary[kind] = compare(settings, kind)
            except DatasetError as error:
                sys.exit(str(error))
            tables.append(table)
            progress.advance(f"{kind}: {summary[kind]['length']} steps")
    write_results(
        options.output, pd.concat(tables, ignore_index=True), record.complete(summary=summary)
    )


if __name__ == "__main__":
    main()
