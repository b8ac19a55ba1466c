"""Which method pays for a recurrence on this device, measured on the first steps of its inputs."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._adjoint import ImplicitAdjoint
from ._advice import Advice, Candidate, too_short
from ._check import check_length, check_state
from ._flat import FlatRecurrence, flatten_recurrence
from ._iterate import shift
from ._matrices import LARGEST_WRITTEN_OUT
from ._recurrence import default_recurrence, platform
from ._solution import RESULTS, Solution
from ._solve import Options, solve, solve_checked
from ._solver import (
    DEER,
    ELK,
    AbstractDamped,
    AbstractIterative,
    AbstractSolver,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    Sequential,
)
from ._transition import AbstractTransition, BlockDiagonal, Diagonal, StochasticDiagonal, Zero
from ._types import Inputs, State
from ._window import SHORTEST_WINDOW, WINDOW_BYTES, window_length

Result = TypeVar("Result")

# Fewer steps than this cannot be timed.
SHORTEST_PILOT = 10
# Each measurement may take this part of the time that is allowed for all.
SHARE = 1 / 20
REPETITIONS = 3
MOST_ITERATIONS = 100

# Windows: the one that every method starts with, the factor to the next one tried, the shortest.
FIRST_WINDOW = 256
WINDOW_FACTOR = 4
SHORTEST_TRIED = 16
# Only the best few methods are tried with other windows.
NUM_REFINED = 2

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
    away. Then it solves them with each method that may suit, and compares the times. The
    methods start with windows of 256 steps; the best two are tried with longer or shorter ones.
    Only the forward solve is measured. Times vary from call to call, and so may the advice
    where methods are close.

        advice = advise(f, s0, xs)
        print(advice)
        solution = solve(f, s0, xs, advice.solver, window=advice.window)

    **Arguments:**

    - `f`, `s0`, `xs`, `length`: as for `solve`. The inputs should be real ones: iterations
      depend on them.
    - `pilot`: the number of steps that are looked at, at most. Fewer are taken where one after
      another they take more than a twentieth of `seconds`.
    - `seconds`: about how long to measure, compilation included. No further candidate is
      started after that.

    **Returns:** an `Advice`, which prints as a table.

    **Raises:** `ValueError` for a `pilot` below 10 steps; `TypeError` under `jit` and other
    transformations; what `solve` raises.
    """
    if pilot < SHORTEST_PILOT:
        raise ValueError(
            f"`pilot` is {pilot}; it must be at least {SHORTEST_PILOT}: fewer steps cannot be timed."
        )
    deadline = time.perf_counter() + seconds
    s0, xs = jax.tree.map(jnp.asarray, (s0, xs))
    check_state(s0)
    length = check_length(xs, length)
    if length < SHORTEST_PILOT:
        return too_short(length)
    taken = _take_pilot(f, s0, xs, length, pilot, seconds * SHARE)
    exponent = _lyapunov_exponent(taken.recurrence, taken.previous, taken.xs).item()
    costs = _costs(taken)
    candidates = _search(taken, _solvers(taken), deadline)
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


@dataclasses.dataclass(frozen=True)
class _Pilot:
    """The first steps, taken one after another.

    - `previous`: the states that the steps start from.
    - `seconds`: how long `Sequential` takes.
    - `share`: how many seconds a measurement may take.
    - `length`: T of the whole sequence.
    """

    f: Callable
    s0: State
    xs: Inputs
    num_steps: int
    recurrence: FlatRecurrence
    previous: Float[Array, "P D"]
    seconds: float
    share: float
    length: int

    def solve(self, solver: AbstractSolver, window: int | None, max_steps: int | None) -> Solution:
        """The states of the pilot, with a trace of the residuals."""
        options = Options(solver, None, window, max_steps, ImplicitAdjoint(), None, _residual_alone)
        valid_length = jnp.asarray(self.num_steps)
        return solve_checked(self.f, self.s0, self.xs, self.num_steps, valid_length, options)

    def longest_window(self, solver: AbstractSolver) -> int:
        size, dtype = self.previous.shape[1], self.previous.dtype
        return window_length("auto", solver, self.num_steps, size, dtype.itemsize)

    def seconds_of_linearising(self, transition: AbstractTransition) -> float:
        """Evaluating all steps with their Jacobians, extrapolated from the first few."""
        few = min(SHORTEST_WINDOW, self.num_steps)
        previous, xs = _first((self.previous, self.xs), few)
        return (
            self.num_steps
            / few
            * _best(lambda: _linearised(transition, self.recurrence, previous, xs))
        )


def _take_pilot(f: Callable, s0: State, xs: Inputs, length: int, most: int, share: float) -> _Pilot:
    few = min(length, most, SHORTEST_WINDOW)

    def states(num_steps: int) -> PyTree:
        return solve(f, s0, _first(xs, num_steps), Sequential(), length=num_steps).value

    _refuse_tracers(states(few))
    seconds_per_step = _best(lambda: states(few)) / few
    num_steps = max(few, min(length, most, int(share / max(seconds_per_step, 1e-9))))
    xs = _first(xs, num_steps)
    flat = jax.vmap(lambda state: ravel_pytree(state)[0])(states(num_steps))
    taken = _Pilot(
        f=f,
        s0=s0,
        xs=xs,
        num_steps=num_steps,
        recurrence=flatten_recurrence(f, s0, jax.tree.map(lambda leaf: leaf[0], xs)),
        previous=shift(ravel_pytree(s0)[0], flat),
        seconds=math.nan,
        share=share,
        length=length,
    )
    return dataclasses.replace(taken, seconds=_best(lambda: taken.solve(Sequential(), None, None)))


def _refuse_tracers(states: PyTree) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(states)):
        raise TypeError(
            "`advise` measures times, so it cannot run under `jit`, `vmap` or `grad`. Call it "
            "outside, with arrays that have values, and pass `advice.solver` and `advice.window` "
            "on to `solve`."
        )


def _first(tree: PyTree, num_steps: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[:num_steps], tree)


def _residual_alone(step: Array, states: State, residual: Array) -> Array:
    del step, states
    return residual


def _timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds until the result was there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def _best(call: Callable[[], Any], enough: float = math.inf) -> float:
    """The shortest of a few times. The first call, which compiles, does not count.

    A call that takes more than `enough` seconds is not repeated.
    """
    jax.block_until_ready(call())
    best = math.inf
    for _ in range(REPETITIONS):
        best = min(best, _timed(call)[0])
        if best > enough:
            break
    return best


@eqx.filter_jit
def _lyapunov_exponent(
    recurrence: FlatRecurrence, previous: Float[Array, "P D"], xs: Inputs
) -> Float[Array, ""]:
    """The mean of log |J_t v| over the second half, where v, |v| = 1, is what J_{t-1} made of it.

    By then almost every v points where changes grow fastest (Benettin et al. 1980).
    """
    start = jax.random.normal(jax.random.key(0), previous.shape[1:], previous.dtype)

    def step(v: Array, element: PyTree) -> tuple[Array, Array]:
        s, x = element
        change = jax.jvp(lambda s: recurrence.step(s, x), (s,), (v,))[1]
        norm = jnp.linalg.norm(change)
        # A change that died at once leaves no direction to follow.
        return jnp.where(norm > 0, change / norm, v), jnp.log(norm)

    _, logs = jax.lax.scan(step, start / jnp.linalg.norm(start), (previous, xs))
    return jnp.mean(logs[len(logs) // 2 :])


@eqx.filter_jit
def _linearised(
    transition: AbstractTransition,
    recurrence: FlatRecurrence,
    previous: Float[Array, "P D"],
    xs: Inputs,
) -> tuple[Array, Array]:
    inputs = recurrence.project_all(xs)
    return transition.linearise(recurrence, previous, inputs, jnp.zeros((), int))


@eqx.filter_jit
def _scanned(A: Array, b: Float[Array, "P D"]) -> Float[Array, "P D"]:
    return default_recurrence()(A, b)


def _costs(pilot: _Pilot) -> dict[str, float]:
    """Seconds for a step of the pilot, of what the methods consist of."""
    b = pilot.previous
    at_once = _best(lambda: _linearised(Zero(), pilot.recurrence, b, pilot.xs))
    diagonal = _best(lambda: _scanned(jnp.zeros_like(b), b))
    costs = {
        "f one after another": pilot.seconds / pilot.num_steps,
        "f at all steps at once": at_once / pilot.num_steps,
        "diagonal scan": diagonal / pilot.num_steps,
    }
    if _dense_fits(b):
        few = b[: pilot.longest_window(DEER())]
        dense = _best(lambda: _scanned(jnp.zeros((*few.shape, few.shape[1]), few.dtype), few))
        costs["dense scan"] = dense / len(few)
    return costs


def _dense_fits(states: Float[Array, "P D"]) -> bool:
    """Whether a window of dense Jacobians stays within what a window may take."""
    window_bytes = SHORTEST_WINDOW * states.dtype.itemsize * states.shape[1] ** 2
    return window_bytes <= WINDOW_BYTES.get(platform(), WINDOW_BYTES["gpu"])


def _solvers(pilot: _Pilot) -> list[AbstractIterative]:
    """What to try, the likely ones first."""
    size = pilot.previous.shape[1]
    closed_form = pilot.recurrence.value_and_diag is not None
    diagonal = Diagonal() if closed_form or size <= MOST_COLUMNS else StochasticDiagonal()
    solvers: list[AbstractIterative] = [QuasiDEER(transition=diagonal), Jacobi()]
    if _dense_fits(pilot.previous):
        solvers.insert(1, DEER())
    blocks = pilot.recurrence.value_and_blocks
    if blocks is not None:
        found = eqx.filter_eval_shape(blocks, pilot.previous[0], _first_projected(pilot))
        solvers.insert(1, QuasiDEER(transition=BlockDiagonal(found[1].shape[0])))
    solvers += [QuasiELK(damping, transition=diagonal) for damping in QUASI_DAMPINGS]
    if size <= LARGEST_WRITTEN_OUT:
        solvers += [ELK(damping) for damping in DENSE_DAMPINGS]
    return [*solvers, Picard()]


def _first_projected(pilot: _Pilot) -> PyTree:
    x = jax.tree.map(lambda leaf: leaf[0], pilot.xs)
    return pilot.recurrence.project(x)


def _search(pilot: _Pilot, solvers: list[AbstractIterative], deadline: float) -> list[Candidate]:
    """All methods with one window, then the best with others."""
    tried = [
        _attempt(pilot, solver, min(FIRST_WINDOW, pilot.longest_window(solver)), deadline)
        for solver in solvers
    ]
    ranked = sorted(tried, key=lambda candidate: -candidate.speedup)
    for candidate in ranked[:NUM_REFINED]:
        tried += _refine(pilot, candidate, deadline)
    return tried


def _refine(pilot: _Pilot, first: Candidate, deadline: float) -> list[Candidate]:
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


def _attempt(pilot: _Pilot, solver: AbstractIterative, window: int, deadline: float) -> Candidate:
    """Solve the pilot, in as many iterations as a measurement has time for."""
    if time.perf_counter() > deadline:
        return Candidate(solver, window, note="not tried, the time was up")
    iteration = pilot.seconds_of_linearising(solver.transition)
    most = min(MOST_ITERATIONS, int(pilot.share / max(iteration, 1e-9)))
    if most < 2:
        return Candidate(solver, window, note=f"not tried, an iteration takes {iteration:.2g} s")

    measured = _with_array_damping(solver, pilot.previous.dtype)
    solution = pilot.solve(measured, window, most)
    contraction = _contraction(solution.trace)
    if solution.result != RESULTS.successful:
        unreachable = solution.result == RESULTS.tolerance_unreachable
        reason = "stuck above the tolerance" if unreachable else f"not within {most} iterations"
        return Candidate(solver, window, contraction=contraction, note=reason)

    seconds = _best(lambda: pilot.solve(measured, window, most), enough=2 * pilot.seconds)
    num_windows = solution.stats["num_windows"].item()
    # The last window of the pilot reaches back over solved steps, so windows are compared.
    sequential = pilot.seconds / pilot.num_steps * pilot.length
    parallel = seconds / num_windows * math.ceil(pilot.length / window)
    return Candidate(
        solver,
        window,
        num_steps=solution.stats["num_steps"].item() / num_windows,
        contraction=contraction,
        seconds=seconds,
        speedup=sequential / parallel,
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
