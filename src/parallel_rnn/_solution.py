"""What a solve returns: the states, how the iteration ended, and how much work it was."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ._types import State


class RESULTS(eqx.Enumeration):
    """How a solve ended. `RESULTS[result]` is the message of a result."""

    successful = ""
    max_steps_reached = (
        "The iteration used all its steps before the residual met the tolerance. Likely "
        "causes: `max_steps` is too small, or the recurrence is unstable, so that an undamped "
        "iteration needs about as many steps as the window is long. Try a shorter window "
        "(`window=100`), the dense Jacobian (`solver=DEER()`), or `max_steps=None`, which is "
        "enough for every undamped solver. A damped solver (`ELK`, `QuasiELK`) may need a smaller "
        "`damping`. `fallback=Sequential()` finishes the rest of the sequence step by step."
    )
    tolerance_unreachable = (
        "The residual is down to the rounding of this dtype, but the tolerance asks for less. "
        "Raise `rtol` and `atol`, or solve in float64 (`jax.config.update('jax_enable_x64', True)` "
        "and float64 arrays)."
    )
    nonfinite_input = (
        "The initial state or the inputs contain NaN or infinity. Look for the first bad entry "
        "with `jnp.isfinite(xs)`, then mend or mask the data before solving."
    )
    nonfinite_state = (
        "The recurrence itself leaves the floating-point range: starting from states that are "
        "correct, one more step of `f` is NaN or infinite, so `jax.lax.scan` would fail at the "
        "same place. Check `f` for overflow, a division by zero or the root of a negative number."
    )


class SolveError(RuntimeError):
    """A solve with `throw=True` did not succeed. The message is that of its `RESULTS` member."""


class Solution(eqx.Module):
    """The answer of `parallel_rnn.solve`.

    **Arguments:**

    - `value`: the states s_1, ..., s_T, a PyTree like `s0` with a leading axis of length T.
    - `result`: a member of `RESULTS`; compare with `sol.result == RESULTS.successful`.
    - `stats`: a dictionary of scalars.
        - `num_steps`: iterations, summed over the windows.
        - `num_fallback`: steps that the fallback took, one after another.
        - `num_windows`: windows that the sequence was cut into; `window` is their length.
        - `max_steps`: the bound on the iterations of one window.
        - `residual`: max |s_t - f(s_{t-1}, x_t)| over the returned states, relative to
          `atol + rtol |s_t|`, so that 1 is the largest that counts as converged. Steps that the
          fallback took have none; then it is at most 1.
        - `num_verified`: leading steps whose residual is within the tolerance. It is T on
          success; after a failure the states before it can be trusted.
    - `trace`: what the `trace` function returned for every iterate, stacked, or `None`. Entry
      k belongs to the iterate after k steps; entries beyond the last iterate are NaN (0 for
      integers). With `window=W` there is one more leading axis, over the windows.
    """

    value: State
    result: Any
    stats: dict[str, Any]
    trace: PyTree


def check_result(solution: Solution) -> Solution:
    """Raise if the solve failed: now where the result is known, at run time under `jit`."""
    failed = solution.result != RESULTS.successful
    if solution.result.is_traced():
        return solution.result.error_if(solution, failed)
    if failed:
        raise SolveError(_explanation(solution))
    return solution


def check_batch_result(solution: Solution) -> Solution:
    """The same for a solution with a leading axis for the series of a batch."""
    failed = solution.result != RESULTS.successful
    if solution.result.is_traced():
        return solution.result.error_if(solution, failed)
    if jnp.any(failed):
        series = int(jnp.argmax(failed))
        first = jax.tree.map(lambda leaf: leaf[series], solution)
        raise SolveError(
            f"{int(jnp.sum(failed))} of {len(failed)} series failed. The first is series {series}:"
            f"\n{_explanation(first)}"
        )
    return solution


def _explanation(solution: Solution) -> str:
    stats = {name: value.item() for name, value in solution.stats.items()}
    return (
        f"{RESULTS[solution.result]}\n"
        f"Step {stats['num_verified'] + 1} is the first that did not meet the tolerance, "
        f"after {stats['num_steps']} iterations in windows of {stats['window']} steps "
        f"(at most {stats['max_steps']} each); the residual is {stats['residual']:.3g} times "
        "what is allowed. Pass `throw=False` to get the states reached so far."
    )
