"""Derivatives of the solution, whatever solver found it.

The states solve s = F(θ, s), where F evaluates all steps at once: F_t = f_θ(s_{t-1}, x_t), and θ
stands for the parameters of f, the initial state and the inputs. Differentiating both sides,

    ds = ∂F/∂s ds + ∂F/∂θ dθ,   that is   (1 - ∂F/∂s) ds = ∂F/∂θ dθ,

a linear recurrence ds_t = J_t ds_{t-1} + db_t with the exact Jacobian J_t of step t. Its
transpose w_t = c_t + J_{t+1}' w_{t+1} is what reverse mode solves. No iteration is
differentiated, and an approximate Jacobian of the solver (quasi-DEER) leaves no trace. The
adjoints differ in how they solve these two linear recurrences.
"""

import abc
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._chunks.chunks import check_joined, in_chunks
from .._finite import worst
from .._linear.linear_scan import (
    AbstractLinearScan,
    SequentialScan,
    check_linear_scan,
    linear_scan_or_default,
)
from .._programs.modes import check_forward_mode, has_reverse_mode, in_forward_mode
from .._programs.program import closed
from .._programs.varying import in_shard_map
from .._recurrence.flat import FlatRecurrence
from .._renamed import takes_old_name
from .._solvers.iterate import Loop, shift
from .._solvers.methods import DEER, QuasiDEER
from .._solvers.solution import RESULTS
from .._solvers.solver import AbstractSolver, Sequential
from .._solvers.window import Sequence, solve_windows, window_length
from .._types import Inputs
from .._values import as_count, check_count, check_kind, check_window
from .blocks import in_blocks
from .linearised import LinearisedSteps, LinearRecurrence, by_windows, from_the_end, in_turn

# run(fixed) -> (states, anything else)
Run = Callable[..., tuple[Array, PyTree]]


class AbstractAdjoint(eqx.Module):
    """How the solution is differentiated."""

    # The loop of the solver, see `Loop`: an adjoint that goes back through it says so.
    loop_kind: ClassVar[Literal["lax", "checkpointed"]] = "lax"

    @abc.abstractmethod
    def apply(
        self,
        run: Run,
        recurrence: FlatRecurrence,
        s0: Float[Array, " D"],
        xs: Inputs,
        fixed: PyTree,
    ) -> tuple[Float[Array, "T D"], PyTree]:
        """Call `run(fixed)`, with derivatives with respect to `recurrence`, `s0` and `xs`.

        **Arguments:**

        - `run`: returns the states and things that have no derivative.
        - `recurrence`: f on flat states; its arrays are the parameters.
        - `fixed`: what `run` needs. An adjoint that does not go through the iteration takes its
          derivatives to be zero: the parameters it may hold are those of `recurrence` once more,
          used to find the states, not to define them. Its last part is the solver.
        """


class AbstractImplicit(AbstractAdjoint):
    """Adjoints that differentiate the equation which the states solve."""

    @abc.abstractmethod
    def linear_recurrence(self, steps: "LinearisedSteps") -> "LinearRecurrence":
        """The recurrence of the derivatives, and how to solve it in both directions."""

    def apply(self, run, recurrence, s0, xs, fixed):
        arrays, rest = eqx.partition(fixed, eqx.is_inexact_array)
        fixed = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        return _implicit(recurrence, s0, xs, fixed, run=run, adjoint=self)


@eqx.filter_custom_jvp
def _implicit(recurrence, s0, xs, fixed, *, run, adjoint):
    del recurrence, s0, xs, adjoint
    return run(fixed)


@_implicit.def_jvp
def _implicit_jvp(primals, tangents, *, run, adjoint):
    recurrence, s0, xs, fixed = primals
    # The rule calls the function itself, so that the states have derivatives again and second
    # order is as exact as first.
    states, other = _implicit(recurrence, s0, xs, fixed, run=run, adjoint=adjoint)

    def all_steps(step, steps):
        return jax.vmap(step)(*steps)

    def from_parameters(step, s0, xs):
        return in_blocks(all_steps, step, (shift(s0, states), xs), s0.size)

    steps = LinearisedSteps(recurrence, shift(s0, states), xs)
    check_forward_mode(steps.values, steps.previous)
    with in_forward_mode():
        _, db = eqx.filter_jvp(
            from_parameters, (recurrence.step, s0, xs), (tangents[0].step, *tangents[1:3])
        )
    no_tangents = jax.tree.map(lambda _: None, other)
    if db is None:  # Nothing that is differentiated reaches the states.
        return (states, other), (None, no_tangents)
    linear = adjoint.linear_recurrence(steps)
    if has_reverse_mode(steps.values, steps.previous):
        ds = jax.lax.custom_linear_solve(
            linear.residual, db, _as_one(linear.forward), _as_one(linear.backward)
        )
    else:
        # Forward mode needs no more; in reverse mode JAX says which part of f it cannot transpose.
        ds = linear.forward(None, db)
    return (states, other), (ds, no_tangents)


def _as_one(solve: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
    """The function as one call in the program.

    JAX evaluates the parts of a linear solve again when it compiles it. Under `jax.shard_map` it
    then meets numbers that it had let vary over the mesh before, and refuses them.
    """
    return lambda _, source: jax.jit(partial(solve, None))(source)


@takes_old_name("recurrence", "linear_scan")
class ImplicitAdjoint(AbstractImplicit):
    """Exact derivatives in forward and reverse mode, of any order.

    **Arguments:**

    - `linear_scan`: how the linear recurrence of the derivatives is solved. `SequentialScan()`
      applies one step's derivative after another and takes T D memory. `AssociativeScan()` is
      parallel over a window of W steps and holds its dense Jacobians, T D + W D^2 memory. `None`
      takes the first on a CPU and the second on other platforms. `IteratedAdjoint` is parallel in
      T D memory.
    - `window`: W, or `None` for the whole sequence. `"auto"` is the length that `solve` would
      take for DEER. It does not follow the window of the solve, which may need none.

    **Raises:** `TypeError` and `ValueError` for a window that is none of these.
    """

    linear_scan: AbstractLinearScan | None = None
    window: int | Literal["auto"] | None = eqx.field(
        static=True, default="auto", converter=as_count
    )

    def __check_init__(self):
        check_window(self.window)
        check_linear_scan(self.linear_scan)

    def linear_recurrence(self, steps):
        linear_scan = linear_scan_or_default(self.linear_scan)
        if isinstance(linear_scan, SequentialScan):
            return in_turn(steps)
        length, size = steps.previous.shape
        # DEER's transitions are the same Jacobians.
        window = window_length(self.window, DEER(), length, size, steps.previous.dtype.itemsize)
        inputs = (steps.previous, steps.xs)

        def forward(_, db):
            return by_windows(linear_scan, window, steps.jacobian, inputs, db)

        def backward(_, c):
            solve = partial(by_windows, linear_scan, window, steps.transposed_jacobian)
            return from_the_end(solve, inputs, c)

        return LinearRecurrence(steps.residual, forward, backward)


class IteratedAdjoint(AbstractImplicit):
    """Exact derivatives, parallel over time and in T D memory.

    The recurrence of the derivatives is a recurrence like any other, so a solver finds it too.
    With `QuasiDEER` an iteration is one batched derivative of f, corrected by the diagonal of
    the Jacobian. The promise is that of `solve`: by default every step of the derivatives is off
    by no more than a few roundings. A tolerance of the solver is relative to the largest entry of
    what comes in. Where the solver fails, the derivatives are NaN.

    **Arguments:**

    - `solver`: any solver. In T D memory where it is undamped and has a diagonal transition.
    - `chunk`: chunks of this many steps advance side by side, as for `solve`. Derivatives are
      forgotten as fast as states are, so what suits the solve suits them.

    **Raises:** `TypeError` for what is no solver, and for a damped one with `chunk`.

    References: Gonzalez et al. 2024, section 4.1, for the diagonal; the iteration until the
    residual is met is this package's.
    """

    solver: AbstractSolver = QuasiDEER()
    chunk: int | None = eqx.field(static=True, default=None, converter=as_count)

    def __check_init__(self):
        check_kind("solver", self.solver, AbstractSolver, "a solver such as `QuasiDEER()`")
        if self.chunk is not None:
            check_count("chunk", self.chunk, 1, "None solves for single steps")
            check_joined(self.solver, self.chunk)

    def linear_recurrence(self, steps):
        # No iteration changes the diagonals. Chunks only want them where one sweep is not enough.
        known = steps.diagonals() if self.chunk is None else None
        inputs = (steps.previous, steps.xs, known)

        def diagonal(s: Array, x: Any, known: Array | None) -> Array:
            return steps.diagonal(s, x) if known is None else known

        def forward(_, db):
            return self._solve(steps.jvp, diagonal, inputs, db)

        def backward(_, c):
            return from_the_end(partial(self._solve, steps.vjp, diagonal), inputs, c)

        return LinearRecurrence(steps.residual, forward, backward)

    def _solve(self, product: Callable, diagonal: Callable, inputs: PyTree, source: Array) -> Array:
        """All w_t of w_t = product(s, x, w_{t-1}) + source_t."""
        length, size = source.shape
        scale = worst(jnp.abs(source))
        scale = jnp.where(scale > 0, scale, 1)

        def step(w, element):
            (s, x, _), source_t = element
            return product(s, x, w) + source_t

        def value_and_diag(w, element):
            return step(w, element), diagonal(*element[0])

        first = jax.tree.map(lambda leaf: leaf[0], (inputs, source))
        value = closed(step, source[0], first)
        eps = float(jnp.finfo(source.dtype).eps)
        solver = in_chunks(self.solver, self.chunk, length)
        window = window_length("auto", solver, length, size, source.dtype.itemsize)
        project = closed(lambda element: element, first)
        both = closed(value_and_diag, source[0], first)
        recurrence = FlatRecurrence(
            value, project, value, value, lambda w: w, both, None, None, eps
        )
        sequence = Sequence(
            recurrence,
            jnp.zeros_like(source[0]),
            (inputs, source / scale),
            None,
            length,
            jnp.asarray(length),
        )
        loop = Loop(solver.default_max_steps(window))
        found = solve_windows(solver, sequence, window, None, loop)
        ok = found.result == RESULTS.successful
        return jnp.where(ok, scale * found.states, jnp.nan)


@takes_old_name("recurrence", "linear_scan")
class DiagonalAdjoint(AbstractImplicit):
    """Approximate derivatives: the recurrence of the derivatives with the diagonal of J_t only.

    What quasi-DEER's authors train with. Takes one linear scan and T D memory, and leaves out
    every influence of one entry of the state on another, so it may be far off: 37 % in relative
    norm for a tanh network of three units. A complex number is two entries, its real and its
    imaginary part. For comparison, not recommended.

    **Arguments:**

    - `linear_scan`: as for `ImplicitAdjoint`.

    References: Gonzalez et al. 2024, their released code.
    """

    linear_scan: AbstractLinearScan | None = None

    def __check_init__(self):
        check_linear_scan(self.linear_scan)

    def linear_recurrence(self, steps):
        linear_scan = linear_scan_or_default(self.linear_scan)
        diagonals = steps.diagonals()

        def residual(ds):
            return ds - diagonals * shift(jnp.zeros_like(ds[0]), ds)

        def forward(_, db):
            return linear_scan(diagonals, db)

        def backward(_, c):
            # The step after the last does not exist: the recurrence never uses that entry.
            return linear_scan(jnp.roll(diagonals, -1, axis=0), c, reverse=True)

        return LinearRecurrence(residual, forward, backward)


class UnrolledAdjoint(AbstractAdjoint):
    """Derivatives of the iterations themselves, in reverse mode, first order.

    Exact up to what the unconverged iteration leaves, and slower: reverse mode goes back through
    every iteration, from checkpoints. For comparison, not recommended.
    """

    loop_kind = "checkpointed"

    def apply(self, run, recurrence, s0, xs, fixed):
        del recurrence, s0, xs
        if in_shard_map():
            raise NotImplementedError(
                "`UnrolledAdjoint` goes back through a loop that does not run within "
                "`jax.shard_map`. Pass `adjoint=ImplicitAdjoint()`, which is exact there too."
            )
        return run(fixed)


class DirectAdjoint(AbstractAdjoint):
    """The derivatives of what finds the states, which are exact where steps are taken in turn.

    The only ones that an f with a `jax.custom_vjp` has.
    """

    def apply(self, run, recurrence, s0, xs, fixed):
        del recurrence, s0, xs
        return run(fixed)


class ScannedAdjoint(AbstractAdjoint):
    """The derivatives of one step after another, as `jax.lax.scan` has them.

    They are exact, of any order and of all modes that f has, and keep what each step saves. Where
    they are asked for, the steps are taken so, however the states are found else.
    """

    def apply(self, run, recurrence, s0, xs, fixed):
        del recurrence, s0, xs
        return _scanned(fixed, run=run)


@eqx.filter_custom_jvp
def _scanned(fixed, *, run):
    return _with_axes_of(fixed, run(fixed))


@_scanned.def_jvp
def _scanned_jvp(primals, tangents, *, run):
    def by_scan(*known: PyTree) -> tuple[Array, PyTree]:
        return run((*known, Sequential()))

    (*known, _), (*changes, _) = primals[0], tangents[0]
    (states, other), (ds, _) = eqx.filter_jvp(by_scan, tuple(known), tuple(changes))
    found = _with_axes_of(primals[0], (states, other, ds))
    return found[:2], (found[2], jax.tree.map(lambda _: None, other))


def _with_axes_of(inputs: PyTree, outputs: PyTree) -> PyTree:
    """The outputs, each with the axes that `vmap` gave to any of the inputs.

    `vmap` takes a function and its rule to return the same axes. Two solvers may not: one counts
    its steps for each series, another for all.
    """
    arrays = [leaf for leaf in jax.tree.leaves(inputs) if eqx.is_array(leaf)]
    never = reduce(jnp.logical_or, [jnp.any(leaf != leaf) for leaf in arrays]) & False
    return jax.tree.map(lambda leaf: jnp.where(never, jnp.zeros_like(leaf), leaf), outputs)
