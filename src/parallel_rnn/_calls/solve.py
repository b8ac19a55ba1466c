"""The entry point: checks what the user passed, flattens it, solves, and unflattens."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._automatic.auto_chunks import ChunkedIfForgetful, SweptFirst, adjoint_of, solver_of
from .._chunks.chunks import Chunked
from .._finite import all_finite
from .._gradients.adjoint import AbstractAdjoint, ImplicitAdjoint
from .._linear.linear_scan import keep_where
from .._programs.explicit import left_to_compiler, specs_over_time
from .._programs.static import hashable, unwrapped
from .._programs.varying import axes_of, in_shard_map, type_of, varying_over
from .._recurrence.flat import flatten_recurrence, ravel_state, ravel_states
from .._right.acceptance import only_if
from .._solvers.iterate import Loop
from .._solvers.methods import QuasiDEER
from .._solvers.solution import ENDINGS, RESULTS, Solution, check_result
from .._solvers.solver import AbstractIterative, AbstractSolver, Sequential
from .._solvers.window import Sequence, Windows, solve_windows, window_length
from .._types import Inputs, State, Trace
from .._values import as_count, check_flag
from .check import (
    as_arrays,
    as_guess,
    check_asked,
    check_guess,
    check_length,
    check_options,
    check_state,
    check_step,
)
from .order import in_scan_order


def solve(
    f: Callable[[Any, Any], Any],
    s0: State,
    xs: Inputs | None,
    solver: AbstractSolver | None = None,
    *,
    length: int | None = None,
    reverse: bool = False,
    guess: State | Literal["zeros"] | None = None,
    window: int | Literal["auto"] | None = "auto",
    chunk: int | Literal["auto"] | None = "auto",
    max_steps: int | None = None,
    adjoint: AbstractAdjoint = ImplicitAdjoint(),
    fallback: Sequential | None = None,
    trace: Trace | None = None,
    throw: bool = True,
) -> Solution:
    """Find all states of s_t = f(s_{t-1}, x_t), t = 1..T.

    The promise: by default the states are an orbit of f in floating point. Each step is off by
    no more than a few times what rounding does to that step, and these do not add up in one
    direction. So the answer is as good as sequential evaluation in the same dtype: it differs
    from that of `jax.lax.scan` as two evaluations with differently rounded steps do. (Under chaos
    that is another trajectory after a while, as it is for `jax.lax.scan` on another machine.)
    What cannot be brought there is refused. Less is what `rtol` and `atol` of the solver ask for:
    they bound the residual of one step, and the errors of T steps add up.

    **Arguments:**

    - `f`: one step, `f(state, x) -> state`. Any callable; parameters that it closes over, or
      holds as an `equinox.Module`, can be differentiated. Those of a module compile once; what
      any other object holds is part of the compiled program, as in `jax.lax.scan`. A cell that
      offers `value_and_diag`, `value_and_jacobian` or `project` (see `parallel_rnn.cells`) is
      evaluated through them.
    - `s0`: the initial state, a PyTree of float arrays of one dtype with D numbers in all. A
      complex number counts as two, its real and its imaginary part, which are solved for as real
      numbers: first all real parts, then all imaginary ones. So where all leaves are complex,
      `QuasiDEER(transition=BlockDiagonal(2))` keeps how each of them depends on itself.
    - `xs`: the inputs, a PyTree of arrays with a leading axis of length T, or `None` with
      `length`.
    - `solver`: `Sequential`, `Jacobi`, `Picard`, `DEER`, `QuasiDEER`, `ScaleELK`, `ClipELK`,
      `ELK` or `QuasiELK`. `parallel_rnn.advise` measures which one suits a problem. `None` is
      what `chunk="auto"` takes, and where other options below are asked for, `QuasiDEER()`.
    - `length`: T, needed when `xs` is `None`.
    - `reverse`: run from the last input to the first, as `jax.lax.scan(reverse=True)` does:
      s_t = f(s_{t+1}, x_t). States and `guess` are in the order of `xs`. What counts steps, and
      what `trace` sees, is in the order in which they are taken.
    - `guess`: the trajectory to start from. `None` repeats the state before each window;
      `"zeros"`; or a PyTree like the answer.
    - `window`: windows of this many steps are solved one after the other. `"auto"` takes a
      length that suits the platform, the solver and D; `None` solves the whole sequence at once,
      as the paper does.
    - `chunk`: chunks of this many steps advance side by side, step by step through f, and only
      where they join is there anything to iterate on; an undamped `solver` says with which
      Jacobian the joints are corrected. The fastest way on a GPU, and on a CPU for gated cells,
      where f forgets within a chunk (some hundred steps); several times slower than
      `Sequential()` where it does not. There are no windows then, and an iteration
      (`num_steps`, `max_steps`, `trace`) is a sweep over all chunks. `None` or 1 iterates on
      single steps; T or more is sequential evaluation. `"auto"` takes a sweep of chunks, or two,
      where f forgets. On a CPU, where no method on single steps is as fast as sequential
      evaluation, it takes one step after another (`num_steps` is 0), except where three things
      hold: T is at least 32,768 (9,216 where a part of the state, such as c of an LSTM, has 256
      numbers or more); f is gated as a GRU or an LSTM, so that much of its work is functions
      such as tanh; and f forgets, which a trial on some steps tells. On a GPU it begins with a
      sweep where T is at least 10,000 and f has a function such as tanh, and iterates on single
      steps from what that finds where f remembers (`num_steps` counts both), and elsewhere.
      What f does beside returning a state, such as to print, is done in order, and so an f
      that does is scanned. Where f asks other series or devices, as `jax.lax.pmean` does, every
      iteration is refused, because all of them together are one recurrence. Single steps are
      iterated on where anything is asked for: a `solver`, a `window`, `max_steps`, a `guess`, a
      `trace`, `UnrolledAdjoint`.
    - `max_steps`: bound on the iterations of a window. `None` is the length of the window,
      which is always enough for the undamped solvers, and ten times that for the damped ones.
      In chunks it is the number of chunks, which is always enough; one sweep is always made.
    - `adjoint`: how the answer is differentiated. On a CPU the default is `jax.lax.scan`'s own way
      where that is faster: where steps are taken one after another and D is at least 16, or in
      chunks by default and D at least 64. Reverse mode then stores what each step saves, as
      for `jax.lax.scan`. An `f` with a `jax.custom_vjp` has no other way, and is scanned by
      default.
    - `fallback`: `Sequential()` finishes a window that the solver could not solve, from its last
      verified state on. Under `vmap` it runs for all series.
    - `trace`: a function `(step, states, residual) -> PyTree` whose results are kept for every
      iterate (`Solution.trace`). `step` is the number of the iteration, `states` a PyTree like
      the answer for one window, `residual` a scalar, the largest relative to what is accepted.
      Needs `window=None` or a number, or a `chunk`, because the shape of the trace depends on it.
    - `throw`: raise when the solve fails. `False` returns the last iterate and the reason, and
      is what `jax.export` takes, and a `jax.shard_map` that leaves axes of the mesh to the
      compiler: a program that raises cannot be serialised, and has no place there. JAX also
      waits for such a program, where it else goes on while the device computes.

    **Returns:** a `Solution`.

    **Raises:** `ValueError` and `TypeError` for arguments that do not fit together;
    `SolveError` when the solve fails (under `jit` the error of `equinox.error_if`).
    """
    s0, xs, guess = as_arrays("s0", s0), as_arrays("xs", xs), as_guess(guess)
    options = Options(solver, guess, window, max_steps, adjoint, fallback, trace, reverse, chunk)
    length = check_call(s0, xs, guess, length)
    check_flag("throw", throw)
    solution = solve_checked(hashable(f), s0, xs, length, None, options)
    return check_result(solution) if throw else solution


class Options(eqx.Module):
    """The options of `solve`, which explains them."""

    solver: AbstractSolver | None = None
    guess: Any = None
    window: int | Literal["auto"] | None = eqx.field(default="auto", converter=as_count)
    max_steps: int | None = eqx.field(default=None, converter=as_count)
    adjoint: AbstractAdjoint = ImplicitAdjoint()
    fallback: Sequential | None = None
    trace: Trace | None = None
    reverse: bool = False
    chunk: int | Literal["auto"] | None = eqx.field(default="auto", converter=as_count)

    def __check_init__(self):
        check_options(self)

    @property
    def method(self) -> AbstractSolver:
        """The solver, quasi-DEER where none is asked for."""
        return QuasiDEER() if self.solver is None else self.solver


def check_call(s0: State, xs: Inputs, guess: Any, length: int | None) -> int:
    """Refuse arguments that do not fit together, and return T. Their types are enough."""
    state_type = check_state(s0)
    length = check_length(xs, length)
    check_guess(guess, "s0", state_type, length)
    return length


@eqx.filter_jit
def solve_checked(
    f: Callable,
    s0: State,
    xs: Inputs,
    length: int,
    valid_length: Int[Array, ""] | None,
    options: Options,
) -> Solution:
    """`solve` behind its checks. Steps from `valid_length` on are padding; their states are 0.

    `f` went through `hashable`. It is looked at here, which is once for all calls that the
    compiled program serves.
    """

    def run(f, s0, xs, valid_length, options) -> Solution:
        return _solve(unwrapped(f), s0, xs, length, valid_length, options)

    def specs() -> Any:
        return specs_of_solution(PartitionSpec(), specs_over_time(s0, xs))

    return left_to_compiler(run, f, s0, xs, valid_length, options, specs=specs)


def axes_of_function(f: Callable, s0: State, xs: Inputs) -> frozenset[Any]:
    """The axes of a `jax.shard_map` over which what `f` closes over varies."""
    if not in_shard_map():
        return frozenset()
    try:
        return axes_of(
            jax.eval_shape(lambda s, x: jax.tree.map(jnp.asarray, f(s, x)), s0, one_input(xs))
        )
    except Exception:
        return frozenset()  # the check of `f` knows what to say


def specs_of_solution(counts: PartitionSpec, value: PyTree) -> Any:
    """How a `Solution` is sharded, for `left_to_compiler`: its value, and all else."""
    prefix: Any = counts
    return Solution(value, prefix, prefix, prefix, prefix)


def _solve(
    f: Callable,
    s0: State,
    xs: Inputs,
    length: int,
    valid_length: Int[Array, ""] | None,
    options: Options,
) -> Solution:
    guess = None if isinstance(options.guess, str) else options.guess
    axes = axes_of((s0, xs, guess)) | axes_of_function(f, s0, xs)
    s0, xs = varying_over(axes, (s0, xs))
    check_step(f, type_of(lambda: s0), one_input(xs))
    flat_s0, unravel = ravel_state(s0)
    if length == 0 or flat_s0.size == 0:
        return _empty(unravel, flat_s0, length, valid_length)
    recurrence = flatten_recurrence(f, s0, one_input(xs))
    is_padded = valid_length is not None
    solver = solver_of(options, length, recurrence, is_padded)
    adjoint = adjoint_of(options.adjoint, solver, recurrence, flat_s0.size, is_padded)
    check_asked(recurrence.step, solver, adjoint)
    window = window_length(options.window, solver, length, flat_s0.size, flat_s0.dtype.itemsize)
    max_steps = options.max_steps
    max_steps = solver.default_max_steps(window) if max_steps is None else max_steps
    loop = Loop(max_steps, _on_trees(options.trace, unravel), adjoint.loop_kind)

    def run(fixed: PyTree) -> tuple[Array, PyTree]:
        recurrence, s0, xs, guess, valid_length, solver = fixed
        end = jnp.asarray(length) if valid_length is None else valid_length
        sequence = Sequence(recurrence, s0, xs, guess, length, end)
        found = solve_windows(solver, sequence, window, options.fallback, loop)
        return _without_padding(found.states, valid_length), eqx.tree_at(
            lambda w: w.states, found, None
        )

    guess = varying_over(axes, _flat_guess(options.guess, flat_s0, length))
    xs, guess = in_scan_order((xs, guess), options.reverse, valid_length)
    fixed = (recurrence, flat_s0, xs, guess, valid_length, solver)
    states, found = adjoint.apply(run, recurrence, flat_s0, xs, fixed)
    # The adjoint linearises around states that are finite; here their derivatives are made 0 too.
    states = _without_padding(states, valid_length)
    states = in_scan_order(states, options.reverse, valid_length)
    failed = found.result == RESULTS.nonfinite_state
    bad_input = only_if(failed, _some_not_finite, (s0, xs), jnp.asarray(False))
    return Solution(
        value=jax.vmap(unravel)(states),
        result=RESULTS.where(bad_input, RESULTS.nonfinite_input, found.result),
        ending=_ending(solver, found),
        stats=dict(
            num_steps=found.num_steps,
            num_fallback=found.num_fallback,
            num_windows=jnp.asarray(-(-length // window)),
            window=jnp.asarray(window),
            max_steps=jnp.asarray(max_steps),
            eps=jnp.asarray(recurrence.eps),
            residual=found.verdict.residual.astype(flat_s0.dtype),
            roundings=found.verdict.roundings,
            drift=found.verdict.drift,
            num_verified=(
                found.verdict.num_verified
                if valid_length is None
                else jnp.minimum(found.verdict.num_verified, valid_length)
            ),
        ),
        trace=found.trace,
    )


def _without_padding(
    states: Float[Array, "T D"], valid_length: Int[Array, ""] | None
) -> Float[Array, "T D"]:
    """The states with 0 in place of those from `valid_length` on. `None`: all count."""
    if valid_length is None:
        return states
    return keep_where(jnp.arange(len(states)) < valid_length, states)


def _ending(solver: AbstractSolver, found: Windows) -> Any:
    """Why the solve ended."""
    if not isinstance(solver, AbstractIterative | Chunked | ChunkedIfForgetful | SweptFirst):
        met = ENDINGS.sequential
    elif solver.has_tolerance():
        met = ENDINGS.tolerance
    else:
        exact = found.verdict.roundings == 0
        met = ENDINGS.where(exact, ENDINGS.exact, ENDINGS.rounding)
    in_turn = isinstance(solver, ChunkedIfForgetful) & (found.num_steps == 0)
    met = ENDINGS.where(in_turn | (found.num_fallback > 0), ENDINGS.sequential, met)
    return ENDINGS.where(found.result == RESULTS.successful, met, ENDINGS.failed)


def one_input(xs: Inputs) -> PyTree:
    """The shapes of the input of one step."""

    def one(leaf: Array) -> jax.ShapeDtypeStruct:
        if len(leaf) == 0:
            return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
        # Under `jax.shard_map` the type also tells which axes the input varies over.
        return type_of(lambda: leaf[0])

    return jax.tree.map(one, xs)


def _some_not_finite(tree: PyTree) -> Bool[Array, ""]:
    return ~all_finite(eqx.filter(tree, eqx.is_inexact_array))


def _flat_guess(guess: Any, s0: Array, length: int) -> Array | None:
    if guess is None:
        return None
    if isinstance(guess, str):
        return jnp.zeros((length, s0.size), s0.dtype)
    return ravel_states(guess)


def _on_trees(trace: Trace | None, unravel: Callable) -> Trace | None:
    """The user's trace function sees the states as the user shaped them."""
    if trace is None:
        return None

    def on_trees(step: Array, states: Float[Array, "T D"], residual: Array) -> PyTree:
        kept = trace(step, jax.vmap(unravel)(states), residual)
        return as_arrays("trace(step, states, residual)", kept)

    return on_trees


def _empty(
    unravel: Callable, s0: Array, length: int, valid_length: Int[Array, ""] | None
) -> Solution:
    """The answer where no number is asked for: no steps, or states that hold none."""
    zero = jnp.zeros((), int)
    counts = dict.fromkeys(
        ("num_steps", "num_fallback", "num_windows", "window", "max_steps"), zero
    )
    return Solution(
        value=jax.vmap(unravel)(jnp.zeros((length, s0.size), s0.dtype)),
        result=RESULTS.successful,
        ending=ENDINGS.exact,
        stats={
            **counts,
            "num_verified": jnp.asarray(length if valid_length is None else valid_length),
            **dict.fromkeys(("residual", "roundings", "drift"), jnp.zeros(())),
            "eps": jnp.finfo(s0.dtype).eps.astype(float),
        },
        trace=None,
    )
