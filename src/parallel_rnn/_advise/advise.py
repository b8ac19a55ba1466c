"""Which method pays for a recurrence on this device: a search by measurement."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._automatic.auto_chunks import NUM_CHUNKS
from .._calls.check import as_arrays, check_function, check_length, check_state, check_step
from .._calls.solve import one_input
from .._linear.linear_scan import platform
from .._linear.matrices import LARGEST_WRITTEN_OUT
from .._recurrence.transition import AbstractTransition, BlockDiagonal, Diagonal, StochasticDiagonal
from .._solvers.methods import (
    DEER,
    ELK,
    AbstractDamped,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
)
from .._solvers.solution import RESULTS, Solution
from .._solvers.solver import AbstractIterative, Sequential
from .._types import Inputs, State
from .._values import as_count, check_count, check_number
from .advice import Advice, Candidate, too_short, was_tried
from .pilot import Pilot, shortest_times, take_pilot

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
# Chunks: on a CPU enough of them for its vector units, but few joints; on a GPU each step of a
# chunk starts kernels (docs/chunks.md). Longer ones are tried where one sweep is not enough.
SHORTEST_CHUNK = {"cpu": 200, "gpu": 64}
MOST_CHUNKS = {"cpu": NUM_CHUNKS}
FEWEST_CHUNKS = 4
CHUNK_FACTOR = 4
# They are timed on as many steps as a sweep takes in this part of a measurement's share, as it is
# estimated first and as it is measured then.
CHUNKS_PART = 1 / 4
# Other windows are tried for the best few methods, if they come near the best so far.
NUM_REFINED = 2
NEAR = 0.5

# Beyond this many columns the diagonal of a Jacobian without closed form is only estimated.
MOST_COLUMNS = 64
QUASI_DAMPINGS = (1e-2, 1e-1, 1.0)
DENSE_DAMPINGS = (1e-6, 1e-3, 1e-1)

TIME_UP = "not tried, the time was up"
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
    """Measure which solver, chunks or windows, and damping suit a recurrence on this device.

    Takes the first steps one after another and finds how fast a small change grows or dies
    away. Then it solves in chunks, on all steps if there is time, and the first steps in windows
    with each method that may suit, and compares the times. All methods start with a window of one
    length; the best are tried with longer and shorter ones. What the whole sequence takes is
    inferred where fewer steps were measured; the table says so. Only the forward solve is
    measured, for one series. Times vary from call to call, and so does the advice where methods
    are close.

        advice = advise(f, s0, xs)
        print(advice)
        solution = solve(f, s0, xs, advice.solver, **advice.options)

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
    pilot = as_count(pilot)
    check_count("pilot", pilot, SHORTEST_PILOT, "fewer steps cannot be timed")
    check_number("seconds", seconds)
    if np.ndim(seconds) > 0 or seconds <= 0:
        raise ValueError(f"`seconds` is {seconds}; it must be positive.")
    begin = time.perf_counter()
    deadline = begin + seconds
    s0, xs = as_arrays("s0", s0), as_arrays("xs", xs)
    check_function(f, ("state", "x"), "state")
    check_state(s0)
    length = check_length(xs, length)
    check_step(f, jax.eval_shape(lambda: s0), one_input(xs))
    if length < SHORTEST_PILOT or not any(leaf.size for leaf in jax.tree.leaves(s0)):
        return too_short(length, seconds)

    taken = take_pilot(f, s0, xs, length, pilot, SHARE * seconds)
    exponent, costs = taken.lyapunov_exponent(), taken.costs()
    candidates = _search(taken, deadline)
    best = max(candidates, key=lambda candidate: candidate.speedup)
    pays = best.speedup > LEAST_SPEEDUP
    num_windows = 1 if best.window is None else math.ceil(length / best.window)
    return Advice(
        solver=best.solver if pays else Sequential(),
        window=best.window if pays else None,
        chunk=best.chunk if pays else None,
        num_steps=round(best.num_steps * num_windows) if pays else 0,
        speedup=best.speedup if pays else 1.0,
        lyapunov_exponent=exponent,
        costs=costs,
        candidates=tuple(candidates),
        pilot=taken.num_steps,
        length=length,
        took=time.perf_counter() - begin,
        seconds=seconds,
    )


def _search(pilot: Pilot, deadline: float) -> list[Candidate]:
    """Chunks; the likely methods with one window, the best with others; the same with the rest."""
    first_window = FIRST_WINDOW.get(platform(), FIRST_WINDOW["gpu"])
    transition = _diagonal_transition(pilot)
    tried = _search_chunks(pilot, transition, deadline)
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


def _search_chunks(pilot: Pilot, diagonal: AbstractTransition, deadline: float) -> list[Candidate]:
    """Joined with the diagonals; where a sweep is not enough, with the Jacobians, and longer."""
    size = SHORTEST_CHUNK.get(platform(), SHORTEST_CHUNK["gpu"])
    size = max(size, pilot.length // MOST_CHUNKS.get(platform(), pilot.length))
    if pilot.length < FEWEST_CHUNKS * size:
        return []
    tried = [_attempt_chunks(pilot, QuasiDEER(transition=diagonal), size, deadline)]
    if tried[0].num_steps > 1 and pilot.has_room_for_jacobians():
        tried.append(_attempt_chunks(pilot, DEER(), size, deadline))
    best = max(tried, key=lambda candidate: candidate.speedup)
    longer = CHUNK_FACTOR * size
    if best.num_steps > 1 and pilot.length >= FEWEST_CHUNKS * longer:
        tried.append(_attempt_chunks(pilot, best.solver, longer, deadline))
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
    assert first.window is not None
    longest = pilot.longest_window(first.solver)
    tried = []
    # A longer window needs no fewer iterations, so it fails where the first did.
    factors = (WINDOW_FACTOR, 1 / WINDOW_FACTOR) if first.speedup > 0 else (1 / WINDOW_FACTOR,)
    for factor in factors:
        best, window = first, first.window
        while time.perf_counter() < deadline:
            last, window = window, min(longest, max(SHORTEST_TRIED, int(window * factor)))
            if window == last:
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
        return Candidate(solver, window, note=TIME_UP)
    iteration = pilot.seconds_of_linearising(solver.transition)
    most = min(MOST_ITERATIONS, int(pilot.share / iteration))
    if most < 2:
        return Candidate(solver, window, note=f"not tried, an iteration takes {iteration:.2g} s")

    measured = _with_array_damping(solver, pilot.previous.dtype)
    solution = pilot.solve(measured, window, most)
    tried = Candidate(solver, window, None, most, _contraction(solution.trace))
    if solution.result != RESULTS.successful:
        return dataclasses.replace(tried, note=_reason(solution, f"{most} iterations"))

    # The last window of the pilot reaches back over solved steps, so windows are counted.
    num_windows = solution.stats["num_windows"].item()
    sequential, seconds = _timed(pilot, lambda: pilot.solve(measured, window, most))
    return dataclasses.replace(
        tried,
        num_steps=solution.stats["num_steps"].item() / num_windows,
        measured_steps=pilot.num_steps,
        seconds=seconds,
        whole_seconds=seconds / num_windows * math.ceil(pilot.length / window),
        sequential_seconds=sequential,
    )


def _attempt_chunks(
    pilot: Pilot, solver: AbstractIterative, chunk: int, deadline: float
) -> Candidate:
    """Solve in chunks, in as many sweeps as a measurement has time for.

    The more chunks lie side by side the less each of them costs, so what a part of the sequence
    takes says little about all of it: where there is time, more steps are taken.
    """
    if time.perf_counter() > deadline:
        return Candidate(solver, None, chunk, note=TIME_UP)
    allowed = CHUNKS_PART * pilot.share
    each = pilot.seconds_of_linearising(solver.transition) / pilot.num_steps
    num_steps = min(pilot.length, max(FEWEST_CHUNKS * chunk, int(allowed / each)))
    sweep = max(each * num_steps, pilot.seconds / pilot.num_steps * chunk)
    most = min(MOST_ITERATIONS, int(pilot.share / sweep))
    if most < 2:
        return Candidate(solver, None, chunk, note=f"not tried, a sweep takes {sweep:.2g} s")
    tried = _measure_chunks(pilot, solver, chunk, num_steps, most)
    if tried.speedup == 0 or time.perf_counter() > deadline:
        return tried
    more = min(pilot.length, int(allowed / tried.seconds * num_steps))
    if more == num_steps or more < min(pilot.length, 2 * num_steps):
        return tried
    return _measure_chunks(pilot, solver, chunk, more, max(most, 2 * int(tried.num_steps)))


def _measure_chunks(
    pilot: Pilot, solver: AbstractIterative, chunk: int, num_steps: int, most: int
) -> Candidate:
    """Solve the first steps in chunks, in at most so many sweeps."""
    xs = pilot.first_inputs(num_steps)
    run = functools.partial(pilot.solve_in_chunks, solver, chunk, xs, num_steps, most)
    solution = run()
    tried = Candidate(solver, None, chunk, most, _contraction(solution.trace))
    if solution.result != RESULTS.successful:
        return dataclasses.replace(tried, note=_reason(solution, f"{most} sweeps"))
    sequential, seconds = _timed(pilot, run)
    return dataclasses.replace(
        tried,
        num_steps=solution.stats["num_steps"].item(),
        measured_steps=num_steps,
        seconds=seconds,
        whole_seconds=seconds / num_steps * pilot.length,
        sequential_seconds=sequential,
    )


def _reason(solution: Solution, bound: str) -> str:
    """Why it failed."""
    unreachable = solution.result == RESULTS.tolerance_unreachable
    return "stuck above the tolerance" if unreachable else f"not within {bound}"


def _timed(pilot: Pilot, run: Callable[[], Solution]) -> tuple[float, float]:
    """Seconds of `Sequential` for the whole sequence, inferred from the pilot, and of a call."""
    sequential, seconds = shortest_times(pilot.solve_sequentially, run)
    return sequential / pilot.num_steps * pilot.length, seconds


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
