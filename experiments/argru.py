"""How the parallel methods converge on the autoregressive GRU (Figure 4, Table 2).

The untrained and the trained model are rolled out on several draws of noise. DEER, quasi-DEER,
ELK and quasi-ELK look for all states at once, from a guess of zeros. For every iterate the mean
absolute deviation (MAD) of the output x from that of `jax.lax.scan` is kept, as the paper takes
it; the answer counts as found where it first falls below 0.1. DEER in chunks, which the paper does
not have, goes through the same; its iterations are sweeps.

    python -m experiments.argru --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/argru.csv

writes one row a solve. Beside it are `argru_mad.csv`, the MAD against iterations;
`argru_iterates.csv`, some iterates themselves; and `argru_times.csv`, times of a fixed number of
iterations, the methods taking turns. Only the last differs between two runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Array

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, join, kept_cells, to_rows
from experiments.harness.outcome import PAPER_THRESHOLD, first_below
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.timing import Plan, compiled, interleaved, side_by_side, timed
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights, untrained
from experiments.problems.search import COMPARED, Search, deviations, like, search, summarise
from experiments.problems.systems import System
from parallel_rnn import Sequential

EXPERIMENT, SECTION = "argru", "argru.convergence"
CHUNKS = "dense_chunks"
METHODS = (*COMPARED, CHUNKS)
# The MAD is kept of all iterates up to this one, then of so many for each factor of 10.
KEPT_WHOLE = 100
KEPT_PER_DECADE = 100


@dataclass(frozen=True)
class Settings:
    """What the comparison depends on; config/README.md explains each value."""

    untrained_seed: int
    length: int
    seeds: int
    max_steps: int
    tolerance: float
    elk_damping: float
    quasi_elk_damping: float
    chunk: int
    iterates: tuple[int, ...]
    iterates_stride: int
    timed_steps: int
    repetitions: int

    def damping(self, method: str) -> float:
        """The λ of a method; 0 for a method that has no damping."""
        return {"elk": self.elk_damping, "quasi_elk": self.quasi_elk_damping}.get(method, 0.0)

    def chunk_of(self, method: str) -> int | None:
        """The steps of a chunk; none for a method on the whole sequence."""
        return self.chunk if method == CHUNKS else None


def kept_iterations(mad: np.ndarray) -> np.ndarray:
    """The iterations whose MAD goes into the table, the first below the threshold among them."""
    last = len(mad) - 1
    decades = np.log10(max(1, last / KEPT_WHOLE))
    points = np.arange(1 + int(KEPT_PER_DECADE * decades))
    later = KEPT_WHOLE * 10 ** (points / KEPT_PER_DECADE)
    found = first_below(mad, PAPER_THRESHOLD)
    marked = [last] if found is None else [found, last]
    kept = np.unique([*range(KEPT_WHOLE), *later.astype(int), *marked])
    return kept[kept <= last]


def converge(
    settings: Settings, models: dict[str, ARGRU], progress: Progress, cells: Cells
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a solve, and the MAD against iterations."""
    example = systems.argru(models["trained"], settings.length, seed=0)

    def make(method: str) -> Search:
        chunk = settings.chunk_of(method)
        run = search(method, settings.tolerance, settings.max_steps, System.mad, chunk)
        return compiled(run, example, like(example, settings.damping(method)))

    def solves(method: str) -> dict[str, list]:
        rows, curves = [], []
        damping = settings.damping(method)
        for kind, seed in product(models, range(settings.seeds)):
            system = systems.argru(models[kind], settings.length, seed)
            mad = deviations(programs[method], system, damping)
            keys = {"model": kind, "method": method, "damping": damping, "seed": seed}
            rows.append({**keys, **summarise(mad)})
            kept = kept_iterations(mad)
            curves += to_rows(pd.DataFrame({**keys, "iteration": kept, "mad": mad[kept]}))
        return {"solves": rows, "mad": curves}

    programs = side_by_side(make, cells.missing(METHODS))
    found = []
    for method in METHODS:
        found.append(cells.measured(method, partial(solves, method)))
        last = found[-1]["solves"][-1]
        progress.advance(f"{method}: {last['num_steps']} iterations in the last solve")
    tables = join(found)
    return tables["solves"].astype({"num_steps": "Int64"}), tables["mad"]


def pictures(settings: Settings, model: ARGRU) -> pd.DataFrame:
    """The output x of some iterates on the first draw, thinned along time.

    The sequential output is iteration 0 of the method "sequential". After its last iteration a
    method's output stays as it is.
    """
    stride = settings.iterates_stride
    system = systems.argru(model, settings.length, seed=0)

    def output(_: System, states: Array) -> Array:
        return states[::stride, 0]

    def make(method: str) -> Search:
        run = search(method, settings.tolerance, max(settings.iterates), output)
        return compiled(run, system, like(system, settings.damping(method)))

    shown = [_picture("sequential", 0, output(system, system.answer), stride)]
    for method, run in side_by_side(make, COMPARED).items():
        kept, num_steps = run(system, like(system, settings.damping(method)))
        for iteration in settings.iterates:
            values = kept[min(iteration, int(num_steps))]
            shown.append(_picture(method, iteration, values, stride))
    return pd.concat(shown, ignore_index=True)


def _picture(method: str, iteration: int, values: Array, stride: int) -> pd.DataFrame:
    steps = 1 + stride * np.arange(len(values))
    return pd.DataFrame(
        {"method": method, "iteration": iteration, "step": steps, "output": np.asarray(values)}
    )


def measure_times(settings: Settings, model: ARGRU) -> pd.DataFrame:
    """Seconds of a fixed number of iterations, and of sequential evaluation, in turns."""
    system = systems.argru(model, settings.length, seed=0)

    def make(method: str) -> Callable[[], Any]:
        if method == "sequential":
            return partial(
                compiled(lambda system: system.solve(Sequential()).value, system), system
            )
        given = system, like(system, settings.damping(method))
        chunk = settings.chunk_of(method)
        run = search(method, settings.tolerance, settings.timed_steps, None, chunk)
        return partial(compiled(run, *given), *given)

    calls = side_by_side(make, ["sequential", *METHODS])
    # A method that ends early has made fewer iterations than were asked.
    taken = {name: timed(call)[1] for name, call in calls.items()}
    steps = {name: int(found[1]) for name, found in taken.items() if name != "sequential"}
    plans = dict.fromkeys(calls, Plan(seeds=1, warmups=2, repetitions=settings.repetitions))
    rows = [
        {"method": name, "repetition": repetition, "run_steps": steps.get(name), "time_s": seconds}
        for name, repetition, seconds in interleaved(calls, plans)
    ]
    return pd.DataFrame(rows).astype({"run_steps": "Int64"})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    parser.add_argument("--weights", type=Path, required=True, help="of the trained model")
    parser.add_argument(
        "--untrained-seed", type=int, required=True, help="draws the untrained model"
    )
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    output, weights = options.output, options.weights
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.seeds))
    trained = ARGRU.load(weights)
    models = {"untrained": untrained(settings.untrained_seed), "trained": trained}
    about = {"weights": describe_weights(weights)}
    with kept_cells(output, EXPERIMENT, {**asdict(settings), **about}) as cells:
        with Progress(len(METHODS) + 2, "AR GRU") as progress:
            table, curves = converge(settings, models, progress, cells)
            write_beside(output, "mad", curves)
            write_beside(output, "iterates", pictures(settings, trained))
            progress.advance(f"the iterates {settings.iterates}")
            write_beside(output, "times", measure_times(settings, trained))
            progress.advance("times")
        write_results(output, table, record.complete(**about, **cells.about()))


if __name__ == "__main__":
    main()
