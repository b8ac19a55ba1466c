"""Every cell of the package with every method, before and after a training on recordings.

Each cell stands in a small classifier of the watch recordings
(`experiments.problems.watch_classifier`), which is trained by Adam on the people of the training
part. The cell as it was drawn and as it was trained is then evaluated on one recording of a person
it has not seen: by `jax.lax.scan`, and by the parallel methods, to a tolerance of the residuals.
The whole sequence starts from a guess of zeros, a window from the state before it; chunks have
no tolerance and default options, so they go on until steps fit to rounding. A state of several
parts, such as (c, h) of an LSTM, is one vector to the methods; `block_quasi_deer` takes the blocks
of the Jacobian that couple numbers at the same place of all parts.

    python -m experiments.architectures --output results/fresh/cpu/architectures.csv

writes one row a solve. Only columns whose names contain `time` differ between two runs with the
same settings. The record tells how well every cell was trained.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments.datasets.dataset import DatasetError
from experiments.datasets.parts import Parts, divide, load
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells
from experiments.harness.methods import CHUNKED, METHODS, WINDOWED
from experiments.harness.outcome import COMPLETED, NOT_CONVERGED, largest_difference
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import Plan, compiled, interleaved, side_by_side, timed
from experiments.problems.lyapunov import spectrum
from experiments.problems.watch_classifier import Classifier, accuracy, fit, whole
from parallel_rnn import (
    RESULTS,
    AbstractSolver,
    BlockDiagonal,
    Sequential,
    solve,
)
from parallel_rnn.cells import (
    ElmanCell,
    GRUCell,
    LEMCell,
    LiquidCell,
    LSTMCell,
    MinimalGatedUnit,
    SLSTMCell,
)

EXPERIMENT = "architectures"
BLOCKS = "block_quasi_deer"
# Numbers of people in the validation part, by which nothing is chosen here, and the test part.
VALIDATION_PEOPLE, TEST_PEOPLE = 2, 2
# Updates at the end of the training whose mean loss is told.
LAST_UPDATES = 10
COLUMNS = (
    "experiment",
    "cell",
    "weights",
    "method",
    "dim",
    "length",
    "status",
    "num_steps",
    "num_windows",
    "time_s",
    "sequential_time_s",
    "max_abs_error",
    "lyapunov_exponent",
)


class Architecture(NamedTuple):
    """A kind of cell, and the function that takes the output from its state."""

    cell: Callable[..., Any]
    output: Callable[[Any], Array] = whole


def first(state: tuple[Array, ...]) -> Array:
    """The first part of a state, which is the output of cells such as LEM with its state (y, z)."""
    return state[0]


def last(state: tuple[Array, ...]) -> Array:
    """The last part of a state, which is the output of cells such as LSTM with its state (c, h)."""
    return state[-1]


CELLS = {
    "elman": Architecture(ElmanCell),
    "gru": Architecture(GRUCell),
    "minimal_gated": Architecture(MinimalGatedUnit),
    "liquid": Architecture(LiquidCell),
    "lem": Architecture(LEMCell, first),
    "lstm": Architecture(LSTMCell, last),
    "slstm": Architecture(SLSTMCell, last),
}


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    cells: tuple[str, ...]
    methods: tuple[str, ...]
    units: int
    length: int
    training_length: int
    updates: int
    seed: int
    tolerance: float
    max_steps: int
    window: int
    chunk: int
    elk_damping: float
    quasi_elk_damping: float
    largest_elk_state: int
    repetitions: int
    cell_seconds: float


class Method(NamedTuple):
    """A solver, and the options of `solve`."""

    solver: AbstractSolver
    options: dict[str, Any]


class Outcome(NamedTuple):
    """The states that a solve found, each as one vector, and the iterations that it took."""

    states: Float[Array, "T D"]
    converged: Array
    num_steps: Array
    num_windows: Array


def methods(settings: Settings, parts: int) -> dict[str, Method]:
    """The solvers of the chosen methods; with blocks only for a state of more than one part."""
    limits: dict[str, Any] = {"rtol": settings.tolerance, "atol": settings.tolerance}
    dampings = {"elk": [settings.elk_damping], "quasi_elk": [settings.quasi_elk_damping]}
    blocks = {BLOCKS: {"transition": BlockDiagonal(parts)}}
    # Where the state has one part the blocks are 1 x 1: that is quasi-DEER again.
    names = [name for name in settings.methods if name != BLOCKS or parts > 1]
    found = {}
    for name in names:
        chosen = METHODS[name]
        bounds = {} if chosen.kind == CHUNKED else limits
        solver = chosen.build(*dampings.get(name, []), **bounds, **blocks.get(name, {}))
        found[name] = Method(solver, options(settings, chosen.kind))
    return found


def options(settings: Settings, kind: str) -> dict[str, Any]:
    """The options of `solve` for methods of a kind."""
    if kind == CHUNKED:
        return {"chunk": settings.chunk}
    if kind == WINDOWED:
        return {"window": settings.window, "max_steps": settings.max_steps}
    return {"window": None, "guess": "zeros", "max_steps": settings.max_steps}


def program(method: Method, cell: Any, xs: Array) -> Callable[..., Outcome]:
    """The compiled function (cell, inputs) -> outcome, for any weights of the cell."""

    def run(cell: Any, xs: Array) -> Outcome:
        start = cell.initial_state()
        found = solve(cell, start, xs, method.solver, throw=False, **method.options)
        states = jnp.concatenate(jax.tree.leaves(found.value), axis=1)
        converged = found.result == RESULTS.successful
        return Outcome(states, converged, found.stats["num_steps"], found.stats["num_windows"])

    return compiled(run, cell, xs)


def programs(settings: Settings, cell: Any, xs: Array) -> dict[str, Callable[..., Outcome] | str]:
    """The compiled function of every method, by name; for a method left out, a sentence why."""
    parts = jax.tree.leaves(cell.initial_state())
    dim = sum(part.size for part in parts)
    known = {"sequential": Method(Sequential(), {"window": None}), **methods(settings, len(parts))}

    def make(name: str) -> Callable[..., Outcome] | str:
        if name == "elk" and dim > settings.largest_elk_state:
            return f"left out: a state of more than {settings.largest_elk_state} numbers"
        return program(known[name], cell, xs)

    return side_by_side(make, known)


def measure_cell(
    settings: Settings, made: dict[str, Callable[..., Outcome] | str], cell: Any, xs: Array
) -> Iterator[dict[str, Any]]:
    """The rows of one cell with one set of weights, its methods timed in turns."""
    calls = {name: partial(run, cell, xs) for name, run in made.items() if not isinstance(run, str)}
    firsts = {name: timed(call) for name, call in calls.items()}
    answer = np.asarray(firsts["sequential"][1].states)
    plans = {
        name: Plan(1, 1, settings.repetitions).within(settings.cell_seconds, seconds)
        for name, (seconds, outcome) in firsts.items()
        if bool(outcome.converged)
    }
    times: dict[str, list[float]] = {name: [] for name in plans}
    for name, _, seconds in interleaved({name: calls[name] for name in plans}, plans):
        times[name].append(seconds)
    common = {
        "dim": answer.shape[1],
        "length": len(xs),
        "sequential_time_s": float(np.median(times.pop("sequential"))),
        "lyapunov_exponent": largest_exponent(cell, xs),
    }
    for name, run in made.items():
        if isinstance(run, str):
            yield {**common, "method": name, "status": run}
        elif name != "sequential":
            row = outcome_row(firsts[name][1], answer, times.get(name, []))
            yield {**common, "method": name, **row}


def outcome_row(found: Outcome, answer: np.ndarray, times: Sequence[float]) -> dict[str, Any]:
    """The columns of a parallel solve. A solve that failed has neither counts nor a time."""
    if not bool(found.converged):
        return {"status": NOT_CONVERGED}
    return {
        "status": COMPLETED,
        "num_steps": int(found.num_steps),
        "num_windows": int(found.num_windows),
        "time_s": float(np.median(times)),
        "max_abs_error": largest_difference(answer, found.states),
    }


class Flat(eqx.Module):
    """A cell whose state is one vector, the parts of its own state one after another."""

    cell: Any

    def __call__(self, state: Float[Array, " D"], x: Array) -> Float[Array, " D"]:
        unravel = ravel_pytree(self.cell.initial_state())[1]
        return ravel_pytree(self.cell(unravel(state), x))[0]


def largest_exponent(cell: Any, xs: Array) -> float:
    """The largest Lyapunov exponent along the recording, per step."""
    start = ravel_pytree(cell.initial_state())[0]
    return float(spectrum(Flat(cell), start, xs, len(xs)).exponents[0])


def train(settings: Settings, name: str, parts: Parts) -> tuple[dict[str, Any], dict[str, float]]:
    """A cell with its weights before and after a training, and how well it was trained."""
    begin, batches = jax.random.split(jax.random.key(settings.seed))
    classes = 1 + max(int(part.labels.max()) for part in parts)
    channels = parts.training.series.shape[2]
    model = Classifier(channels, settings.units, classes, *CELLS[name], key=begin)
    crop = jnp.asarray(parts.training.series[:, : settings.training_length])
    labels = jnp.asarray(parts.training.labels)
    fitted, losses = fit(model, crop, labels, settings.updates, key=batches)
    test = map(jnp.asarray, parts.test)
    about = {
        "first_loss": float(losses[0]),
        "last_loss": float(jnp.mean(losses[-LAST_UPDATES:])),
        "test_accuracy": float(accuracy(fitted, *test)),
    }
    return {"untrained": model.cell, "trained": fitted.cell}, about


def measure(
    settings: Settings, parts: Parts, cells: Cells
) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """One row a solve, and how well every cell was trained."""
    missing = cells.missing(settings.cells)
    trained = side_by_side(lambda name: train(settings, name, parts), missing)
    xs = jnp.asarray(parts.test.series[0])

    def kind(name: str) -> dict[str, Any]:
        weights, about = trained[name]
        made = programs(settings, weights["untrained"], xs)
        rows = [
            {"experiment": EXPERIMENT, "cell": name, "weights": kind, **row}
            for kind, cell in weights.items()
            for row in measure_cell(settings, made, cell, xs)
        ]
        return {"rows": rows, "about": about}

    rows, about = [], {}
    with Progress(len(settings.cells), EXPERIMENT) as progress:
        for name in settings.cells:
            found = cells.measured(name, partial(kind, name))
            rows += found["rows"]
            about[name] = found["about"]
            progress.advance(f"{name}: test accuracy {about[name]['test_accuracy']:.2f} trained")
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    return table.astype({"num_steps": "Int64", "num_windows": "Int64"}), about


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    try:
        dataset = load("watch", None, settings.length)
        parts = divide(dataset, settings.length, VALIDATION_PEOPLE, TEST_PEOPLE, settings.seed)
    except DatasetError as error:
        sys.exit(str(error))
    with kept_cells(options.output, EXPERIMENT, asdict(settings)) as cells:
        table, about = measure(settings, parts, cells)
        write_results(options.output, table, record.complete(training=about, **cells.about()))


if __name__ == "__main__":
    main()
