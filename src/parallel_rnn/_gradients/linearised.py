"""The recurrence of the derivatives, and the direct ways to solve it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._linear.linear_scan import AbstractLinearScan
from .._linear.matrices import structure_of
from .._programs.program import closed
from .._programs.varying import axes_of, varying_over
from .._recurrence.flat import FlatRecurrence
from .._recurrence.transition import Diagonal
from .._solvers.iterate import shift
from .._solvers.window import step_at, steps_from
from .._types import Inputs

# So many steps are prepared at once before they are taken one after another. What is prepared stays
# in the cache until then.
BLOCK = 1024


class LinearRecurrence(NamedTuple):
    """A linear recurrence of the derivatives, as `jax.lax.custom_linear_solve` takes it.

    - `residual`: ds -> ds_t - J_t ds_{t-1}.
    - `forward`: (ignored, db) -> ds, of which the residual is db.
    - `backward`: (ignored, c) -> w, the same for the transpose.
    """

    residual: Callable[[Array], Array]
    forward: Callable[[Any, Array], Array]
    backward: Callable[[Any, Array], Array]


class LinearisedSteps(eqx.Module):
    """The steps of the solution, with products with their exact Jacobians J_t."""

    recurrence: FlatRecurrence
    previous: Float[Array, "T D"]
    xs: Inputs

    def jvp(self, s: Array, x: Any, ds: Array) -> Array:
        """J ds at one step."""
        return jax.jvp(lambda s: self.recurrence.step(s, x), (s,), (ds,))[1]

    def vjp(self, s: Array, x: Any, w: Array) -> Array:
        """J' w at one step."""
        return jax.vjp(lambda s: self.recurrence.step(s, x), s)[1](w)[0]

    def pullbacks(
        self, previous: Float[Array, "W D"], xs: Inputs
    ) -> tuple[PyTree, Callable[[PyTree, Array], Array]]:
        """What each of these steps has of its own, and the function (own, w) -> J' w.

        All of f that does not see w is computed here, for all steps at once.
        """

        def pullback(s: Array, x: Any) -> Callable:
            return jax.vjp(lambda s: self.recurrence.step(s, x), s)[1]

        program = closed(pullback, *jax.tree.map(lambda leaf: leaf[0], (previous, xs)))
        if program.has_explicit_axes():  # What it saves has no place outside of f.
            return (previous, xs), lambda own, w: self.vjp(own[0], own[1], w)
        is_own = program.depends()
        axes = jax.tree.map(lambda own: 0 if own else None, is_own)
        own, common = eqx.partition(jax.vmap(program, out_axes=axes)(previous, xs), is_own)
        return own, lambda own, w: eqx.combine(own, common)(w)[0]

    def values(self, previous: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """f of all steps, from other states before them."""
        return jax.vmap(self.recurrence.step)(previous, self.xs)

    def residual(self, ds: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """ds_t - J_t ds_{t-1} for all t."""
        before = shift(jnp.zeros_like(ds[0]), ds)
        # Not `vmap` of `jvp`: that puts a `stop_gradient`, which JAX cannot transpose, on the
        # tangents of a `lax.cond`.
        return ds - jax.jvp(self.values, (self.previous,), (before,))[1]

    def jacobian(self, s: Array, x: Any) -> Array:
        """J at one step."""
        return jax.jacfwd(self.recurrence.step)(s, x)

    def transposed_jacobian(self, s: Array, x: Any) -> Array:
        """J' at one step."""
        return self.jacobian(s, x).T

    def diagonals(self) -> Float[Array, "T D"]:
        """The diagonals of J_t for all t, in memory in proportion to T D."""
        inputs = self.recurrence.project_all(self.xs, len(self.previous))
        zero = jnp.zeros((), int)
        return Diagonal().linearise(self.recurrence, self.previous, inputs, zero)[1]

    def diagonal(self, s: Array, x: Any) -> Array:
        """That of one step."""
        one = jax.tree.map(lambda leaf: leaf[None], (s, x))
        return LinearisedSteps(self.recurrence, *one).diagonals()[0]


def in_turn(steps: LinearisedSteps) -> LinearRecurrence:
    """One step's JVP or VJP after another; no Jacobian is formed.

    From the end, all that does not see w is computed for a block of steps at once. What they save
    stays in the cache.
    """

    def forward(_, db):
        def body(ds, element):
            s, x, db_t = element
            ds = steps.jvp(s, x, ds) + db_t
            return ds, ds

        return jax.lax.scan(body, jnp.zeros_like(db[0]), (steps.previous, steps.xs, db))[1]

    def backward(_, c):
        length = len(c)
        size = min(BLOCK, length)

        def take(number: Int[Array, ""], w: Float[Array, "T D"]) -> Float[Array, "T D"]:
            # The last block, that of the first steps, reaches over steps that are taken already.
            start = jnp.maximum(length - (number + 1) * size, 0)
            end = start + size
            after = step_at((steps.previous, steps.xs, w), jnp.minimum(end, length - 1))
            from_later = jnp.where(end < length, steps.vjp(*after), 0)
            block, c_block = steps_from(((steps.previous, steps.xs), c), start, size)
            new = _in_turn_from_the_end(steps.pullbacks(*block), c_block, from_later)
            return jax.lax.dynamic_update_slice_in_dim(w, new, start, 0)

        w = varying_over(axes_of((steps, c)), jnp.zeros_like(c))
        return jax.lax.fori_loop(0, math.ceil(length / size), take, w)

    return LinearRecurrence(steps.residual, forward, backward)


def _in_turn_from_the_end(
    pullbacks: tuple[PyTree, Callable[[PyTree, Array], Array]],
    c: Float[Array, "W D"],
    from_later: Float[Array, " D"],
) -> Float[Array, "W D"]:
    """All w_t = c_t + J_{t+1}' w_{t+1}, with the pullbacks of the steps."""
    own, pull = pullbacks

    def body(from_later: Array, element: tuple[PyTree, Array]) -> tuple[Array, Array]:
        own_t, c_t = element
        w = c_t + from_later
        return pull(own_t, w), w

    return jax.lax.scan(body, from_later, (own, c), reverse=True)[1]


def from_the_end(
    solve: Callable[[PyTree, Array], Array], inputs: PyTree, c: Float[Array, "T D"]
) -> Float[Array, "T D"]:
    """All w_t of the transpose w_t = c_t + J_{t+1}' w_{t+1}, by a solver that runs forwards.

    Read from its end it is a recurrence like the others, with the inputs of step t + 1. The step
    after the last does not exist, and w starts from 0, so any entry will do there.
    """
    later = jax.tree.map(lambda leaf: jnp.flip(jnp.roll(leaf, -1, axis=0), axis=0), inputs)
    return jnp.flip(solve(later, jnp.flip(c, axis=0)), axis=0)


def by_windows(
    linear_scan: AbstractLinearScan,
    window: int,
    matrix: Callable[..., Array],
    inputs: PyTree,
    source: Float[Array, "T D"],
) -> Float[Array, "T D"]:
    """All w_t of w_t = A_t w_{t-1} + source_t, with A_t = matrix(*inputs_t).

    Only the A_t of one window are held at a time. The last window reaches back over steps that
    are already solved when T is no multiple of the window.
    """
    matrices = jax.vmap(matrix)
    length = len(source)
    if window == length:
        return linear_scan(matrices(*inputs), source)

    def turn(so_far: Array, index: Array) -> tuple[Array, None]:
        start = jnp.minimum(index * window, length - window)
        now, b = steps_from((inputs, source), start, window)
        A = matrices(*now)
        arriving = structure_of(A, b).apply(A[0], so_far[jnp.maximum(start - 1, 0)])
        # Nothing arrives at the first step, whose matrix need not be finite.
        b = b.at[0].add(jnp.where(start == 0, 0, arriving))
        return jax.lax.dynamic_update_slice_in_dim(so_far, linear_scan(A, b), start, 0), None

    turns = jnp.arange(math.ceil(length / window))
    return jax.lax.scan(turn, jnp.zeros_like(source), turns)[0]
