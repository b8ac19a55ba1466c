"""The first steps of a recurrence, and what can be measured on them before any method runs."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from .._calls.solve import Options, solve, solve_checked
from .._gradients.adjoint import ImplicitAdjoint
from .._linear.linear_scan import linear_scan_or_default
from .._programs.static import hashable
from .._recurrence.flat import FlatRecurrence, flatten_recurrence, ravel_state, ravel_states
from .._recurrence.transition import AbstractTransition, Zero
from .._solvers.iterate import shift
from .._solvers.methods import DEER
from .._solvers.solution import Solution
from .._solvers.solver import AbstractSolver, Sequential
from .._solvers.window import SHORTEST_WINDOW, window_bytes, window_length
from .._types import Inputs, State

Result = TypeVar("Result")

# A time is the shortest of a few. Short calls are repeated more often, long ones less.
FEW_ROUNDS, MANY_ROUNDS = 3, 20
SHORT_SECONDS, LONG_SECONDS = 0.02, 1.0
# Of a measurement's share the sequential pilot takes this part, so that a method has time for
# several times as much work before it is given up.
SEQUENTIAL_PART = 1 / 4


@dataclasses.dataclass(frozen=True)
class Pilot:
    """The first steps, taken one after another.

    - `xs`, `all_xs`: the inputs of the pilot, and of the whole sequence.
    - `length`: T of the whole sequence; the pilot has `num_steps`.
    - `previous`: the states that the steps start from.
    - `share`: how many seconds a measurement may take.
    - `seconds`: how long `Sequential` takes.
    """

    f: Callable
    s0: State
    xs: Inputs
    all_xs: Inputs
    length: int
    recurrence: FlatRecurrence
    previous: Float[Array, "P D"]
    share: float
    seconds: float = math.nan

    @property
    def num_steps(self) -> int:
        return self.previous.shape[0]

    def solve(self, solver: AbstractSolver, window: int, max_steps: int) -> Solution:
        """The states of the pilot, with a trace of the residuals."""
        options = Options(solver, None, window, max_steps, ImplicitAdjoint(), None, _residual_alone)
        valid_length = jnp.asarray(self.num_steps)
        return solve_checked(
            hashable(self.f), self.s0, self.xs, self.num_steps, valid_length, options
        )

    def solve_in_chunks(
        self, solver: AbstractSolver, chunk: int, xs: Inputs, num_steps: int, max_steps: int
    ) -> Solution:
        """The first `num_steps` states, from their inputs, with a trace of the residuals."""
        adjoint, trace = ImplicitAdjoint(), _residual_alone
        options = Options(solver, None, None, max_steps, adjoint, None, trace, chunk=chunk)
        return solve_checked(hashable(self.f), self.s0, xs, num_steps, None, options)

    def first_inputs(self, num_steps: int) -> Inputs:
        return _first(self.all_xs, num_steps)

    def solve_sequentially(self) -> Solution:
        return self.solve(Sequential(), self.num_steps, 0)

    def longest_window(self, solver: AbstractSolver) -> int:
        size, itemsize = self.previous.shape[1], self.previous.dtype.itemsize
        return window_length("auto", solver, self.num_steps, size, itemsize)

    def has_room_for_jacobians(self) -> bool:
        """Whether a window of dense Jacobians stays within what a window may take."""
        needed = SHORTEST_WINDOW * DEER().numbers_per_step(self.previous.shape[1])
        return needed * self.previous.dtype.itemsize <= window_bytes()

    def seconds_of_linearising(self, transition: AbstractTransition) -> float:
        """Evaluating all steps with their Jacobians, extrapolated from the first few."""
        few = min(SHORTEST_WINDOW, self.num_steps)
        previous, xs = _first((self.previous, self.xs), few)
        seconds = compiled_time(lambda: _linearised(transition, self.recurrence, previous, xs))
        return self.num_steps / few * seconds

    def lyapunov_exponent(self) -> float:
        """The largest, of the natural logarithm, for a step."""
        return _lyapunov_exponent(self.recurrence, self.previous, self.xs).item()

    def costs(self) -> dict[str, float]:
        """Seconds for a step, of what the methods consist of."""
        b = self.previous
        at_once = compiled_time(lambda: _linearised(Zero(), self.recurrence, b, self.xs))
        diagonal = compiled_time(lambda: _scanned(jnp.zeros_like(b), b))
        costs = {
            "f one after another": self.seconds / self.num_steps,
            "f at all steps at once": at_once / self.num_steps,
            "diagonal scan": diagonal / self.num_steps,
        }
        if self.has_room_for_jacobians():
            few = b[: self.longest_window(DEER())]
            A = jnp.zeros((*few.shape, few.shape[1]), few.dtype)
            costs["dense scan"] = compiled_time(lambda: _scanned(A, few)) / len(few)
        return costs


def take_pilot(f: Callable, s0: State, xs: Inputs, length: int, most: int, share: float) -> Pilot:
    """The first `most` steps, or as many as `Sequential` takes in a part of `share` seconds.

    **Raises:** `TypeError` for tracers, and what `solve` raises.
    """
    few = min(length, most, SHORTEST_WINDOW)

    def states(num_steps: int) -> PyTree:
        return solve(f, s0, _first(xs, num_steps), Sequential(), length=num_steps).value

    _refuse_tracers(states(few))
    affordable = int(SEQUENTIAL_PART * share / compiled_time(lambda: states(few)) * few)
    num_steps = max(few, min(length, most, affordable))
    flat = ravel_states(states(num_steps))
    pilot = Pilot(
        f=f,
        s0=s0,
        xs=_first(xs, num_steps),
        all_xs=xs,
        length=length,
        recurrence=flatten_recurrence(f, s0, jax.tree.map(lambda leaf: leaf[0], xs)),
        previous=shift(ravel_state(s0)[0], flat),
        share=share,
    )
    seconds = compiled_time(pilot.solve_sequentially)
    return dataclasses.replace(pilot, seconds=seconds)


def shortest_times(*calls: Callable[[], Any]) -> list[float]:
    """The shortest time of each call. They are made in turn, so that a drift meets all alike.

    What the first call of each compiles must be there already.
    """
    rounds: list[list[float]] = []
    total = 0.0
    while (total < LONG_SECONDS and len(rounds) < FEW_ROUNDS) or (
        total < SHORT_SECONDS and len(rounds) < MANY_ROUNDS
    ):
        rounds.append([timed(call)[0] for call in calls])
        total += sum(rounds[-1])
    return [min(times) for times in zip(*rounds, strict=True)]


def compiled_time(call: Callable[[], Any]) -> float:
    """The shortest time of a call, without the first, which compiles."""
    jax.block_until_ready(call())
    return shortest_times(call)[0]


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds until the result was there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def _refuse_tracers(states: PyTree) -> None:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(states)):
        raise TypeError(
            "`advise` measures times, so it cannot run under `jit`, `vmap` or `grad`. Call it "
            "outside, with arrays that have values, and pass `advice.solver` and "
            "`**advice.options` on to `solve`."
        )


def _first(tree: PyTree, num_steps: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[:num_steps], tree)


def _residual_alone(step: Array, states: State, residual: Array) -> Array:
    del step, states
    return residual


@eqx.filter_jit
def _linearised(
    transition: AbstractTransition,
    recurrence: FlatRecurrence,
    previous: Float[Array, "P D"],
    xs: Inputs,
) -> tuple[Array, Array]:
    inputs = recurrence.project_all(xs, len(previous))
    return transition.linearise(recurrence, previous, inputs, jnp.zeros((), int))


@eqx.filter_jit
def _scanned(A: Array, b: Float[Array, "P D"]) -> Float[Array, "P D"]:
    return linear_scan_or_default()(A, b)


@eqx.filter_jit
def _lyapunov_exponent(
    recurrence: FlatRecurrence, previous: Float[Array, "P D"], xs: Inputs
) -> Float[Array, ""]:
    """The mean of log |J_t v| over the second half, where v, |v| = 1, is what J_{t-1} made of it.

    By then almost every v that one may start with points where changes grow fastest (Benettin,
    Galgani, Giorgilli and Strelcyn, "Lyapunov characteristic exponents for smooth dynamical
    systems", Meccanica 15, 1980).
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
