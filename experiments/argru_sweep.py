"""What the damping λ does to ELK and quasi-ELK on the trained autoregressive GRU (Figure 7).

Every λ on every draw of noise: the mean absolute deviation (MAD) of the output x from that of
`jax.lax.scan` after some numbers of iterations, and the iterations until it is below 0.1. The
time of an iteration does not depend on λ; `experiments.argru` measures it.

    python -m experiments.argru_sweep --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/argru_sweep.csv
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import compiled, side_by_side
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.search import Search, deviations, like, search, summarise
from experiments.problems.systems import System

EXPERIMENT, SECTION = "argru_sweep", "argru.sweep"


@dataclass(frozen=True)
class Settings:
    """What the sweep depends on; config/README.md explains each value."""

    length: int
    seeds: int
    dampings: tuple[float, ...]
    tolerance: float
    elk_max_steps: int
    quasi_elk_max_steps: int
    mad_after: tuple[int, ...]

    def max_steps(self) -> dict[str, int]:
        """The most iterations of a solve, for each method."""
        return {"elk": self.elk_max_steps, "quasi_elk": self.quasi_elk_max_steps}


def sweep(settings: Settings, model: ARGRU, progress: Progress, cells: Cells) -> pd.DataFrame:
    """One row for each method, λ and draw."""
    draws = [systems.argru(model, settings.length, seed) for seed in range(settings.seeds)]
    limits = settings.max_steps()

    def make(method: str) -> Search:
        run = search(method, settings.tolerance, limits[method], System.mad)
        return compiled(run, draws[0], like(draws[0], 1.0))

    def solves(method: str, damping: float) -> list[dict[str, Any]]:
        rows, limit = [], limits[method]
        for seed, system in enumerate(draws):
            mad = deviations(programs[method], system, damping)
            after = {f"mad_after_{n}": _mad_after(mad, n, limit) for n in settings.mad_after}
            keys = {"method": method, "damping": damping, "seed": seed}
            rows.append({**keys, **summarise(mad), **after})
        return rows

    programs = side_by_side(make, limits)
    rows = []
    for method, damping in product(limits, settings.dampings):
        name = f"{method}, λ = {damping:g}"
        rows += cells.measured(name, partial(solves, method, damping))
        progress.advance(f"{name}: {rows[-1]['num_steps']} iterations")
    return pd.DataFrame(rows).astype({"num_steps": "Int64"})


def _mad_after(mad: np.ndarray, iterations: int, max_steps: int) -> float:
    """The MAD after a number of iterations.

    A solve that ended before by itself keeps its last MAD; one cut off by `max_steps` has NaN.
    """
    last = len(mad) - 1
    if iterations > last == max_steps:
        return math.nan
    return float(mad[min(iterations, last)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    parser.add_argument("--weights", type=Path, required=True, help="of the trained model")
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.seeds))
    solves = len(settings.dampings) * len(settings.max_steps())
    about = {"weights": describe_weights(options.weights)}
    with kept_cells(options.output, EXPERIMENT, {**asdict(settings), **about}) as cells:
        with Progress(solves, "AR GRU, damping") as progress:
            table = sweep(settings, ARGRU.load(options.weights), progress, cells)
        write_results(options.output, table, record.complete(**about, **cells.about()))


if __name__ == "__main__":
    main()
