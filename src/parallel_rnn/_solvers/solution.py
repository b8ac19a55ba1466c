"""What a solve returns: the states, how the iteration ended, and how much work it was."""

import os
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._programs.varying import axes_left_to_compiler, axes_of


class RESULTS(eqx.Enumeration):
    """How a solve ended. `RESULTS[result]` is the message of a result."""

    successful = ""
    max_steps_reached = (
        "The iteration used all its steps before the residual met the tolerance. Likely "
        "causes: `max_steps` is too small, or the recurrence is unstable, so that an undamped "
        "iteration needs about as many steps as the window is long. Try a shorter window "
        "(`window=100`), the dense Jacobian (`solver=DEER()`), or `max_steps=None`, which is "
        "enough for every undamped solver. With `chunk`, take longer chunks or leave it out. A "
        "damped solver (`ELK`, `QuasiELK`) may need a smaller `damping`. `fallback=Sequential()` "
        "finishes the rest of the sequence step by step."
    )
    tolerance_unreachable = (
        "The residuals are down to the rounding of the states, but not to what is accepted, and "
        "further iterations do not help. Ask for less with `rtol=` and `atol=` of the solver (they "
        "hold for one step; the errors of T steps add up), finish step by step with "
        "`fallback=Sequential()`, take more of the Jacobian (`DEER()`, "
        "`QuasiDEER(transition=BlockDiagonal(2))`) or damp (`ELK()`), or compute in a finer type "
        "(float64 needs `jax.config.update('jax_enable_x64', True)`)."
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


class ENDINGS(eqx.Enumeration):
    """Why a solve ended. `ENDINGS[solution.ending]` is a sentence."""

    exact = "Every state is f of the state before it, bit for bit."
    rounding = "Every state is f of the state before it, up to rounding and without drift."
    tolerance = "Every residual is within the tolerance that was asked for."
    sequential = "The steps, or the last of them, were taken one after another."
    failed = "It did not succeed; `Solution.result` says why."


class SolveError(RuntimeError):
    """A solve with `throw=True` did not succeed. The message is that of its `RESULTS` member."""


class Solution(eqx.Module):
    """The answer of `parallel_rnn.solve`.

    **Arguments:**

    - `value`: the states s_1, ..., s_T, a PyTree like `s0` with a leading axis of length T.
    - `result`: a member of `RESULTS`; compare with `sol.result == RESULTS.successful`.
    - `ending`: a member of `ENDINGS`, why the solve ended.
    - `stats`: a dictionary of scalars.
        - `num_steps`: iterations, summed over the windows, or sweeps over all chunks; 0 for one
          step after another, and where the guess itself was accepted.
        - `num_fallback`: steps that the fallback took, one after another.
        - `num_windows`: windows that the sequence was cut into; `window` is their length.
        - `max_steps`: the bound on the iterations of one window.
        - `residual`: the largest residual s_t - f(s_{t-1}, x_t), relative to what is accepted, so
          that 1 is the largest that counts as converged: to `atol + rtol |s_t|` where these
          were given. Steps taken one after another have none; then it is at most 1.
        - `roundings`, `drift`: without a tolerance, how many roundings the worst step is off (up
          to 8 are accepted), and how many times √t the worst sum of t of these, signed (up to 4).
          0 where they were not measured, because a look at the residuals was enough.
        - `eps`: the rounding of the coarsest floating-point type that `f` computes in.
        - `num_verified`: leading steps that are accepted. It is T on success; after a failure the
          states before it can be trusted.
    - `trace`: what the `trace` function returned for every iterate, stacked, or `None`. Entry
      k belongs to the iterate after k iterations; entries beyond the last iterate are NaN (0 for
      integers, infinity under `jax.debug_nans`). With `window=W` there is one more leading axis,
      over the windows.
    """

    value: PyTree
    result: Any
    ending: Any
    stats: dict[str, Any]
    trace: PyTree


def check_result(solution: Solution) -> Solution:
    """Raise if the solve failed: now where the result is known, at run time under `jit`."""
    failed = solution.result != RESULTS.successful
    if solution.result.is_traced():
        return _raise_at_run_time(solution, failed)
    if failed:
        raise SolveError(_explanation(solution))
    return solution


def check_batch_result(solution: Solution) -> Solution:
    """Raise if a series failed, naming the first. All arrays have a leading axis for the series."""
    failed = solution.result != RESULTS.successful
    if solution.result.is_traced():
        return _raise_at_run_time(solution, failed)
    if jnp.any(failed):
        series = failed.tolist().index(True)
        first = jax.tree.map(lambda leaf: leaf[series], solution)
        raise SolveError(
            f"{int(jnp.sum(failed))} of {len(failed)} series failed. The first is series {series}:"
            f"\n{_explanation(first)}"
        )
    return solution


def _raise_at_run_time(solution: Solution, failed: Array) -> Solution:
    """The solution, on the way to which `equinox` raises where it failed.

    What `equinox` guards goes through the function that raises, for which XLA keeps room. So that
    is a zero, on which the solution depends where it failed, and XLA cannot simplify how.
    """
    if (axes := axes_left_to_compiler()) and os.environ.get("EQX_ON_ERROR") != "nan":
        raise NotImplementedError(
            f"This `jax.shard_map` leaves axes of the mesh ({', '.join(map(repr, axes))}) to the "
            "compiler. JAX has no callbacks there, without which nothing raises at run time. Call "
            "`solve` with `throw=False` and look at `Solution.result`; or set the environment "
            "variable EQX_ON_ERROR=nan before Python starts, and what fails is NaN."
        )
    # Random keys, which a scan may carry, do not pass through the check. No solve makes them.
    keys, arrays = eqx.partition(solution, _is_key)

    def guarded(arrays: PyTree) -> PyTree:
        zero = solution.result.error_if(jnp.zeros(()), failed)
        return jax.tree.map(lambda a: jnp.where(zero == 0, a, _unknown(a)), arrays)

    if axes_of(arrays):  # in a `jax.shard_map`, of whose devices some may fail: no branch for all
        arrays = guarded(arrays)
    else:
        arrays = jax.lax.cond(eqxi.unvmap_any(failed), guarded, lambda arrays: arrays, arrays)
    return eqx.combine(arrays, keys)


def _unknown(array: Array) -> Array:
    """What stands in for an array where `equinox` is told to return NaN and not to raise."""
    return jnp.full_like(array, jnp.nan if eqx.is_inexact_array(array) else 0)


def _is_key(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _explanation(solution: Solution) -> str:
    stats = {name: value.item() for name, value in solution.stats.items()}
    sentences = [
        RESULTS[solution.result],
        f"\nStep {stats['num_verified'] + 1} is the first that was not accepted, "
        f"after {stats['num_steps']} iterations (sweeps, in chunks) in windows of "
        f"{stats['window']} steps (at most {stats['max_steps']} each); the residual is "
        f"{stats['residual']:.3g} times what is allowed.",
    ]
    if stats["roundings"] > 0:
        sentences.append(
            f"The worst step is {stats['roundings']:.3g} roundings off, the worst sum of t steps "
            f"{stats['drift']:.3g} √t roundings."
        )
    dtype = solution.stats["residual"].dtype
    if stats["eps"] > jnp.finfo(dtype).eps:
        sentences.append(
            f"`f` computes in {_COARSE[stats['eps']]}, which is coarser than the state's "
            f"{dtype}: that limits how well a step can fit."
        )
    return " ".join([*sentences, "`solve` with `throw=False` returns the states reached so far."])


_COARSE = {
    float(jnp.finfo(dtype).eps): dtype for dtype in ("bfloat16", "float16", "float32", "float64")
}
