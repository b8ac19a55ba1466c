"""Which method pays for a recurrence on this device: a search by measurement."""

import math
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._advice import Advice, Candidate, too_short, was_tried
from ._check import as_arrays, check_function, check_length, check_state, check_step
from ._linear_scan import platform
from ._matrices import LARGEST_WRITTEN_OUT
from ._methods import (
    DEER,
    ELK,
    AbstractDamped,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
)
from ._pilot import Pilot, shortest_times, take_pilot
from ._solution import RESULTS
from ._solve import one_input
from ._solver import AbstractIterative, Sequential
from ._transition import AbstractTransition, BlockDiagonal, Diagonal, StochasticDiagonal
from ._types import Inputs, State
from ._values import check_count, check_number

# Fewer steps than this cannot be timed.
SHORTEST_PILOT = 10
# Each measurement may take this part of the time that is allowed for all.
SHARE = 1 / 20
MOST_ITERATIONS = 100

# Windows: the one that every method starts with, the factor to the next, the shortest. A GPU
# takes about as long for a short window as for a longer one.
FIRST_WINDOW = {"cpu": 256, "gpu": 1024}
WINDOW_FACTOR = 4
SHORTEST_TRIED = 16
# Other windows are tried for the best few methods, if they come near the best so far.
NUM_REFINED = 2
NEAR = 0.5

# Beyond this many columns the diagonal of a Jacobian without closed form is only estimated.
MOST_COLUMNS = 64
QUASI_DAMPINGS = (1e-2, 1e-1, 1.0)
DENSE_DAMPINGS = (1e-6, 1e-3, 1e-1)

# A smaller gain is within the noise of the measurement.
LEAST_SPEEDUP = 1.1


def advise(
    f: Callable[[Any, Any], Any],
    s0: State,
    xs: Inputs | None,
    *,
    length: int | None = None,
    pilot: int = 4096,
    seconds: float = 20.0,
) -> Advice:
    """Measure which solver, window and damping suit a recurrence on this device.

    Takes the first steps one after another and finds how fast a small change grows or dies
    away. Then it solves them with each method that may suit, and compares the times. All methods
    start with a window of one length; the best are tried with longer and shorter ones. Only the
    forward solve is measured, for one series. Times vary from call to call, and so does the
    advice where methods are close.

        advice = advise(f, s0, xs)
        print(advice)
        solution = solve(f, s0, xs, advice.solver, window=advice.window)

    **Arguments:**

    - `f`, `s0`, `xs`, `length`: as for `solve`. The inputs should be real ones, because the
      number of iterations depends on them.
    - `pilot`: the number of steps that are looked at, at most. Fewer are taken where
      `Sequential` takes more than an eightieth of `seconds` for them.
    - `seconds`: about how long to measure, compilation included. Nothing more is started after
      that. A method is given up after 100 iterations, or as many as fit in a twentieth of this.

    **Returns:** an `Advice`, which prints as a table.

    **Raises:** `ValueError` for a `pilot` below 10 steps or `seconds` that are not positive;
    `TypeError` under `jit` and other transformations; what `solve` raises.
    """
    check_count("pilot", pilot, SHORTEST_PILOT, "fewer steps cannot be timed")
    check_number("seconds", seconds)
    if np.ndim(seconds) > 0 or seconds <= 0:
        raise ValueError(f"`seconds` is {seconds}; it must be positive.")
    deadline = time.perf_counter() + seconds
    s0, xs = as_arrays("s0", s0), as_arrays("xs", xs)
    check_function(f, ("state", "x"), "state")
    check_state(s0)
    length = check_length(xs, length)
    check_step(f, jax.eval_shape(lambda: s0), one_input(xs))
    if length < SHORTEST_PILOT or not any(leaf.size for leaf in jax.tree.leaves(s0)):
        return too_short(length)

    taken = take_pilot(f, s0, xs, length, pilot, SHARE * seconds)
    exponent, costs = taken.lyapunov_exponent(), taken.costs()
    candidates = _search(taken, deadline)
    best = max(candidates, key=lambda candidate: candidate.speedup)
    pays = best.speedup > LEAST_SPEEDUP
    return Advice(
        solver=best.solver if pays else Sequential(),
        window=best.window if pays else None,
        num_steps=round(best.num_steps * math.ceil(length / best.window)) if pays else 0,
        speedup=best.speedup if pays else 1.0,
        lyapunov_exponent=exponent,
        costs=costs,
        candidates=tuple(candidates),
        pilot=taken.num_steps,
        length=length,
    )


def _search(pilot: Pilot, deadline: float) -> list[Candidate]:
    """The likely methods with one window, the best of them with others; the same with the rest."""
    first_window = FIRST_WINDOW.get(platform(), FIRST_WINDOW["gpu"])
    tried: list[Candidate] = []
    transition = _diagonal_transition(pilot)
    for solvers in (_likely(pilot, transition), _others(pilot, transition)):
        now = [
            _attempt(pilot, solver, min(first_window, pilot.longest_window(solver)), deadline)
            for solver in solvers
        ]
        tried += now
        ranked = sorted(filter(was_tried, now), key=lambda candidate: -candidate.speedup)
        for candidate in ranked[:NUM_REFINED]:
            # One that failed says nothing about shorter windows.
            near = NEAR * max(other.speedup for other in tried)
            if candidate.speedup == 0 or candidate.speedup >= near:
                tried += _refine(pilot, candidate, deadline)
    return tried


def _diagonal_transition(pilot: Pilot) -> AbstractTransition:
    known = pilot.recurrence.value_and_diag is not None
    few_columns = pilot.previous.shape[1] <= MOST_COLUMNS
    return Diagonal() if known or few_columns else StochasticDiagonal()


def _likely(pilot: Pilot, diagonal: AbstractTransition) -> list[AbstractIterative]:
    solvers: list[AbstractIterative] = [QuasiDEER(transition=diagonal)]
    blocks = pilot.recurrence.value_and_blocks
    if blocks is not None:
        x = jax.tree.map(lambda leaf: leaf[0], pilot.xs)
        found = eqx.filter_eval_shape(blocks, pilot.previous[0], pilot.recurrence.project(x))
        solvers.append(QuasiDEER(transition=BlockDiagonal(found[1].shape[0])))
    elif any(map(jnp.iscomplexobj, jax.tree.leaves(pilot.s0))):
        solvers.append(QuasiDEER(transition=BlockDiagonal(2)))  # real and imaginary part
    if pilot.has_room_for_jacobians():
        solvers.append(DEER())
    return [*solvers, Jacobi()]


def _others(pilot: Pilot, diagonal: AbstractTransition) -> list[AbstractIterative]:
    solvers: list[AbstractIterative] = [
        QuasiELK(damping, transition=diagonal) for damping in QUASI_DAMPINGS
    ]
    if pilot.previous.shape[1] <= LARGEST_WRITTEN_OUT:
        solvers += [ELK(damping) for damping in DENSE_DAMPINGS]
    return [*solvers, Picard()]


def _refine(pilot: Pilot, first: Candidate, deadline: float) -> list[Candidate]:
    """Longer windows while they are faster; where none is, shorter ones."""
    longest = pilot.longest_window(first.solver)
    tried = []
    # A longer window needs no fewer iterations, so it fails where the first did.
    factors = (WINDOW_FACTOR, 1 / WINDOW_FACTOR) if first.speedup > 0 else (1 / WINDOW_FACTOR,)
    for factor in factors:
        best = first
        while time.perf_counter() < deadline:
            window = min(longest, max(SHORTEST_TRIED, int(best.window * factor)))
            if window == best.window:
                break
            tried.append(_attempt(pilot, best.solver, window, deadline))
            if tried[-1].speedup <= best.speedup:
                break
            best = tried[-1]
        if best is not first:
            break
    return tried


def _attempt(pilot: Pilot, solver: AbstractIterative, window: int, deadline: float) -> Candidate:
    """Solve the pilot, in as many iterations as a measurement has time for."""
    if time.perf_counter() > deadline:
        return Candidate(solver, window, note="not tried, the time was up")
    iteration = pilot.seconds_of_linearising(solver.transition)
    most = min(MOST_ITERATIONS, int(pilot.share / iteration))
    if most < 2:
        return Candidate(solver, window, note=f"not tried, an iteration takes {iteration:.2g} s")

    measured = _with_array_damping(solver, pilot.previous.dtype)
    solution = pilot.solve(measured, window, most)
    contraction = _contraction(solution.trace)
    if solution.result != RESULTS.successful:
        unreachable = solution.result == RESULTS.tolerance_unreachable
        reason = "stuck above the tolerance" if unreachable else f"not within {most} iterations"
        return Candidate(solver, window, most, contraction, note=reason)

    sequential, seconds = shortest_times(
        pilot.solve_sequentially, lambda: pilot.solve(measured, window, most)
    )
    # The last window of the pilot reaches back over solved steps, so windows are counted.
    num_windows = solution.stats["num_windows"].item()
    whole = seconds / num_windows * math.ceil(pilot.length / window)
    return Candidate(
        solver,
        window,
        solution.stats["num_steps"].item() / num_windows,
        contraction,
        seconds,
        sequential / pilot.num_steps * pilot.length / whole,
    )


def _with_array_damping(solver: AbstractIterative, dtype: Any) -> AbstractIterative:
    """With an array for the damping, one compiled program serves all dampings."""
    if not isinstance(solver, AbstractDamped):
        return solver
    return eqx.tree_at(lambda s: s.damping, solver, jnp.asarray(solver.damping, dtype))


def _contraction(residuals: Array) -> float:
    """The factor of the residual in an iteration, a geometric mean over all windows.

    In a window with residuals r_0, ..., r_k it is (r_k / r_0)^(1/k).
    """
    logs, num_steps = 0.0, 0
    for trace in np.atleast_2d(np.asarray(residuals, np.float64)):
        known = trace[np.isfinite(trace) & (trace > 0)]
        if len(known) > 1:
            logs += math.log(known[-1] / known[0])
            num_steps += len(known) - 1
    return math.exp(logs / num_steps) if num_steps else math.nan
