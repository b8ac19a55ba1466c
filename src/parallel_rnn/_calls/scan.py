"""`jax.lax.scan` with another way to find the carries."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

from .._gradients.adjoint import AbstractAdjoint, ImplicitAdjoint
from .._programs.explicit import left_to_compiler, spec_of, specs_over_time, type_of_one
from .._programs.static import hashable, unwrapped
from .._programs.varying import axes_of, varying_over
from .._solvers.solution import Solution, check_result
from .._solvers.solver import AbstractSolver, Sequential
from .._types import Inputs
from .._values import as_count, check_flag
from .carry import trace_body, types_of
from .check import as_arrays, as_guess, check_function, check_guess, check_length, check_unroll
from .order import in_scan_order
from .solve import Options, axes_of_function, one_input, solve_checked, specs_of_solution


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: PyTree,
    xs: Inputs | None = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    *,
    solver: AbstractSolver | None = None,
    guess: PyTree | Literal["zeros"] | None = None,
    window: int | Literal["auto"] | None = "auto",
    chunk: int | Literal["auto"] | None = "auto",
    max_steps: int | None = None,
    adjoint: AbstractAdjoint = ImplicitAdjoint(),
    fallback: Sequential | None = None,
    trace: None = None,
    throw: Literal[True] = True,
) -> tuple[PyTree, PyTree]:
    """Like `jax.lax.scan(f, init, xs, length, reverse)`, with the carries found as `solve` does.

    The carries are the states of the recurrence; all outputs are computed from them at once, and no
    step is taken again for that. As `jax.lax.scan`, it is compiled once for a function object and
    the shapes.

    **Arguments:**

    - `f`: `f(carry, x) -> (carry, y)`.
    - `init`: the first carry, a PyTree of arrays. Its float leaves have one dtype. Other leaves,
      such as counters, flags and random keys, are carried by `jax.lax.scan` before the others;
      they may depend on each other and on `xs`, but not on the floats. Leaves that `f` hands on
      as they are, such as weights, may be of any type and cost nothing.
    - `xs`: inputs with a leading axis of length T, or `None` with `length`.
    - `length`: T, needed when `xs` is `None`.
    - `reverse`: run from the last input to the first.
    - `unroll`, `_split_transpose`: go to `jax.lax.scan` for the leaves that it carries. They mean
      nothing to an iteration, which takes all steps at once.
    - `solver`, `guess`, `window`, `chunk`, `max_steps`, `adjoint`, `fallback`: as for `solve`. A
      `guess` is a PyTree like the carries, in the order of `xs`; only its float leaves are used.
    - `trace`, `throw`: refused, because `solve` returns what they ask for, and `scan` cannot.

    **Returns:** the last carry and the outputs `ys` with a leading axis of length T.

    **Raises:** what `solve` raises; `TypeError` for an `f` that returns no pair, and for leaves
    that cannot be carried.

    A program that raises cannot be serialised by `jax.export`. The environment variable
    `EQX_ON_ERROR=nan` makes Equinox return NaN instead, or call `solve` with `throw=False`.
    """
    if trace is not None or throw is not True:
        raise ValueError(
            f"`scan` returns the last carry and the outputs, as `jax.lax.scan` does, so `trace` "
            f"({trace!r}) and `throw` ({throw!r}) have no place for an answer. Leave both out, or "
            "call `solve`, whose `Solution` holds the trace and the status."
        )
    unroll = as_count(unroll)
    check_unroll(unroll)
    check_flag("_split_transpose", _split_transpose)
    check_function(f, ("carry", "x"), "(carry, y)")
    init, xs = as_arrays("init", init), as_arrays("xs", xs)
    length = check_length(xs, length)
    guess = as_guess(guess)
    options = Options(solver, guess, window, max_steps, adjoint, fallback, trace, reverse, chunk)
    solution = _scan(hashable(f), init, xs, length, unroll, _split_transpose, options)
    carry, outputs = check_result(solution).value
    return eqx.combine(carry, init), outputs


@eqx.filter_jit
def _scan(f, init, xs, length, unroll, split_transpose, options) -> Solution:
    """The solution for the carries, with what `scan` returns in place of its value.

    Constants are missing in the carry: they do not go through the check of the solution.
    """

    def run(f, init, xs, options) -> Solution:
        return _solve_carries(unwrapped(f), init, xs, length, unroll, split_transpose, options)

    def specs() -> Any:
        x = type_of_one(xs)
        body = trace_body(unwrapped(f), init, x)
        carry, y = jax.eval_shape(body.program, body.init, x)
        # Of constants too: with the axes left to the compiler they are no constants any more.
        last = jax.tree.map(spec_of, carry)
        return specs_of_solution(PartitionSpec(), (last, specs_over_time(y, xs)))

    return left_to_compiler(run, f, init, xs, options, specs=specs)


def _solve_carries(f, init, xs, length, unroll, split_transpose, options) -> Solution:
    axes = axes_of((init, xs)) | axes_of_function(f, init, xs)
    init, xs = varying_over(axes, (init, xs))
    body = trace_body(f, init, one_input(xs))
    check_guess(options.guess, "init", types_of(body.init), length)
    state = body.part("state", body.init)

    def count(counters: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
        return body.next_counters(counters, x), counters

    last_counters, counters = jax.lax.scan(
        count,
        body.part("counter", body.init),
        xs,
        length,
        options.reverse,
        unroll,
        split_transpose,
    )
    guess = options.guess
    guess = guess if guess is None or isinstance(guess, str) else body.part("state", guess)
    options = dataclasses.replace(options, guess=guess)
    solution = solve_checked(body.next_state, state, (counters, xs), length, None, options)

    # Before a step the carry is what the step before left.
    left = in_scan_order(solution.value, options.reverse, None)
    states = jax.tree.map(lambda s0, s: jnp.concatenate([s0[None], s]), state, left)
    last = jax.tree.map(lambda s: s[-1], states)
    before = in_scan_order(jax.tree.map(lambda s: s[:-1], states), options.reverse, None)
    outputs = jax.vmap(body.output, axis_size=length)(solution.value, before, counters, xs)
    return dataclasses.replace(solution, value=(eqx.combine(last, last_counters), outputs))
