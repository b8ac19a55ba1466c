"""How the damping decides whether Lorenz96 is found in parallel (Figure 8).

All states of the chaotic system are found at once from a guess of zeros, from several starting
states. ELK and quasi-ELK are swept over the damping; DEER and quasi-DEER stand beside them. For
every iterate the mean absolute deviation (MAD) from `jax.lax.scan` is kept: absolute differences
are summed over the D variables and averaged over the T steps.

    python -m experiments.lorenz96 --starts 3 --output results/fresh/cpu/lorenz96.csv

writes one row a solve. Beside it are `lorenz96_convergence.csv`, the MAD of the iterates (all of
them at the best damping, a few at the others), and `lorenz96_iterates.csv`, some iterates
themselves. Only columns named `time...` differ between two runs with the same settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, join, kept_cells, to_rows
from experiments.harness.methods import METHODS
from experiments.harness.outcome import stays_below_from
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.timing import compiled, side_by_side, timed
from experiments.problems.lorenz96 import Lorenz96, deviation
from parallel_rnn import solve

EXPERIMENT = "lorenz96"
# Solves run until their residuals are down to rounding. Any other tolerance would stop them at a
# trajectory that fits every step but has left the true one: the system is chaotic.
EXACT: dict[str, Any] = {"rtol": 0.0, "atol": 0.0}
DAMPED = ("elk", "quasi_elk")
COMPARED = (*DAMPED, "deer", "quasi_deer")
SEQUENTIAL = "sequential"


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    dim: int
    forcing: float
    length: int
    starts: int
    dampings: tuple[float, ...]
    elk_damping: float
    quasi_elk_damping: float
    max_steps: int
    threshold: float
    sweep_steps: tuple[int, ...]
    iterates_start: int
    iterates: tuple[int, ...]
    iterates_stride: int
    repetitions: int

    def best(self, method: str) -> float:
        """The damping whose iterates are kept; 0 for a method that has no damping."""
        return {"elk": self.elk_damping, "quasi_elk": self.quasi_elk_damping}.get(method, 0.0)

    def swept(self, method: str) -> list[float]:
        """The dampings that a method is run with."""
        if method not in DAMPED:
            return [0.0]
        return sorted({*self.dampings, self.best(method)}, reverse=True)


class Solve(NamedTuple):
    """The iterates 0, 1, ... of one solve, and the seconds that it took.

    - `mad`: of every iterate.
    - `states`: every iterate, thinned along time.
    """

    mad: np.ndarray
    states: Array
    time_s: float


# solve(start, expected states, damping)
Program = Callable[[Array, Array, float], Solve]


def program(settings: Settings, method: str) -> Program:
    """A method with its options, compiled once: starts and dampings are arrays."""
    model = Lorenz96(settings.dim, settings.forcing)

    def run(start: Array, expected: Array, damping: Array) -> tuple[tuple[Array, Array], Array]:
        given = (damping,) if method in DAMPED else ()
        solution = solve(
            model,
            start,
            None,
            METHODS[method].build(*given, **EXACT),
            length=settings.length,
            guess="zeros",
            window=None,
            max_steps=settings.max_steps,
            trace=lambda step, states, residual: (
                deviation(states, expected),
                states[:: settings.iterates_stride],
            ),
            throw=False,
        )
        return solution.trace, solution.stats["num_steps"]

    state = jnp.zeros(settings.dim, jnp.float32)
    states = jnp.zeros((settings.length, settings.dim), jnp.float32)
    searched = compiled(run, state, states, jnp.float32(0))

    def measured(start: Array, expected: Array, damping: float) -> Solve:
        given = (start, expected, jnp.float32(damping))
        time_s, ((mad, states), num_steps) = timed(lambda: searched(*given))
        return Solve(np.asarray(mad)[: int(num_steps) + 1], states, time_s)

    return measured


def row(settings: Settings, method: str, damping: float, start: int, found: Solve) -> dict:
    """Iterations and time of one solve: until its MAD stays below the threshold, and in all."""
    iterations = len(found.mad) - 1
    num_steps = stays_below_from(found.mad, settings.threshold)
    time_per_iteration_s = found.time_s / max(1, iterations)
    return {
        "method": method,
        "damping": damping,
        "start": start,
        "num_steps": num_steps,
        "run_steps": iterations,
        "last_mad": found.mad[-1],
        "time_per_iteration_s": time_per_iteration_s,
        "time_s": num_steps * time_per_iteration_s,
    }


def iterates(settings: Settings, method: str, found: Solve) -> pd.DataFrame:
    """The states of the iterates that are kept; those after a solve's end are its last states."""
    last = len(found.mad) - 1
    tables = [
        _tabulate(settings, method, iteration, np.asarray(found.states[min(iteration, last)]))
        for iteration in settings.iterates
    ]
    return pd.concat(tables, ignore_index=True)


def _tabulate(settings: Settings, method: str, iteration: int, states: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(states, columns=[f"s_{i + 1}" for i in range(settings.dim)])
    table.insert(0, "step", 1 + settings.iterates_stride * np.arange(len(states)))
    table.insert(0, "iteration", iteration)
    table.insert(0, "method", method)
    return table


def mad_rows(
    settings: Settings, method: str, damping: float, start: int, mad: np.ndarray
) -> pd.DataFrame:
    """The MAD of the iterates that are kept; after a solve's end it is the last one."""
    every = np.arange(len(mad))
    few = np.asarray(settings.sweep_steps)
    kept = np.union1d(every, few) if damping == settings.best(method) else few
    return pd.DataFrame(
        {
            "method": method,
            "damping": damping,
            "start": start,
            "iteration": kept,
            "mad": mad[np.minimum(kept, len(mad) - 1)],
        }
    )


def measure(settings: Settings, cells: Cells) -> dict[str, pd.DataFrame]:
    """The tables "solves", "convergence" and "iterates"; the module explains them."""
    model = Lorenz96(settings.dim, settings.forcing)
    roll = jax.jit(lambda start: model.states(start, settings.length))
    every = model.starts(max(settings.starts, settings.iterates_start + 1))
    answers = [roll(start) for start in every]
    programs = side_by_side(partial(program, settings), cells.missing(COMPARED))

    def sequential() -> dict[str, list]:
        states = np.asarray(answers[settings.iterates_start][:: settings.iterates_stride])
        times = [_sequential_time(settings, roll, start) for start in every[: settings.starts]]
        return {
            "solves": [
                {"method": SEQUENTIAL, "start": i, "time_s": s} for i, s in enumerate(times)
            ],
            "iterates": to_rows(_tabulate(settings, SEQUENTIAL, 0, states)),
        }

    def parallel(method: str) -> dict[str, list]:
        solves, convergence = [], []
        for damping, index in product(settings.swept(method), range(settings.starts)):
            found = programs[method](every[index], answers[index], damping)
            solves.append(row(settings, method, damping, index, found))
            convergence += to_rows(mad_rows(settings, method, damping, index, found.mad))
        shown = every[settings.iterates_start], answers[settings.iterates_start]
        picture = programs[method](*shown, settings.best(method))
        pictures = to_rows(iterates(settings, method, picture))
        return {"solves": solves, "convergence": convergence, "iterates": pictures}

    found = [cells.measured(SEQUENTIAL, sequential)]
    with Progress(len(COMPARED), "Lorenz96") as progress:
        for method in COMPARED:
            found.append(cells.measured(method, partial(parallel, method)))
            progress.advance(f"{method}: {len(settings.swept(method))} dampings")
    tables = join(found)
    columns = found[-1]["solves"][-1]
    return {**tables, "solves": tables["solves"].reindex(columns=[*columns])}


def _sequential_time(settings: Settings, roll: Callable, start: Array) -> float:
    """Median time of compiled sequential evaluation."""
    return float(np.median([timed(lambda: roll(start))[0] for _ in range(settings.repetitions)]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [])
    with kept_cells(options.output, EXPERIMENT, asdict(settings)) as cells:
        found = measure(settings, cells)
        for name in ("convergence", "iterates"):
            write_beside(options.output, name, found[name])
        write_results(options.output, found["solves"], record.complete(**cells.about()))


if __name__ == "__main__":
    main()
