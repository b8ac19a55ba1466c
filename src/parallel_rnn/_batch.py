"""Many series at once, each solved until it has converged and no longer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ._check import check_batch
from ._methods import QuasiDEER
from ._solution import Solution, check_batch_result
from ._solve import Options, check_call, solve_checked
from ._solver import AbstractSolver
from ._types import Inputs, State


def solve_batch(
    f: Callable[[Any, Any], Any],
    s0: State,
    xs: Inputs | None,
    solver: AbstractSolver = QuasiDEER(),
    *,
    lengths: Any = None,
    length: int | None = None,
    group: int = 1,
    guess: State | Literal["zeros"] | None = None,
    throw: bool = True,
    **solve_options: Any,
) -> Solution:
    """Find the states of B series of the same recurrence.

    Under `jax.vmap` all series iterate until the slowest has converged. Here the series are
    solved in groups, one group after another, so that a slow series keeps only its own group
    waiting. The work within a series is parallel over time in any case. Groups of 1 waste nothing
    and suit a CPU and long series; larger groups fill a GPU when series are short.

    **Arguments:**

    - `f`: one step, `f(state, x) -> state`, the same for all series.
    - `s0`: the initial states, a PyTree with a leading axis of length B.
    - `xs`: the inputs, a PyTree with leading axes B, T, or `None` with `length`.
    - `solver`: as for `solve`.
    - `lengths`: integers (B,), how many steps of each series count. What follows is padding: its
      inputs may hold anything, also NaN, and its states are 0. `None`: all T count.
    - `length`: T, needed when `xs` is `None`.
    - `group`: how many series are solved together.
    - `guess`: as for `solve`; a PyTree has leading axes B, T.
    - `throw`: raise when a series fails, naming the first.
    - `solve_options`: `window`, `max_steps`, `adjoint`, `fallback`, `trace`, as for `solve`.

    **Returns:** a `Solution` whose arrays all have a leading axis of length B.

    **Raises:** what `solve` raises.
    """
    s0, xs = jax.tree.map(jnp.asarray, (s0, xs))
    check_batch(s0, xs, guess, lengths, group)
    series_guess = guess if isinstance(guess, str) else _first(guess)
    options = Options(solver, series_guess, **solve_options)
    length = check_call(f, _first(s0), _first(xs), length, options)
    solution = _solve_batch(f, s0, xs, guess, lengths, length, group, options)
    return check_batch_result(solution) if throw else solution


@eqx.filter_jit
def _solve_batch(f, s0, xs, guess, lengths, length, group, options) -> Solution:
    def solve_one(series: PyTree) -> Solution:
        s0, xs, guess, valid_length = series
        own = options if guess is None else dataclasses.replace(options, guess=guess)
        if valid_length is not None:
            xs = _repeat_last(xs, valid_length, length)
        return solve_checked(f, s0, xs, length, valid_length, own)

    lengths = None if lengths is None else jnp.asarray(lengths, int)
    guesses = None if isinstance(guess, str) else guess
    # A batch of 1 within the map would cost an axis for nothing.
    batch_size = None if group == 1 else group
    return jax.lax.map(solve_one, (s0, xs, guesses, lengths), batch_size=batch_size)


def _first(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _repeat_last(xs: Inputs, valid_length: Array, length: int) -> Inputs:
    """The inputs with the last one that counts in place of all padding, 0 if none counts.

    Padding may hold NaN, which would reach the derivatives of the steps before it.
    """
    last = jnp.minimum(jnp.arange(length), jnp.maximum(valid_length - 1, 0))

    def repeat(leaf: Array) -> Array:
        taken = jnp.take(leaf, last, axis=0)
        return jnp.where(valid_length > 0, taken, jnp.zeros_like(taken))

    return jax.tree.map(repeat, xs)
