"""The one loop: evaluate all steps at the current states, judge them, take a step."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._programs.varying import axes_of, varying_over
from .._right.acceptance import (
    AbstractAcceptance,
    Evidence,
    Verdict,
    accumulation_dtype,
    unknown_verdict,
)
from .._types import Jacobians
from .solution import RESULTS


class Point(eqx.Module):
    """An iterate with what is known around it: the values f(s_{t-1}, x_t) and the transitions.

    The first `num_frozen` states are right and stay as they are. `residual` is the largest,
    relative to what is accepted.
    """

    states: Float[Array, "T D"]
    values: Float[Array, "T D"]
    A: Jacobians
    num_frozen: Int[Array, ""]
    residual: Float[Array, ""]


# advance(point, memory) -> (the next states, memory): one step of a method. The memory is what
# the method carries from one iteration to the next, such as a damping that adapts.
Advance: TypeAlias = Callable[[Point, PyTree], tuple[Array, PyTree]]


class Iterate(eqx.Module):
    """What is known of a window in the loop and at its end.

    - `states`: the present states.
    - `num_steps`: how many iterations they took.
    - `done`: whether the loop ends here, and `result` how (see `RESULTS`).
    - `verdict`: how well the states fit.
    - `trace`: what the user's trace function returned for every iterate so far.
    """

    states: Float[Array, "T D"]
    num_steps: Int[Array, ""]
    done: Bool[Array, ""]
    result: Any
    verdict: Verdict
    trace: PyTree


def shift(s0: Float[Array, " D"], states: Float[Array, "T D"]) -> Float[Array, "T D"]:
    """The states that the steps start from: s_0, ..., s_{T-1}."""
    return jnp.concatenate([s0[None], states[:-1]])


class Problem(eqx.Module):
    """What the loop iterates on.

    - `linearise`: previous states (T, D), the number of the iteration -> values f(s_{t-1}, x_t)
      (T, D) and transitions A.
    - `change_on_piece`: previous states, moved ones (T, D) -> how much f changes on the piece that
      it is on. `None` where f has one piece, so that its values tell it.
    - `s0`, `guess`: the state before the first step, and the states to start from.
    - `counts`: see `Evidence`.
    """

    linearise: Callable[[Array, Array], tuple[Array, Array]]
    change_on_piece: Callable[[Array, Array], Array] | None
    s0: Float[Array, " D"]
    guess: Float[Array, "T D"]
    counts: Bool[Array, " T"]


def iterate(
    problem: Problem,
    acceptance: AbstractAcceptance,
    advance: Advance,
    memory: PyTree,
    max_steps: Int[Array, ""],
    loop: "Loop",
) -> Iterate:
    """Iterate from the guess until the states are accepted.

    The verdict is on the states that are returned. The loop also ends where no iteration can
    help: when a state that is right is followed by a step that is not finite, so the recurrence
    itself is not finite; and when the acceptance says that the iteration has stalled.

    **Arguments:**

    - `advance`: a step of the method, see `Advance`; `memory` is what it starts with.
    - `max_steps`: bound on the number of calls of `advance`.
    """

    def body(carry: tuple[Iterate, PyTree, PyTree]) -> tuple[Iterate, PyTree, PyTree]:
        now, judged, memory = carry
        previous = shift(problem.s0, now.states)
        values, A = problem.linearise(previous, now.num_steps)
        exhausted = now.num_steps >= max_steps
        evidence = _evidence(problem, now, previous, values, exhausted)
        verdict, judged = acceptance.judge(evidence, judged)
        hopeless = _is_hopeless(verdict, values)
        done = verdict.accepted | hopeless | verdict.stalled | exhausted

        point = Point(now.states, values, A, verdict.num_frozen, verdict.residual)
        states, memory = jax.lax.cond(
            done, lambda: (now.states, memory), lambda: advance(point, memory)
        )
        following = Iterate(
            states=states,
            num_steps=jnp.where(done, now.num_steps, now.num_steps + 1),
            done=done,
            result=_result(verdict, hopeless),
            verdict=verdict,
            trace=loop.write(now.trace, now.num_steps, now.states, verdict.residual),
        )
        return following, judged, memory

    start = (_first_iterate(problem.guess, loop), acceptance.start(problem.guess.dtype), memory)
    start = varying_over(axes_of(problem.guess), start)
    return loop.run(lambda carry: ~carry[0].done, body, start)[0]


def _first_iterate(guess: Float[Array, "T D"], loop: "Loop") -> Iterate:
    return Iterate(
        states=guess,
        num_steps=jnp.zeros((), int),
        done=jnp.asarray(False),
        result=RESULTS.successful,
        verdict=unknown_verdict(guess),
        trace=loop.empty_trace(guess),
    )


def _evidence(
    problem: Problem,
    now: Iterate,
    previous: Float[Array, "T D"],
    values: Float[Array, "T D"],
    exhausted: Bool[Array, ""],
) -> Evidence:
    """What the acceptance may look at. No derivative goes through its verdict."""

    def change(moved: Float[Array, "T D"]) -> Float[Array, "T D"]:
        if problem.change_on_piece is None:
            found = problem.linearise(moved, now.num_steps)[0] - values
        else:
            found = problem.change_on_piece(previous, moved)
        return jax.lax.stop_gradient(found)

    return Evidence(
        *jax.lax.stop_gradient((previous, now.states, values)),
        problem.counts,
        now.num_steps,
        exhausted,
        change,
    )


def _is_hopeless(verdict: Verdict, values: Float[Array, "T D"]) -> Bool[Array, ""]:
    """Whether the step behind what is right is not finite, which no iteration changes."""
    following = values[jnp.minimum(verdict.num_verified, len(values) - 1)]
    return ~verdict.accepted & ~jnp.all(jnp.isfinite(following))


def _result(verdict: Verdict, hopeless: Bool[Array, ""]) -> Any:
    """How the loop ends, if it ends here."""
    bound = RESULTS.where(
        verdict.at_floor, RESULTS.tolerance_unreachable, RESULTS.max_steps_reached
    )
    result = RESULTS.where(hopeless, RESULTS.nonfinite_state, bound)
    return RESULTS.where(verdict.accepted, RESULTS.successful, result)


class Loop(eqx.Module):
    """How the loop runs, and room for a trace of it.

    - `max_steps`: iterations that the program has room for.
    - `trace`: what `trace(step, states, residual)` returns is kept for every iterate.
    - `kind`: "lax", or "checkpointed" for a loop that reverse mode goes back through.
    """

    max_steps: int = eqx.field(static=True)
    trace: Callable | None = eqx.field(static=True, default=None)
    kind: Literal["lax", "checkpointed"] = eqx.field(static=True, default="lax")

    def run(self, condition: Callable, body: Callable, start: PyTree) -> PyTree:
        """A while loop. The last turn takes no step, hence one more turn than steps."""
        if self.kind == "lax":
            return jax.lax.while_loop(condition, body, start)
        return eqxi.while_loop(
            condition, body, start, max_steps=self.max_steps + 1, kind="checkpointed"
        )

    def empty_trace(self, states: Float[Array, "T D"]) -> PyTree:
        """Buffers with a leading axis for the iterates, filled with NaN (0 for integers).

        With infinity where `jax.debug_nans` asks for an error at every NaN.
        """
        if self.trace is None:
            return None
        residual = jnp.zeros((), accumulation_dtype(states.dtype))
        entry = jax.eval_shape(self.trace, jnp.asarray(0), states, residual)

        unknown = jnp.inf if jax.config.jax_debug_nans else jnp.nan

        def buffer(leaf):
            blank = unknown if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
            return jnp.full((self.max_steps + 1, *leaf.shape), blank, leaf.dtype)

        return jax.tree.map(buffer, entry)

    def write(self, buffers: PyTree, step: Array | int, states: Array, residual: Array) -> PyTree:
        """Store the entry of one iterate."""
        if self.trace is None:
            return None
        entry = self.trace(step, states, residual)
        return jax.tree.map(lambda buffer, leaf: buffer.at[step].set(leaf), buffers, entry)
