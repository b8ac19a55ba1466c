"""Exact derivatives of the solution, whatever solver found it.

The states solve s = F(θ, s), where F evaluates all steps at once: F_t = f_θ(s_{t-1}, x_t), and θ
stands for the parameters of f, the initial state and the inputs. Differentiating both sides,

    ds = ∂F/∂s ds + ∂F/∂θ dθ,   that is   (1 - ∂F/∂s) ds = ∂F/∂θ dθ,

a linear recurrence ds_t = J_t ds_{t-1} + db_t with the exact Jacobian J_t of step t. Its
transpose w_t = c_t + J_{t+1}' w_{t+1} is what reverse mode solves. No iteration is
differentiated, and an approximate Jacobian of the solver (quasi-DEER) leaves no trace.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._iterate import shift
from ._recurrence import AbstractRecurrence, SequentialScan, default_recurrence
from ._types import Inputs

# run(step, s0, xs, fixed) -> (states, anything else)
Run = Callable[..., tuple[Array, PyTree]]


class AbstractAdjoint(eqx.Module):
    """How the solution is differentiated."""

    @abc.abstractmethod
    def apply(
        self, run: Run, step: Callable, s0: Float[Array, " D"], xs: Inputs, fixed: PyTree
    ) -> tuple[Float[Array, "T D"], PyTree]:
        """Call `run(fixed)`, with derivatives with respect to `step`, `s0` and `xs`.

        **Arguments:**

        - `run`: returns the states and things that have no derivative.
        - `step`: f on flat states; its arrays are the parameters.
        - `fixed`: what `run` needs. Derivatives with respect to it are zero: the parameters it
          may hold are those of `step` once more, used to find the states, not to define them.
        """


class ImplicitAdjoint(AbstractAdjoint):
    """Exact derivatives in forward and reverse mode, of any order.

    **Arguments:**

    - `recurrence`: how the linear recurrence of the derivatives is solved. `SequentialScan()`
      applies one step's derivative after another and takes T D memory. `AssociativeScan()` is
      parallel over time and holds the T dense Jacobians, T D^2 memory. `None` takes the first on
      a CPU and the second on other platforms.
    """

    recurrence: AbstractRecurrence | None = None

    def apply(self, run, step, s0, xs, fixed):
        recurrence = default_recurrence() if self.recurrence is None else self.recurrence
        arrays, rest = eqx.partition(fixed, eqx.is_inexact_array)
        fixed = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        return _implicit(step, s0, xs, fixed, run=run, recurrence=recurrence)


@eqx.filter_custom_jvp
def _implicit(step, s0, xs, fixed, *, run, recurrence):
    del step, s0, xs, recurrence
    return run(fixed)


@_implicit.def_jvp
def _implicit_jvp(primals, tangents, *, run, recurrence):
    step, s0, xs, fixed = primals
    # The rule calls the function itself, so that the states have derivatives again and second
    # order is as exact as first.
    states, other = _implicit(step, s0, xs, fixed, run=run, recurrence=recurrence)

    def all_steps(step, s0, xs, states):
        return jax.vmap(step)(shift(s0, states), xs)

    def from_parameters(step, s0, xs):
        return all_steps(step, s0, xs, states)

    def residual_derivative(ds):
        def from_states(states):
            return all_steps(step, s0, xs, states)

        return ds - jax.jvp(from_states, (states,), (ds,))[1]

    _, db = eqx.filter_jvp(from_parameters, (step, s0, xs), tangents[:3])
    system = _LinearisedSteps(step, shift(s0, states), xs)
    solve_all = system.in_turn if isinstance(recurrence, SequentialScan) else system.at_once
    forward, backward = solve_all(recurrence)
    ds = jax.lax.custom_linear_solve(residual_derivative, db, forward, backward)
    return (states, other), (ds, jax.tree.map(lambda _: None, other))


class _LinearisedSteps(eqx.Module):
    """Both directions of the derivative recurrence, as `custom_linear_solve` calls them."""

    step: Callable
    previous: Float[Array, "T D"]
    xs: Inputs

    def in_turn(self, recurrence: Any) -> tuple[Callable, Callable]:
        """One step's JVP or VJP after another; no Jacobian is formed."""
        del recurrence

        def at(x):
            return lambda s: self.step(s, x)

        def forward(_, db):
            def body(ds, element):
                s, x, db_t = element
                ds = jax.jvp(at(x), (s,), (ds,))[1] + db_t
                return ds, ds

            return jax.lax.scan(body, jnp.zeros_like(db[0]), (self.previous, self.xs, db))[1]

        def backward(_, c):
            def body(from_later, element):
                s, x, c_t = element
                w = c_t + from_later
                (to_earlier,) = jax.vjp(at(x), s)[1](w)
                return to_earlier, w

            elements = (self.previous, self.xs, c)
            return jax.lax.scan(body, jnp.zeros_like(c[0]), elements, reverse=True)[1]

        return forward, backward

    def at_once(self, recurrence: AbstractRecurrence) -> tuple[Callable, Callable]:
        """All Jacobians, then a linear recurrence."""

        def jacobians():
            return jax.vmap(jax.jacfwd(self.step))(self.previous, self.xs)

        def forward(_, db):
            return recurrence(jacobians(), db)

        def backward(_, c):
            # The step after the last does not exist: the recurrence never uses that entry.
            later = jnp.roll(jacobians(), -1, axis=0)
            return recurrence(jnp.swapaxes(later, 1, 2), c, reverse=True)

        return forward, backward
