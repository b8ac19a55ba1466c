"""Many series at once, each solved until it has converged and no longer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

from .._automatic.auto_chunks import is_left_open
from .._automatic.worth import together_pays
from .._linear.linear_scan import platform
from .._programs.explicit import left_to_compiler, spec_of, specs_over_time
from .._programs.program import closed
from .._programs.static import hashable, unwrapped
from .._solvers.solution import Solution, check_batch_result
from .._solvers.solver import AbstractSolver, Sequential
from .._types import Inputs, State
from .._values import as_count, check_flag
from .check import as_array, as_arrays, as_guess, check_batch, check_lengths, check_names
from .order import repeat_last
from .solve import Options, check_call, solve_checked, specs_of_solution


def solve_batch(
    f: Callable[[Any, Any], Any],
    s0: State,
    xs: Inputs | None,
    solver: AbstractSolver | None = None,
    *,
    lengths: Any = None,
    length: int | None = None,
    reverse: bool = False,
    group: int | Literal["auto"] = "auto",
    guess: State | Literal["zeros"] | None = None,
    throw: bool = True,
    **solve_options: Any,
) -> Solution:
    """Find the states of B series of the same recurrence.

    Under `jax.vmap` all series iterate until the slowest has converged. Here the series are
    solved in groups, one group after another, so that a slow series keeps only its own group
    waiting. The work within a series is parallel over time in any case. Groups of 1 waste nothing
    and suit long series; larger groups fill a GPU when series are short.

    **Arguments:**

    - `f`: one step, `f(state, x) -> state`, the same for all series.
    - `s0`: the initial states, a PyTree with a leading axis of length B.
    - `xs`: the inputs, a PyTree with leading axes B, T, or `None` with `length`.
    - `solver`: as for `solve`.
    - `lengths`: integers (B,), how many steps of each series count. What follows is padding: its
      inputs may hold anything, also NaN, and its states are 0. `None`: all T count. Under `jit`
      lengths out of range count as 0 or T.
    - `length`: T, needed when `xs` is `None`.
    - `reverse`: as for `solve`, each series from its own last input that counts to its first.
      Padding stays at the end. Two calls, one of them reversed, make a bidirectional layer.
    - `group`: how many series are solved together. `"auto"` is all of them where steps are taken
      one after another, which waits for no series, and the batch fills the vector units of a CPU
      (16 series, or 512 numbers in all their states); else 1.
    - `guess`: as for `solve`; a PyTree has leading axes B, T.
    - `throw`: raise when a series fails, naming the first.
    - `solve_options`: `window`, `chunk`, `max_steps`, `adjoint`, `fallback`, `trace`, as for
      `solve`.

    **Returns:** a `Solution` whose arrays all have a leading axis of length B.

    **Raises:** what `solve` raises.
    """
    s0, xs, guess = as_arrays("s0", s0), as_arrays("xs", xs), as_guess(guess)
    lengths = None if lengths is None else as_array("lengths", lengths)
    group = as_count(group)
    check_batch(s0, xs, guess, lengths, group)
    check_names("solve_batch", solve_options, Options)
    name = guess if isinstance(guess, str) else None
    options = Options(solver, name, reverse=reverse, **solve_options)
    s0_type, xs_type, guess_type = _types_of_one(s0), _types_of_one(xs), _types_of_one(guess)
    length = check_call(s0_type, xs_type, guess_type, length)
    if lengths is not None:
        check_lengths(lengths, length)
    check_flag("throw", throw)
    solution = _solve_batch(hashable(f), s0, xs, guess, lengths, length, group, options)
    return check_batch_result(solution) if throw else solution


@eqx.filter_jit
def _solve_batch(f, s0, xs, guess, lengths, length, group, options) -> Solution:
    def run(f, s0, xs, guess, lengths, options) -> Solution:
        return _solve_groups(f, s0, xs, guess, lengths, length, group, options)

    def specs() -> Any:
        series = PartitionSpec(spec_of(jax.tree.leaves(s0)[0])[0])
        return specs_of_solution(series, specs_over_time(s0, xs, 1))

    return left_to_compiler(run, f, s0, xs, guess, lengths, options, specs=specs, time_axis=1)


def _solve_groups(f, s0, xs, guess, lengths, length, group, options) -> Solution:
    if group == "auto":
        group = _group_size(f, s0, xs, options)

    def solve_one(series: PyTree) -> Solution:
        s0, xs, guess, valid_length = series
        own = options if guess is None else dataclasses.replace(options, guess=guess)
        if valid_length is not None:
            xs = repeat_last(xs, valid_length, length)
        return solve_checked(f, s0, xs, length, valid_length, own)

    lengths = None if lengths is None else jnp.clip(jnp.asarray(lengths, int), 0, length)
    guesses = None if isinstance(guess, str) else guess
    # A batch of 1 within the map would cost an axis for nothing.
    batch_size = None if group == 1 else group
    return jax.lax.map(solve_one, (s0, xs, guesses, lengths), batch_size=batch_size)


def _group_size(f: Callable, s0: State, xs: Inputs, options: Options) -> int:
    """How many series take the least time together."""
    by_default = is_left_open(options) and platform() == "cpu"
    in_turn = isinstance(options.solver, Sequential) or by_default
    leaves = jax.tree.leaves(s0)
    num_series, num_numbers = leaves[0].shape[0], sum(leaf.size for leaf in leaves)
    if not isinstance(num_series, int):
        return 1  # a number that `jax.export` leaves open
    pays = in_turn and together_pays(num_series, num_numbers)
    return num_series if pays and _can_be_batched(f, s0, xs) else 1


def _can_be_batched(f: Callable, s0: State, xs: Inputs) -> bool:
    """Whether `jax.vmap` takes `f`, which does nothing beside returning a state."""

    def step_of_all(s0: State, xs: Inputs) -> State:
        return jax.vmap(unwrapped(f))(s0, jax.tree.map(lambda leaf: leaf[:, 0], xs))

    try:
        step = closed(step_of_all, s0, xs)
    except Exception:
        return False  # what the check of `f` says of one series is plainer
    return not step.has_effects()


def _types_of_one(batch: PyTree) -> PyTree:
    """The shapes of one series. Names stay."""
    return jax.tree.map(
        lambda leaf: (
            leaf if isinstance(leaf, str) else jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
        ),
        batch,
    )
