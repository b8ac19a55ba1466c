"""The one loop: evaluate all steps at the current states, test the residual, take a step."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._solution import RESULTS
from ._types import Jacobians

# A residual of this many roundings of a state can be all that its dtype allows.
ROUNDINGS = 10


class Tolerance(eqx.Module):
    """A residual r of a state s is accepted where |r| <= atol + rtol |s|."""

    rtol: Array
    atol: Array

    def error(self, states: Float[Array, "T D"], values: Float[Array, "T D"]) -> Float[Array, " T"]:
        """The residual of each step, relative to what is accepted. NaN where it is NaN."""
        allowed = self.atol + self.rtol * jnp.abs(states)
        distance = jnp.abs(states - values)
        # 0/0 is a residual of zero, met by any tolerance: tolerances of 0 ask for exactness.
        relative = jnp.where(distance == 0, 0, distance / allowed)
        return jnp.max(relative, axis=1, initial=0)


class Point(eqx.Module):
    """An iterate with what is known around it: the values f(s_{t-1}, x_t) and the transitions.

    The first `num_verified` states are right.
    """

    states: Float[Array, "T D"]
    values: Float[Array, "T D"]
    A: Jacobians
    num_verified: Int[Array, ""]


# advance(point, memory) -> (the next states, memory): one step of a method. The memory is what
# the method carries from one iteration to the next, such as a damping that adapts.
Advance: TypeAlias = Callable[[Point, PyTree], tuple[Array, PyTree]]


class Iterate(eqx.Module):
    """What is known of a window in the loop and at its end."""

    states: Float[Array, "T D"]
    num_steps: Int[Array, ""]
    done: Bool[Array, ""]
    result: Any
    residual: Float[Array, ""]
    num_verified: Int[Array, ""]
    trace: PyTree


def shift(s0: Float[Array, " D"], states: Float[Array, "T D"]) -> Float[Array, "T D"]:
    """The states that the steps start from: s_0, ..., s_{T-1}."""
    return jnp.concatenate([s0[None], states[:-1]])


def iterate(
    linearise: Callable[[Array, Array], tuple[Array, Array]],
    advance: Advance,
    memory: PyTree,
    tolerance: Tolerance,
    s0: Float[Array, " D"],
    guess: Float[Array, "T D"],
    valid_length: Int[Array, ""],
    max_steps: Int[Array, ""],
    loop: "Loop",
) -> Iterate:
    """Iterate from `guess` until the residual of every step is within the tolerance.

    The residual is that of the states which are returned. NaN never counts as converged. The
    loop also ends where no iteration can help: when a verified state is followed by a step that
    is not finite, so the recurrence itself is not finite; and when the residuals are down to
    rounding and the last iteration brought nothing.

    **Arguments:**

    - `linearise`: previous states (T, D), the number of this iteration -> values
      f(s_{t-1}, x_t) (T, D), transitions A.
    - `advance`: a step of the method, see `Advance`; `memory` is what it starts with.
    - `s0`: the state before the first step.
    - `valid_length`: steps from here on are padding, and their residuals do not count.
    - `max_steps`: bound on the number of calls of `advance`.
    """
    length = guess.shape[0]
    t = jnp.arange(length)

    def body(carry: tuple[Iterate, PyTree]) -> tuple[Iterate, PyTree]:
        now, memory = carry
        previous = shift(s0, now.states)
        values, A = linearise(previous, now.num_steps)
        error = jnp.where(t < valid_length, tolerance.error(now.states, values), 0)
        num_verified = _count_leading(error <= 1)
        residual = jnp.max(error, initial=0)

        converged = num_verified == length
        next_value = values[jnp.minimum(num_verified, length - 1)]
        hopeless = ~converged & ~jnp.all(jnp.isfinite(next_value))
        exhausted = now.num_steps >= max_steps
        no_better = (num_verified <= now.num_verified) & (residual >= now.residual)
        rounding = jax.lax.cond(
            exhausted | no_better,
            lambda: jnp.all(_is_rounding(previous, now.states, values) | (t >= valid_length)),
            lambda: jnp.asarray(False),
        )
        stopped = ~converged & ~hopeless & (exhausted | (rounding & no_better))
        done = converged | hopeless | stopped
        result = RESULTS.where(hopeless, RESULTS.nonfinite_state, now.result)
        result = RESULTS.where(stopped & rounding, RESULTS.tolerance_unreachable, result)
        result = RESULTS.where(stopped & ~rounding, RESULTS.max_steps_reached, result)

        point = Point(now.states, values, A, num_verified)
        states, memory = jax.lax.cond(
            done, lambda: (now.states, memory), lambda: advance(point, memory)
        )
        following = Iterate(
            states=states,
            num_steps=jnp.where(done, now.num_steps, now.num_steps + 1),
            done=done,
            result=result,
            residual=residual,
            num_verified=num_verified,
            trace=loop.write(now.trace, now.num_steps, now.states, residual),
        )
        return following, memory

    start = Iterate(
        states=guess,
        num_steps=jnp.zeros((), int),
        done=jnp.asarray(False),
        result=RESULTS.successful,
        residual=jnp.asarray(jnp.inf, guess.dtype),
        num_verified=jnp.zeros((), int),
        trace=loop.empty_trace(guess),
    )
    return loop.run(lambda carry: ~carry[0].done, body, (start, memory))[0]


def _count_leading(flags: Bool[Array, " T"]) -> Int[Array, ""]:
    """How many flags are true before the first that is false."""
    length = flags.shape[0]
    return jnp.min(jnp.where(flags, length, jnp.arange(length)), initial=length)


def _is_rounding(
    previous: Float[Array, "T D"], states: Float[Array, "T D"], values: Float[Array, "T D"]
) -> Bool[Array, " T"]:
    """Whether the residual of a step is about the rounding of the states that it joins."""

    def size(s: Array) -> Array:
        return jnp.max(jnp.abs(s), axis=1, initial=0)

    spacing = jnp.finfo(states.dtype).eps * (size(previous) + size(states))
    return size(states - values) <= ROUNDINGS * spacing


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
        """Buffers with a leading axis for the iterates, filled with NaN (0 for integers)."""
        if self.trace is None:
            return None
        entry = jax.eval_shape(self.trace, jnp.asarray(0), states, jnp.zeros((), states.dtype))

        def buffer(leaf):
            blank = jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
            return jnp.full((self.max_steps + 1, *leaf.shape), blank, leaf.dtype)

        return jax.tree.map(buffer, entry)

    def write(self, buffers: PyTree, step: Array, states: Array, residual: Array) -> PyTree:
        """Store the entry of one iterate."""
        if self.trace is None:
            return None
        entry = self.trace(step, states, residual)
        return jax.tree.map(lambda buffer, leaf: buffer.at[step].set(leaf), buffers, entry)
