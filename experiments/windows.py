"""What the length of the window decides: iterations, work and time of every method.

The autoregressive GRU and Lorenz96 are solved in windows, one after the other, each from the state
before it repeated. The whole sequence at once, from a guess of zeros as in the paper, and
sequential evaluation stand beside them.

    python -m experiments.windows --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/windows.csv

writes one row for each method and window length. Work counts how often the step f is evaluated:
an iteration evaluates all steps of its window, and one more evaluation shows that it is done.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells, measured_one_by_one
from experiments.harness.methods import METHODS
from experiments.harness.outcome import MISSED, REACHED
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import compiled, side_by_side, timed_within
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.systems import System
from parallel_rnn import (
    RESULTS,
    AbstractSolver,
    Sequential,
)

EXPERIMENT = "windows"
COMPARED = ("jacobi", "picard", "quasi_deer", "deer", "quasi_elk", "elk")
WHOLE, WINDOWS, SEQUENTIAL = "whole", "windows", "sequential"


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    systems: tuple[str, ...]
    weights: str
    argru_length: int
    argru_windows: tuple[int, ...]
    argru_dampings: tuple[float, float]
    lorenz96_length: int
    lorenz96_windows: tuple[int, ...]
    lorenz96_dampings: tuple[float, float]
    seed: int
    max_steps: int
    tolerance: float
    repetitions: int
    cell_seconds: float


class Task(NamedTuple):
    """One cell: a method on a system, for the whole sequence or in windows of a length."""

    system: str
    evaluation: str
    method: str
    window: int
    solver: AbstractSolver

    @property
    def name(self) -> str:
        return f"{self.system}, {self.evaluation}: {self.method}, window {self.window}"


def methods(tolerance: float, dampings: tuple[float, float]) -> dict[str, AbstractSolver]:
    """All methods, ELK and quasi-ELK with these dampings."""
    elk, quasi_elk = dampings
    given = {"quasi_elk": [quasi_elk], "elk": [elk]}
    return {
        name: METHODS[name].build(*given.get(name, []), rtol=tolerance, atol=tolerance)
        for name in COMPARED
    }


def tasks(settings: Settings, found: dict[str, System]) -> list[Task]:
    """All cells. A window as long as the sequence is left to the whole sequence."""
    windows = {"argru": settings.argru_windows, "lorenz96": settings.lorenz96_windows}
    dampings = {"argru": settings.argru_dampings, "lorenz96": settings.lorenz96_dampings}
    listed = []
    for name, system in found.items():
        listed.append(Task(name, SEQUENTIAL, "sequential", system.length, Sequential()))
        for method, solver in methods(settings.tolerance, dampings[name]).items():
            listed += [
                Task(name, WINDOWS, method, window, solver)
                for window in windows[name]
                if window < system.length
            ]
            listed.append(Task(name, WHOLE, method, system.length, solver))
    return listed


def program(settings: Settings, system: System, task: Task) -> Callable[[], Any]:
    """The compiled solve of a cell."""
    guess = None if task.evaluation == WINDOWS else "zeros"

    def run(system: System, solver: AbstractSolver) -> dict[str, Any]:
        solution = system.solve(
            solver, window=task.window, guess=guess, max_steps=settings.max_steps
        )
        return {
            "states": solution.value,
            "result": solution.result,
            "num_steps": solution.stats["num_steps"],
            "num_windows": solution.stats["num_windows"],
        }

    return partial(compiled(run, system, task.solver), system, task.solver)


def measure(settings: Settings, system: System, task: Task, run: Callable) -> dict[str, Any]:
    """The row of a cell. The median time of some calls; of the first only if it takes long."""
    times, found = timed_within(run, settings.repetitions, settings.cell_seconds)
    reached = bool(found["result"] == RESULTS.successful)
    num_windows = int(found["num_windows"])
    num_steps = int(found["num_steps"])
    sequential = task.evaluation == SEQUENTIAL
    evaluations = system.length if sequential else (num_steps + num_windows) * task.window
    return {
        "system": task.system,
        "evaluation": task.evaluation,
        "method": task.method,
        "length": system.length,
        "window": task.window,
        "num_windows": num_windows,
        "status": REACHED if reached else MISSED,
        "num_steps": num_steps if reached and not sequential else math.nan,
        "work_evaluations": evaluations if reached else math.nan,
        "mad": float(system.mad(found["states"])),
        "time_s": float(np.median(times)) if reached else math.nan,
        "time_repetitions": len(times),
    }


SYSTEMS: dict[str, Callable[[Settings], System]] = {
    "argru": lambda settings: systems.argru(
        ARGRU.load(settings.weights), settings.argru_length, settings.seed
    ),
    "lorenz96": lambda settings: systems.lorenz96(settings.lorenz96_length),
}


def run_all(settings: Settings, cells: Cells) -> pd.DataFrame:
    """Compiles programs side by side, then times them one after another."""
    found = {name: SYSTEMS[name](settings) for name in settings.systems}
    listed = {task.name: task for task in tasks(settings, found)}

    def make(name: str) -> Callable[[], Any]:
        return program(settings, found[listed[name].system], listed[name])

    def row(name: str) -> dict[str, Any]:
        return measure(settings, found[listed[name].system], listed[name], programs[name])

    programs = side_by_side(make, cells.missing(listed))
    return measured_one_by_one(cells, listed, row, EXPERIMENT)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--weights", required=True, help="of the AR GRU, an .npz file")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    about = {**asdict(settings), "weights": describe_weights(settings.weights)}
    record = RunRecord(EXPERIMENT, about, [settings.seed])
    with kept_cells(options.output, EXPERIMENT, about) as cells:
        write_results(options.output, run_all(settings, cells), record.complete(**cells.about()))


if __name__ == "__main__":
    main()
