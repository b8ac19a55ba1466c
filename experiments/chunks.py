"""What the length of the chunks decides: sweeps, depth, work and time.

Four recurrences, from one that forgets within a few steps to a chaotic one: an untrained GRU, the
GRU of a trained classifier, the autoregressive GRU and Lorenz96. Each is solved in chunks of every
length, joined with the diagonals of the Jacobians (quasi-DEER) and with the Jacobians (DEER).
Chunks of one step are these methods themselves, a chunk as long as the sequence is sequential
evaluation.

    python -m experiments.chunks --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/chunks.csv

writes one row for each recurrence, coupling and length. The depth counts how often f is evaluated
one after another, and the work how often in all: warm-up, sweeps, repairs and checks. Both come
from a program that counts; only columns named `time...` differ between two runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Int

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells, measured_one_by_one
from experiments.harness.methods import METHODS
from experiments.harness.outcome import MISSED, PAPER_THRESHOLD, REACHED, largest_difference
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import compiled, side_by_side, timed_within
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.counting import Count, Counter
from experiments.problems.gru import normal_inputs, untrained_gru
from experiments.problems.systems import System
from experiments.problems.watch_classifier import trained
from parallel_rnn import RESULTS, AbstractSolver

EXPERIMENT = "chunks"
SEQUENTIAL = "sequential"
COUPLINGS = ("quasi_deer", "deer")


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    systems: tuple[str, ...]
    weights: str
    chunks: tuple[int, ...]
    gru_length: int
    gru_dim: int
    classifier_length: int
    classifier_units: int
    classifier_updates: int
    argru_length: int
    lorenz96_length: int
    seed: int
    max_steps: int
    repetitions: int
    cell_seconds: float


def gru(settings: Settings) -> System:
    """An untrained GRU on N(0, 1) inputs as wide as its state."""
    weights_key, inputs_key = jax.random.split(jax.random.key(settings.seed))
    dim, length = settings.gru_dim, settings.gru_length
    inputs = normal_inputs(inputs_key, length, 1, dim)[:, 0]
    cell = untrained_gru(weights_key, dim, dim)
    return _answered(cell, jnp.zeros(dim, jnp.float32), inputs)


def classifier(settings: Settings) -> System:
    """The GRU of a trained classifier on a recording."""
    units, updates = settings.classifier_units, settings.classifier_updates
    model, series, _ = trained(units, updates, settings.classifier_length, settings.seed)
    return _answered(model.cell, model.initial_state(), series)


def _answered(cell: Callable, start: Array, inputs: Array) -> System:
    return systems.answered(
        cell, start, inputs, len(inputs), systems.mean_deviation, PAPER_THRESHOLD
    )


SYSTEMS: dict[str, Callable[[Settings], System]] = {
    "gru": gru,
    "classifier": classifier,
    "argru": lambda settings: systems.argru(
        ARGRU.load(settings.weights), settings.argru_length, settings.seed
    ),
    "lorenz96": lambda settings: systems.lorenz96(settings.lorenz96_length),
}


class Task(NamedTuple):
    """One cell: a recurrence in chunks of a length, joined by the transitions of a method."""

    system: str
    method: str
    chunk: int
    solver: AbstractSolver

    @property
    def name(self) -> str:
        return f"{self.system}: {self.method}, chunks of {self.chunk}"


class Outcome(NamedTuple):
    """What a solve found."""

    states: Array
    reached: Bool[Array, ""]
    num_steps: Int[Array, ""]


def tasks(settings: Settings, found: dict[str, System]) -> list[Task]:
    """All cells. A chunk as long as the sequence is sequential evaluation, whatever joins it."""
    listed = []
    for name, system in found.items():
        listed.append(Task(name, SEQUENTIAL, system.length, METHODS[SEQUENTIAL].build()))
        listed += [
            Task(name, method, chunk, METHODS[method].build())
            for method in COUPLINGS
            for chunk in settings.chunks
            if chunk < system.length
        ]
    return listed


class Programs(NamedTuple):
    """The compiled solve of a cell, and the same with its evaluations of f counted."""

    run: Callable[[], Outcome]
    evaluations: Callable[[], Count]


def programs(settings: Settings, system: System, task: Task) -> Programs:
    """Both programs of a cell."""

    def solve(system: System) -> Outcome:
        # As many sweeps as there are chunks give the answer.
        most = min(settings.max_steps, math.ceil(system.length / task.chunk))
        found = system.solve(task.solver, window=None, chunk=task.chunk, max_steps=most)
        return Outcome(found.value, found.result == RESULTS.successful, found.stats["num_steps"])

    counter = Counter()
    counted = eqx.tree_at(lambda system: system.f, system, counter.wrap(system.f))
    counting = partial(compiled(solve, counted), counted)

    def count() -> Count:
        jax.block_until_ready(counting())
        return counter.take()

    return Programs(partial(compiled(solve, system), system), count)


def measure(settings: Settings, system: System, task: Task, made: Programs) -> dict[str, Any]:
    """The row of a cell. The median time of some calls; of the first only if it takes long."""
    times, found = timed_within(made.run, settings.repetitions, settings.cell_seconds)
    reached = bool(found.reached)
    count = made.evaluations()
    return {
        "system": task.system,
        "method": task.method,
        "length": system.length,
        "dim": system.s0.size,
        "chunk": task.chunk,
        "num_chunks": math.ceil(system.length / task.chunk),
        "status": REACHED if reached else MISSED,
        "num_steps": int(found.num_steps),
        "depth_evaluations": count.depth,
        "work_evaluations": count.work,
        "max_abs_error": largest_difference(np.asarray(system.answer), found.states),
        "time_s": float(np.median(times)) if reached else math.nan,
        "time_repetitions": len(times),
    }


def run_all(settings: Settings, cells: Cells) -> pd.DataFrame:
    """Compiles programs side by side, then times them one after another."""
    found = {name: SYSTEMS[name](settings) for name in settings.systems}
    listed = {task.name: task for task in tasks(settings, found)}

    def make(name: str) -> Programs:
        return programs(settings, found[listed[name].system], listed[name])

    def row(name: str) -> dict[str, Any]:
        return measure(settings, found[listed[name].system], listed[name], made[name])

    made = side_by_side(make, cells.missing(listed))
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
