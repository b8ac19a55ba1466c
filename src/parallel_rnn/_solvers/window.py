"""Windows: a long sequence as stretches that are solved in parallel, one stretch after another.

A stretch of W steps needs memory for W steps only, starts from a state that is already right,
and takes at most W iterations.
"""

import dataclasses
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._linear.linear_scan import keep_where, platform
from .._programs.varying import axes_of, varying_over
from .._recurrence.flat import FlatRecurrence
from .._right.acceptance import Verdict, unknown_verdict
from .._types import Inputs
from .iterate import Iterate, Loop
from .solution import RESULTS
from .solver import AbstractSolver, Sequential, Window

# What the transitions A_t of one window may take, in bytes. On a CPU they then stay in the cache
# between the pass that makes them and the one that reads them. On a GPU a window has to be long
# enough to fill the device, and only memory bounds it.
WINDOW_BYTES = {"cpu": 2**21, "gpu": 2**30}
SHORTEST_WINDOW = 64
# Iterations of a window cost a CPU in proportion to its length, so long ones gain nothing, and one
# in which errors grow may need as many iterations as steps.
LONGEST_WINDOW = {"cpu": 1024}


class Windows(eqx.Module):
    """The answer before it is unflattened: all states, and the counts over the windows."""

    states: Float[Array, "T D"]
    result: Any
    num_steps: Array
    num_fallback: Array
    verdict: Verdict
    trace: PyTree


def window_bytes() -> int:
    """What the transitions of a window may take on this platform."""
    return WINDOW_BYTES.get(platform(), WINDOW_BYTES["gpu"])


def window_length(
    window: int | Literal["auto"] | None,
    solver: AbstractSolver,
    length: int,
    state_size: int,
    itemsize: int,
) -> int:
    """The number of steps in a window: what was asked for, at most the whole sequence."""
    if window is None:
        return length
    if window == "auto":
        bytes_per_step = itemsize * solver.numbers_per_step(state_size)
        if bytes_per_step == 0:
            return length
        fits = window_bytes() // bytes_per_step
        longest = min(max(SHORTEST_WINDOW, fits), LONGEST_WINDOW.get(platform(), length))
        # Of equal length, so that the last window does not reach back far.
        window = math.ceil(length / math.ceil(length / longest))
    return min(window, length)


class Sequence(eqx.Module):
    """All T steps that there are to solve.

    `guess` is `None` where the state before each window is repeated. Steps from `valid_length` on
    are padding.
    """

    recurrence: FlatRecurrence
    s0: Float[Array, " D"]
    xs: Inputs
    guess: Float[Array, "T D"] | None
    length: int = eqx.field(static=True)
    valid_length: Int[Array, ""]

    def nothing_solved(self) -> Windows:
        guess = self.guess
        if guess is None:
            guess = jnp.broadcast_to(self.s0, (self.length, self.s0.size))
        zero = jnp.zeros((), int)
        return Windows(guess, RESULTS.successful, zero, zero, unknown_verdict(guess), trace=None)

    def window(self, begin: Int[Array, ""], size: int, so_far: Windows) -> Window:
        """The window with the steps from `begin` on; the last one reaches back over known ones."""
        start = jnp.minimum(begin, self.length - size)
        before = state_before(start, self.s0, so_far.states)
        guess = steps_from(so_far.states, start, size)
        num_known = begin - start
        if self.guess is None:
            known = jnp.arange(size) < num_known
            guess = keep_where(known, guess, jnp.broadcast_to(before, guess.shape))
        return Window(
            self.recurrence,
            before,
            steps_from(self.xs, start, size),
            guess,
            num_known,
            jnp.clip(self.valid_length - start, 0, size),
            start,
            so_far.verdict.sum,
        )


def solve_windows(
    solver: AbstractSolver, sequence: Sequence, size: int, fallback: Sequential | None, loop: Loop
) -> Windows:
    """Solve the windows of `size` steps in turn, each from the last state of the one before.

    All windows have the same length, so that one program serves all: the last reaches back over
    steps that are already solved when the length is no multiple of the window. A window that
    `solver` could not solve is finished by the fallback. After a failure that no fallback mends
    the remaining windows keep their guess.
    """
    num_windows = math.ceil(sequence.length / size)
    zero, nothing = jnp.zeros((), int), sequence.nothing_solved()
    if num_windows == 1:
        task = sequence.window(zero, size, nothing)
        return _alone(*_solve_window(solver, task, loop.max_steps, fallback, loop))

    # The number of turns is fixed, even after a failure: were it not, `vmap` would copy all
    # states of the batch in every turn. A window after a failure is allowed no step.
    def turn(carry: tuple[Array, Windows], _: None) -> tuple[tuple[Array, Windows], PyTree]:
        index, so_far = carry
        most = jnp.where(so_far.result == RESULTS.successful, loop.max_steps, 0)
        task = sequence.window(index * size, size, so_far)
        now, num_fallback = _solve_window(solver, task, most, fallback, loop)
        return (index + 1, _together(so_far, task.steps_before, now, num_fallback)), now.trace

    nothing = varying_over(axes_of(sequence.s0), nothing)
    (_, answer), traces = jax.lax.scan(turn, (zero, nothing), length=num_windows)
    return eqx.tree_at(lambda w: w.trace, answer, traces, is_leaf=lambda leaf: leaf is None)


def _solve_window(
    solver: AbstractSolver,
    task: Window,
    max_steps: Array | int,
    fallback: Sequential | None,
    loop: Loop,
) -> tuple[Iterate, Array]:
    """What a window came to, and the number of steps that the fallback took."""
    reached = solver.run(task, max_steps, loop)
    if fallback is None:
        return reached, jnp.zeros((), int)
    failed = reached.result != RESULTS.successful
    axes = axes_of(reached.states)
    finished = jax.lax.cond(
        failed,
        lambda: varying_over(axes, fallback.finish(task, reached)),
        lambda: varying_over(axes, reached),
    )
    return finished, jnp.where(failed, task.valid_length - reached.verdict.num_verified, 0)


def _alone(only: Iterate, num_fallback: Array) -> Windows:
    """The answer where one window holds all steps."""
    return Windows(
        states=only.states,
        result=only.result,
        num_steps=only.num_steps,
        num_fallback=num_fallback,
        verdict=only.verdict,
        trace=only.trace,
    )


def _together(so_far: Windows, start: Array, now: Iterate, num_fallback: Array) -> Windows:
    """The windows so far and the one that begins at `start`."""
    ok = so_far.result == RESULTS.successful
    return Windows(
        states=jax.lax.dynamic_update_slice_in_dim(so_far.states, now.states, start, 0),
        result=RESULTS.where(ok, now.result, so_far.result),
        num_steps=so_far.num_steps + now.num_steps,
        num_fallback=so_far.num_fallback + num_fallback,
        verdict=_verdict_on_all(so_far.verdict, now.verdict, start, ok),
        trace=None,
    )


def _verdict_on_all(so_far: Verdict, now: Verdict, start: Array, ok: Array) -> Verdict:
    """The verdict on the last window, with what is told of all; a failure ends what is verified."""
    return dataclasses.replace(
        now,
        num_verified=jnp.where(ok, start + now.num_verified, so_far.num_verified),
        residual=jnp.maximum(so_far.residual, now.residual),
        roundings=jnp.maximum(so_far.roundings, now.roundings),
        drift=jnp.maximum(so_far.drift, now.drift),
    )


def state_before(start: Array, s0: PyTree, states: PyTree) -> PyTree:
    """The state that step `start` starts from. States may be vectors or parts."""
    before = step_at(states, jnp.maximum(start - 1, 0))
    return jax.tree.map(lambda first, later: jnp.where(start == 0, first, later), s0, before)


def steps_from(tree: PyTree, start: Array | int, size: int) -> PyTree:
    """The `size` steps that begin with step `start`."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size), tree)


def step_at(tree: PyTree, t: Array | int, axis: int = 0) -> PyTree:
    """Step t of arrays that hold all steps along an axis."""
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_index_in_dim(leaf, t, axis, keepdims=False), tree
    )
