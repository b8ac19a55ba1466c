"""The one loop: evaluate all steps at the current states, test the residual, take a step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._solution import RESULTS


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


class Iterate(eqx.Module):
    """The state of the loop, and at its end what is known of one window."""

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
    linearise: Callable[[Array], tuple[Array, Any]],
    advance: Callable[[Any, Array, Array, Array], Array],
    tolerance: Tolerance,
    s0: Float[Array, " D"],
    guess: Float[Array, "T D"],
    max_steps: Int[Array, ""],
    trace: "TraceBuffer",
) -> Iterate:
    """Iterate from `guess` until the residual of every step is within the tolerance.

    The residual is that of the states which are returned. NaN never counts as converged. The
    loop also ends when a verified state is followed by a step that is not finite: then the
    recurrence itself is not finite, and no iteration can help.

    **Arguments:**

    - `linearise`: previous states (T, D) -> values f(s_{t-1}, x_t) (T, D), transitions A.
    - `advance`: (A, values, states, num_verified) -> the next states (T, D).
    - `s0`: the state before the first step.
    - `max_steps`: bound on the number of calls of `advance`.
    """
    length = guess.shape[0]

    def body(now: Iterate) -> Iterate:
        values, A = linearise(shift(s0, now.states))
        error = tolerance.error(now.states, values)
        num_verified = _count_leading(error <= 1)
        residual = jnp.max(error, initial=0)

        converged = num_verified == length
        next_value = values[jnp.minimum(num_verified, length - 1)]
        hopeless = ~converged & ~jnp.all(jnp.isfinite(next_value))
        exhausted = ~converged & ~hopeless & (now.num_steps >= max_steps)
        done = converged | hopeless | exhausted
        result = RESULTS.where(hopeless, RESULTS.nonfinite_state, now.result)
        result = RESULTS.where(exhausted, RESULTS.max_steps_reached, result)

        states = jax.lax.cond(
            done, lambda: now.states, lambda: advance(A, values, now.states, num_verified)
        )
        return Iterate(
            states=states,
            num_steps=jnp.where(done, now.num_steps, now.num_steps + 1),
            done=done,
            result=result,
            residual=residual,
            num_verified=num_verified,
            trace=trace.write(now.trace, now.num_steps, now.states, residual),
        )

    start = Iterate(
        states=guess,
        num_steps=jnp.zeros((), int),
        done=jnp.asarray(False),
        result=RESULTS.successful,
        residual=jnp.asarray(jnp.inf, guess.dtype),
        num_verified=jnp.zeros((), int),
        trace=trace.empty(guess),
    )
    return jax.lax.while_loop(lambda now: ~now.done, body, start)


def _count_leading(flags: Bool[Array, " T"]) -> Int[Array, ""]:
    """How many flags are true before the first that is false."""
    length = flags.shape[0]
    return jnp.min(jnp.where(flags, length, jnp.arange(length)), initial=length)


class TraceBuffer(eqx.Module):
    """Room for what `function(step, states, residual)` returns of every iterate."""

    function: Callable | None = eqx.field(static=True)
    capacity: int = eqx.field(static=True)

    def empty(self, states: Float[Array, "T D"]) -> PyTree:
        """Buffers with a leading axis for the iterates, filled with NaN (0 for integers)."""
        if self.function is None:
            return None
        entry = jax.eval_shape(self.function, jnp.asarray(0), states, jnp.zeros((), states.dtype))

        def buffer(leaf):
            blank = jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
            return jnp.full((self.capacity, *leaf.shape), blank, leaf.dtype)

        return jax.tree.map(buffer, entry)

    def write(self, buffers: PyTree, step: Array, states: Array, residual: Array) -> PyTree:
        """Store the entry of one iterate."""
        if self.function is None:
            return None
        entry = self.function(step, states, residual)
        return jax.tree.map(lambda buffer, leaf: buffer.at[step].set(leaf), buffers, entry)
