"""GRUs so wide that their weights leave the cache of a CPU: where a parallel method pays there.

`jax.lax.scan` reads all weights once a step; from some width on it waits for memory. A parallel
method reads them once an iteration for all steps of a window, and chunks once a step for all
chunks. An untrained GRU on N(0, 1) inputs as wide as its state is evaluated in several ways, which
take turns: the scan; the scan with W_x x_t of all steps computed beforehand in one product, as the
solvers do, which reads half as much in a step; the same unrolled; quasi-DEER on the whole sequence,
in windows and in chunks.

    python -m experiments.wide --output results/fresh/cpu/wide.csv

writes one row a timed call. Only columns named `time...` differ between two runs with the same
settings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells
from experiments.harness.outcome import (
    COMPLETED,
    NOT_CONVERGED,
    describe_failure,
    largest_difference,
)
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import Plan, interleaved, side_by_side
from experiments.problems import scans
from experiments.problems.gru import normal_inputs, untrained_gru
from parallel_rnn import RESULTS, AbstractSolver, QuasiDEER, solve
from parallel_rnn.cells import GRUCell

EXPERIMENT = "wide"
SEQUENTIAL = "sequential"
STEPPED = (SEQUENTIAL, "inputs_first", "inputs_first_unrolled")
METHODS = (*STEPPED, "quasi_deer", "windowed_quasi_deer", "chunks")
COLUMNS = (
    "experiment",
    "dim",
    "length",
    "method",
    "status",
    "num_steps",
    "num_windows",
    "max_abs_error",
    "seed",
    "repetition",
    "time_s",
)
WHOLE_NUMBERS = ("num_steps", "num_windows", "seed", "repetition")


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    dims: tuple[int, ...]
    length: int
    window: int
    chunk: int
    methods: tuple[str, ...]
    tolerance: float
    seeds: int
    repetitions: int


class Problem(NamedTuple):
    """A wide GRU, its first state and its inputs."""

    cell: GRUCell
    s0: Float[Array, " D"]
    xs: Float[Array, "T D"]


class Outcome(NamedTuple):
    """The states and how they were found; no counts for a method that does not iterate."""

    states: Float[Array, "T D"]
    converged: Bool[Array, ""]
    num_steps: Int[Array, ""] | None = None
    num_windows: Int[Array, ""] | None = None


Method = Callable[[GRUCell, Array, Array], Outcome]
# A method compiled for one size of the state.
Program = Callable[..., Outcome]
Row = dict[str, Any]


def problem(dim: int, length: int, seed: int) -> Problem:
    """An untrained GRU as wide as its inputs, from a state of zeros."""
    weights_key, inputs_key = jax.random.split(jax.random.key(seed))
    inputs = normal_inputs(inputs_key, length, 1, dim)[:, 0]
    return Problem(untrained_gru(weights_key, dim, dim), jnp.zeros(dim, jnp.float32), inputs)


def stepped(form: str) -> Method:
    """`jax.lax.scan` in a form of `scans.FORMS`; states count as found if all are finite."""

    def method(cell: GRUCell, s0: Array, xs: Array) -> Outcome:
        states = scans.roll_out(scans.FORMS[form], cell, s0, xs)
        return Outcome(states, jnp.all(jnp.isfinite(states)))

    return method


def solved(solver: AbstractSolver, **options: Any) -> Method:
    """All states by `solve` with these options."""

    def method(cell: GRUCell, s0: Array, xs: Array) -> Outcome:
        found = solve(cell, s0, xs, solver, throw=False, **options)
        counts = found.stats["num_steps"], found.stats["num_windows"]
        return Outcome(found.value, found.result == RESULTS.successful, *counts)

    return method


def methods(settings: Settings) -> dict[str, Method]:
    """All ways to find the states. Quasi-DEER has a tolerance, but chunks need none."""
    tolerance = settings.tolerance
    quasi_deer = QuasiDEER(rtol=tolerance, atol=tolerance)
    return {
        **{form: stepped(form) for form in STEPPED},
        "quasi_deer": solved(quasi_deer, window=None),
        "windowed_quasi_deer": solved(quasi_deer, window=settings.window),
        "chunks": solved(QuasiDEER(), chunk=settings.chunk),
    }


def measure(settings: Settings, cells: Cells) -> pd.DataFrame:
    """All timed calls, one row each."""
    listed = {f"D = {dim}": dim for dim in settings.dims}
    programs = build(settings, [listed[name] for name in cells.missing(listed)])
    rows: list[Row] = []
    with Progress(len(listed), EXPERIMENT) as progress:
        for name, dim in listed.items():
            rows += cells.measured(name, partial(measure_dim, settings, dim, programs))
            progress.advance(name)
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    return table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def build(settings: Settings, dims: Sequence[int]) -> dict[tuple[int, str], Program]:
    """The compiled methods for states of these sizes; what stands for one that fails raises.

    The weights are arguments, no constants, so another draw of them compiles nothing.
    """
    known = methods(settings)
    shapes = {dim: jax.eval_shape(partial(problem, dim, settings.length), 0) for dim in dims}
    return side_by_side(
        lambda key: jax.jit(known[key[1]]).lower(*shapes[key[0]]).compile(),
        [key for key in product(dims, METHODS) if key[1] in settings.methods],
        failed=failing,
    )


def failing(error: Exception) -> Program:
    """What raises this error."""

    def fail(*_: Any) -> Outcome:
        raise error

    return fail


def measure_dim(
    settings: Settings, dim: int, programs: Mapping[tuple[int, str], Program]
) -> list[Row]:
    """The rows of all methods and seeds for one size of the state."""
    own = {method: program for (size, method), program in programs.items() if size == dim}
    common = {"experiment": EXPERIMENT, "dim": dim, "length": settings.length}
    return [
        common | {"seed": seed} | row
        for seed in range(settings.seeds)
        for row in measure_problem(own, problem(dim, settings.length, seed), settings.repetitions)
    ]


def measure_problem(
    programs: Mapping[str, Program], given: Problem, repetitions: int
) -> Iterator[Row]:
    """The rows of all methods, which take turns; one row for a method that cannot run."""
    calls = {name: partial(program, *given) for name, program in programs.items()}
    checked = dict(first_calls(calls))
    for name, row in checked.items():
        if row["status"] not in (COMPLETED, NOT_CONVERGED):
            del calls[name]
            yield {"method": name, **row}
    plans = dict.fromkeys(calls, Plan(seeds=1, warmups=1, repetitions=repetitions))
    for name, repetition, seconds in interleaved(calls, plans):
        yield {"method": name, "repetition": repetition, "time_s": seconds, **checked[name]}


def first_calls(calls: dict[str, Callable[[], Outcome]]) -> Iterator[tuple[str, Row]]:
    """What the first call of each method shows. It warms up."""
    answer = None
    for name, call in calls.items():
        try:
            outcome = jax.block_until_ready(call())
        except Exception as error:  # a device may fail in any way; the other methods go on
            yield name, {"status": describe_failure("running", error)}
            continue
        if name == SEQUENTIAL:
            answer = np.asarray(outcome.states)
        yield name, check(outcome, answer)


def check(outcome: Outcome, answer: np.ndarray | None) -> Row:
    """The status, counts and error of a method's first call; no error where no answer is known."""
    return {
        "status": COMPLETED if bool(outcome.converged) else NOT_CONVERGED,
        "num_steps": None if outcome.num_steps is None else int(outcome.num_steps),
        "num_windows": None if outcome.num_windows is None else int(outcome.num_windows),
        "max_abs_error": None if answer is None else largest_difference(answer, outcome.states),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.seeds))
    with kept_cells(options.output, EXPERIMENT, asdict(settings)) as cells:
        write_results(options.output, measure(settings, cells), record.complete(**cells.about()))


if __name__ == "__main__":
    main()
