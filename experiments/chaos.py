"""Iterations and time of the parallel methods against the largest Lyapunov exponent.

Three systems go from stable to chaotic: Lorenz96 with its forcing F, a network of tanh units with
the gain of its random weights, and the autoregressive GRU, untrained and trained. Each is solved
in windows of several lengths, from a guess of zeros, to a tolerance; each window has as
many iterations at most as steps, since beyond that no method can pay. `jax.lax.scan` over the same
steps is timed beside them. The exponents come from QR decompositions in float64.

    python -m experiments.chaos --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/chaos.csv

writes one row a solve. Beside it is `chaos_exponents.csv`, all exponents of every system. Only
columns named `time...` differ between two runs with the same settings.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells, to_rows
from experiments.harness.methods import METHODS
from experiments.harness.outcome import COMPLETED, NOT_CONVERGED
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.timing import compiled, side_by_side, timed
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.lorenz96 import Lorenz96
from experiments.problems.lyapunov import Spectrum, spectrum
from parallel_rnn import (
    RESULTS,
    AbstractSolver,
    Sequential,
    solve,
)
from parallel_rnn.cells import ElmanCell

EXPERIMENT = "chaos"
# Steps after which Lorenz96 is on its attractor, and between the starts of two draws.
LORENZ96_BURN_IN = 5000
LORENZ96_APART = 1000


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    weights: str
    length: int
    windows: tuple[int, ...]
    methods: tuple[str, ...]
    tolerance: float
    forcings: tuple[float, ...]
    gains: tuple[float, ...]
    tanh_dim: int
    input_scale: float
    elk_damping: float
    quasi_elk_damping: float
    draws: int
    seed: int
    exponent_length: int
    repetitions: int
    cell_seconds: float

    def solver(self, method: str) -> AbstractSolver:
        """The solver of a method, with the damping that the settings give it."""
        dampings = {"elk": [self.elk_damping], "quasi_elk": [self.quasi_elk_damping]}
        limits = {"rtol": self.tolerance, "atol": self.tolerance}
        return METHODS[method].build(*dampings.get(method, []), **limits)

    def key(self, *numbers: int) -> Array:
        """A random key that follows from the seed and from all of these numbers."""
        key = jax.random.key(self.seed)
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key


class Case(NamedTuple):
    """One recurrence with its start and inputs; `xs` is long enough for the exponents."""

    parameter: str
    draw: int
    f: Callable[[Array, Any], Array]
    s0: Float[Array, " D"]
    xs: Float[Array, "T ..."] | None


def lorenz96_cases(settings: Settings) -> Iterator[Case]:
    """Lorenz96 with five variables, from states on its attractor."""
    for forcing in settings.forcings:
        model = Lorenz96(forcing=jnp.float32(forcing))
        length = LORENZ96_BURN_IN + LORENZ96_APART * settings.draws
        starts = _run(model, model.perturbed_rest(), length)[LORENZ96_BURN_IN::LORENZ96_APART]
        for draw in range(settings.draws):
            yield Case(f"{forcing:g}", draw, model, starts[draw], None)


def tanh_cases(settings: Settings) -> Iterator[Case]:
    """s' = tanh(g W s + x), with entries of W of variance 1/D and inputs of a small variance."""
    dim = settings.tanh_dim
    for draw in range(settings.draws):
        weight_key, state_key, input_key = jax.random.split(settings.key(0, draw), 3)
        weight = jax.random.normal(weight_key, (dim, dim), jnp.float32) / np.sqrt(dim)
        s0 = jax.random.normal(state_key, (dim,), jnp.float32)
        xs = jax.random.normal(input_key, (_longest(settings), dim), jnp.float32)
        blank = ElmanCell(dim, dim, key=weight_key, dtype=jnp.dtype(jnp.float32))
        for gain in settings.gains:
            cell = eqx.tree_at(
                lambda cell: (cell.weight_ih, cell.bias, cell.recurrent.weight_hh),
                blank,
                (jnp.eye(dim, dtype=jnp.float32), jnp.zeros(dim, jnp.float32), gain * weight),
            )
            yield Case(f"{gain:g}", draw, cell, s0, settings.input_scale * xs)


def argru_cases(settings: Settings) -> Iterator[Case]:
    """The autoregressive GRU on N(0, 1) noise, as it is initialised and as it was trained."""
    models = {
        "untrained": ARGRU(key=settings.key(1)),
        "trained": ARGRU.load(Path(settings.weights)),
    }
    for parameter, model in models.items():
        for draw in range(settings.draws):
            noise = jax.random.normal(settings.key(2, draw), (_longest(settings),), jnp.float32)
            yield Case(parameter, draw, model, model.initial_state(), noise)


SYSTEMS: dict[str, Callable[[Settings], Iterator[Case]]] = {
    "lorenz96": lorenz96_cases,
    "tanh": tanh_cases,
    "argru": argru_cases,
}


def _longest(settings: Settings) -> int:
    return max(settings.length, settings.exponent_length)


@eqx.filter_jit
def _run(model: Lorenz96, start: Array, length: int) -> Array:
    return model.states(start, length)


class Outcome(NamedTuple):
    """The states that a solve found, whether they are the answer, and what they took."""

    states: Float[Array, "T D"]
    converged: Array
    num_steps: Array
    num_windows: Array


def build(settings: Settings, method: str, window: int | None, case: Case) -> Callable:
    """The compiled solve by a method. Compiled for one case, it serves all cases of a system."""
    solver = Sequential() if window is None else settings.solver(method)
    _, static = eqx.partition(case.f, eqx.is_array)

    def run(arrays: Any, s0: Array, xs: Any) -> Outcome:
        solution = solve(
            eqx.combine(arrays, static),
            s0,
            xs,
            solver,
            length=settings.length,
            guess=None if window is None else "zeros",
            window=window,
            max_steps=window,
            throw=False,
        )
        converged = solution.result == RESULTS.successful
        stats = solution.stats
        return Outcome(solution.value, converged, stats["num_steps"], stats["num_windows"])

    return compiled(run, *_given(settings, case))


def run_cases(
    settings: Settings, program: Callable, cases: Sequence[Case]
) -> Iterator[tuple[Outcome, float]]:
    """Outcome and seconds of every case, the median of calls, of few where they are long."""
    jax.block_until_ready(program(*_given(settings, cases[0])))  # warms up
    for case in cases:
        given = _given(settings, case)
        first_s, outcome = timed(lambda given=given: program(*given))
        times = [first_s]
        while len(times) < settings.repetitions and sum(times) <= settings.cell_seconds:
            times.append(timed(lambda given=given: program(*given))[0])
        yield outcome, float(np.median(times))


def _given(settings: Settings, case: Case) -> tuple[Any, Array, Any]:
    arrays = eqx.filter(case.f, eqx.is_array)
    return arrays, case.s0, None if case.xs is None else case.xs[: settings.length]


def exponent_rows(case: Case, found: Spectrum) -> pd.DataFrame:
    """All exponents of one case, and the divergence that they add up to."""
    return pd.DataFrame(
        {
            "parameter": case.parameter,
            "draw": case.draw,
            "index": 1 + np.arange(len(found.exponents)),
            "exponent_per_step": found.exponents,
            "divergence_per_step": found.divergence,
        }
    )


def spectrum_of(settings: Settings, case: Case) -> Spectrum:
    """The Lyapunov exponents of a case, from as many steps as `exponent_length` says."""
    xs = None if case.xs is None else case.xs[: settings.exponent_length]
    return spectrum(case.f, case.s0, xs, settings.exponent_length)


def parallel_row(method: str, window: int, found: Outcome, time_s: float) -> dict[str, Any]:
    """The columns of a parallel solve. A solve that failed has neither counts nor a time."""
    row = {"method": method, "window": window}
    if not found.converged:
        return {**row, "status": NOT_CONVERGED}
    num_steps, num_windows = int(found.num_steps), int(found.num_windows)
    return {
        **row,
        "status": COMPLETED,
        "num_steps": num_steps,
        "iterations_per_window": num_steps / num_windows,
        "time_s": time_s,
    }


COLUMNS = (
    "parameter",
    "draw",
    "exponent_per_step",
    "method",
    "window",
    "status",
    "num_steps",
    "iterations_per_window",
    "time_s",
)


def solve_row(method: str, window: int | None, found: Outcome, time_s: float) -> dict[str, Any]:
    """The columns of a solve. Sequential evaluation has neither windows nor iterations."""
    if window is None:
        return {"method": method, "status": COMPLETED, "time_s": time_s}
    return parallel_row(method, window, found, time_s)


def solve_rows(
    settings: Settings, system: str, cases: Sequence[Case], cells: Cells
) -> Iterator[list[dict]]:
    """Lists of one row a case: first for sequential evaluation, then for each method and window."""
    ways = [("sequential", None), *product(settings.methods, settings.windows)]
    listed = {f"{system}: {method}, window {window}": (method, window) for method, window in ways}

    def make(name: str) -> Callable:
        return build(settings, *listed[name], cases[0])

    def rows(name: str) -> list[dict]:
        solved = run_cases(settings, programs[name], cases)
        return [solve_row(*listed[name], *one) for one in solved]

    programs = side_by_side(make, cells.missing(listed))
    for name in listed:
        yield cells.measured(name, partial(rows, name))


def exponents_of(settings: Settings, system: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The rows of all exponents of a system."""
    tables = [exponent_rows(case, spectrum_of(settings, case)) for case in cases]
    table = pd.concat(tables)
    table.insert(0, "system", system)
    return to_rows(table)


def measure_system(
    settings: Settings, system: str, cases: Sequence[Case], cells: Cells
) -> tuple[list[dict], list[dict]]:
    """One row a solve, and all exponents."""
    found = partial(exponents_of, settings, system, cases)
    exponents = cells.measured(f"{system}: exponents", found)
    about = [
        {key: row[key] for key in ("system", "parameter", "draw", "exponent_per_step")}
        for row in exponents
        if row["index"] == 1
    ]
    rows = [
        fact | row
        for group in solve_rows(settings, system, cases, cells)
        for fact, row in zip(about, group, strict=True)
    ]
    return rows, exponents


def measure(settings: Settings, cells: Cells) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The solves of all systems, one row each, and all their exponents."""
    solves, exponents = [], []
    with Progress(len(SYSTEMS), "chaos") as progress:
        for system, make in SYSTEMS.items():
            cases = list(make(settings))
            rows, found = measure_system(settings, system, cases, cells)
            solves += rows
            exponents += found
            largest = max(row["exponent_per_step"] for row in found)
            progress.advance(f"{system}: {len(cases)} cases, exponents up to {largest:.3g}")
    return pd.DataFrame(solves, columns=["system", *COLUMNS]), pd.DataFrame(exponents)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--weights", required=True, help="of the AR GRU, an .npz file")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    about = {**asdict(settings), "weights": describe_weights(settings.weights)}
    record = RunRecord(EXPERIMENT, about, [settings.seed])
    with kept_cells(options.output, EXPERIMENT, about) as cells:
        table, exponents = measure(settings, cells)
        write_beside(options.output, "exponents", exponents, digits=10)
        write_results(options.output, table, record.complete(**cells.about()))


if __name__ == "__main__":
    main()
