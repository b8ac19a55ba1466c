"""What damping does to the iteration.

Three recurrences are solved with many values of the damping: the autoregressive GRU, Lorenz96 and
a small trained classifier. Compared are the filter with the smoother, a fixed λ with
`AdaptiveDamping`, and with the constant forms scale-ELK and clip-ELK; once for the whole sequence
from a guess of zeros, as in the paper, and once in windows.

    python -m experiments.damping --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/damping.csv

writes one row a solve. Beside it, `damping_radius.csv` has the spectral radius of the effective
transition (I - K_t) A_t along the answer against λ.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.kept import Cells, kept_cells
from experiments.harness.outcome import ELSEWHERE, MISSED, REACHED, stays_below_from
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.timing import side_by_side
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.systems import System
from experiments.problems.watch_classifier import trained
from parallel_rnn import (
    ELK,
    RESULTS,
    AbstractSolver,
    AbstractTransition,
    AdaptiveDamping,
    ClipELK,
    Dense,
    Diagonal,
    QuasiELK,
    ScaleELK,
    SequentialScan,
)
from parallel_rnn._linear.kalman import filter_changes

EXPERIMENT = "damping"
# The states of the classifier are between -1 and 1, and close to each other.
CLASSIFIER_THRESHOLD = 1e-3
# The quantiles of the spectral radii between which the figure draws a band.
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Settings:
    """What the experiment depends on; config/README.md explains each value."""

    systems: tuple[str, ...]
    weights: str
    argru_length: int
    lorenz96_length: int
    classifier_length: int
    classifier_units: int
    classifier_updates: int
    seed: int
    dampings: tuple[float, ...]
    initial_dampings: tuple[float, ...]
    scales: tuple[float, ...]
    window: int
    max_steps: int
    tolerance: float


class Variant(NamedTuple):
    """A damped method with a way to choose its damping, and the values it is run with."""

    method: str
    estimate: str
    rule: str
    solver: Callable[[Array], AbstractSolver]
    values: tuple[float, ...]


def variants(settings: Settings) -> list[Variant]:
    """All variants that are compared. scale-ELK with k = 0 is DEER or quasi-DEER."""
    tolerance: dict[str, Any] = {"rtol": settings.tolerance, "atol": settings.tolerance}

    def damped(kind: type[ELK] | type[QuasiELK], method: str, estimate: Any) -> list[Variant]:
        def fixed(damping: Array) -> AbstractSolver:
            return kind(damping, estimate, **tolerance)

        def adaptive(initial: Array) -> AbstractSolver:
            return kind(AdaptiveDamping(initial), estimate, **tolerance)

        return [
            Variant(method, estimate, "fixed", fixed, settings.dampings),
            Variant(method, estimate, "adaptive", adaptive, settings.initial_dampings),
        ]

    def scaled(method: str, transition: AbstractTransition) -> Variant:
        def scale(k: Array) -> AbstractSolver:
            return ScaleELK(k, transition=transition, **tolerance)

        return Variant(method, "", "scale", scale, settings.scales)

    return [
        *damped(ELK, "elk", "filter"),
        *damped(ELK, "elk", "smoother"),
        *damped(QuasiELK, "quasi_elk", "filter"),
        *damped(QuasiELK, "quasi_elk", "smoother"),
        scaled("scale_elk", Dense()),
        scaled("quasi_scale_elk", Diagonal()),
        Variant("clip_elk", "", "clip", lambda _: ClipELK(**tolerance), (math.nan,)),
    ]


def argru(settings: Settings) -> System:
    """The autoregressive GRU."""
    return systems.argru(ARGRU.load(settings.weights), settings.argru_length, settings.seed)


def lorenz96(settings: Settings) -> System:
    """Lorenz96 from one start."""
    return systems.lorenz96(settings.lorenz96_length)


def classifier(settings: Settings) -> System:
    """The recurrence of a trained classifier on a recording."""
    model, series, _ = trained(
        settings.classifier_units,
        settings.classifier_updates,
        settings.classifier_length,
        settings.seed,
    )
    start = model.initial_state()
    deviation = systems.mean_deviation
    return systems.answered(model.cell, start, series, len(series), deviation, CLASSIFIER_THRESHOLD)


SYSTEMS = {"argru": argru, "lorenz96": lorenz96, "classifier": classifier}


def solve_whole(settings: Settings, system: System, variant: Variant) -> Iterator[dict[str, Any]]:
    """Columns of whole-sequence solves: iterations from which the MAD stays below the threshold."""

    @eqx.filter_jit
    def run(system: System, value: Array) -> tuple[Array, Any, Array]:
        solution = system.solve(
            variant.solver(value),
            guess="zeros",
            window=None,
            max_steps=settings.max_steps,
            trace=lambda step, states, residual: system.mad(states),
        )
        return solution.trace, solution.result, solution.stats["num_steps"]

    for value in variant.values:
        trace, result, num_steps = run(system, jnp.asarray(value, system.s0.dtype))
        mad = np.asarray(trace)[: int(num_steps) + 1]
        iterations = stays_below_from(mad, system.threshold)
        stopped = ELSEWHERE if result != RESULTS.max_steps_reached else MISSED
        yield {
            "value": value,
            "status": stopped if math.isnan(iterations) else REACHED,
            "iterations": iterations,
            "mad": mad[-1],
        }


def solve_windows(settings: Settings, system: System, variant: Variant) -> Iterator[dict[str, Any]]:
    """Columns of solves in windows: the mean iterations until a window meets the tolerance."""

    @eqx.filter_jit
    def run(system: System, value: Array) -> tuple[Any, Array, Array]:
        solution = system.solve(
            variant.solver(value), window=settings.window, max_steps=settings.max_steps
        )
        stats = solution.stats
        iterations = stats["num_steps"] / stats["num_windows"]
        return solution.result, iterations, system.mad(solution.value)

    for value in variant.values:
        result, iterations, mad = run(system, jnp.asarray(value, system.s0.dtype))
        reached = bool(result == RESULTS.successful)
        stopped = ELSEWHERE if result != RESULTS.max_steps_reached else MISSED
        yield {
            "value": value,
            "status": REACHED if reached else stopped,
            "iterations": float(iterations) if reached else math.nan,
            "mad": float(mad),
        }


EVALUATIONS = {"whole": solve_whole, "windows": solve_windows}


def sweep(settings: Settings, found: dict[str, System], cells: Cells) -> pd.DataFrame:
    """The table of one row a solve. Nothing is timed, so programs run side by side."""
    listed = {
        f"{name}, {evaluation}: {variant.method} {variant.estimate} {variant.rule}": (
            name,
            evaluation,
            variant,
        )
        for name in found
        for evaluation in EVALUATIONS
        for variant in variants(settings)
    }

    def rows(cell: str) -> list[dict[str, Any]]:
        name, evaluation, variant = listed[cell]
        common = {
            "system": name,
            "evaluation": evaluation,
            "method": variant.method,
            "estimate": variant.estimate,
            "rule": variant.rule,
        }
        solved = EVALUATIONS[evaluation](settings, found[name], variant)
        return [{**common, **row} for row in solved]

    with Progress(len(listed), "damping") as progress:

        def measured(cell: str) -> list[dict[str, Any]]:
            solved = cells.measured(cell, partial(rows, cell))
            progress.advance(cell)
            return solved

        solved = side_by_side(measured, listed)
    return pd.DataFrame([row for cell in listed for row in solved[cell]])


# In the filter's effective transition a change is first moved by A_t and then damped by what the
# observation leaves of it, I - K_t. With covariances G_t that are scaled as in
# `parallel_rnn._linear.kalman` and the same λ for all numbers of a state, this is I - G_t.
@eqx.filter_jit
def effective_transitions(A: Array, damping: Array) -> Array:
    """(I - K_t) A_t for dense A_t (T, D, D), or for diagonal ones (T, D)."""
    given = jnp.full(A.shape[1], damping, A.dtype)
    nothing = jnp.zeros(A.shape[:2], A.dtype)
    G = filter_changes(SequentialScan(), A, nothing, given).covariances
    return (1 - G) * A if A.ndim == 2 else (jnp.eye(A.shape[1], dtype=A.dtype) - G) @ A


@eqx.filter_jit
def jacobians(system: System) -> Array:
    """The Jacobians of all steps along the answer, (T, D, D)."""
    previous = jnp.concatenate([system.s0[None], system.answer[:-1]])
    return jax.vmap(jax.jacfwd(system.f))(previous, system.xs)


def spectral_radii(transitions: np.ndarray) -> np.ndarray:
    """The largest modulus of an eigenvalue of every transition."""
    dense = transitions.ndim == 3
    eigenvalues = np.linalg.eigvals(transitions) if dense else transitions
    return np.abs(eigenvalues).max(axis=1)


def growth_exponent(transitions: np.ndarray) -> float:
    """How fast a change of the state grows under all transitions in turn: mean logarithm per step.

    The first transition acts on a state that is known, so it is left out.
    """
    size = transitions.shape[1]
    change = np.full(size, 1 / math.sqrt(size))
    logs = []
    for transition in transitions[1:].astype(np.float64):
        change = transition * change if transition.ndim == 1 else transition @ change
        logs.append(math.log(np.linalg.norm(change)))
        change /= np.linalg.norm(change)
    return float(np.mean(logs))


def radii(settings: Settings, found: dict[str, System]) -> pd.DataFrame:
    """Spectral radii and growth for every λ, and without damping."""
    rows = []
    for name, system in found.items():
        dense = jacobians(system)
        kinds = {"elk": dense, "quasi_elk": jnp.diagonal(dense, axis1=1, axis2=2)}
        for method, A in kinds.items():
            for damping in (0.0, *settings.dampings):
                effective = np.asarray(effective_transitions(A, jnp.asarray(damping, A.dtype)))
                radius = spectral_radii(effective)
                low, median, high = np.quantile(radius, (LOW, 0.5, HIGH))
                rows.append(
                    {
                        "system": name,
                        "method": method,
                        "damping": damping,
                        "radius_low": low,
                        "radius_median": median,
                        "radius_high": high,
                        "radius_max": radius.max(),
                        "growth_exponent_per_step": growth_exponent(effective),
                    }
                )
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--weights", required=True, help="of the AR GRU, an .npz file")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    about = {**asdict(settings), "weights": describe_weights(settings.weights)}
    record = RunRecord(EXPERIMENT, about, [settings.seed])
    found = {name: SYSTEMS[name](settings) for name in settings.systems}
    summary = {
        name: {"length": system.length, "state_size": system.s0.size, "threshold": system.threshold}
        for name, system in found.items()
    }
    with kept_cells(options.output, EXPERIMENT, about) as cells:
        table = sweep(settings, found, cells)
        write_beside(options.output, "radius", radii(settings, found))
        write_results(options.output, table, record.complete(summary=summary, **cells.about()))


if __name__ == "__main__":
    main()
