"""How strongly a damped step holds the states near the present ones, and how that adapts."""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._iterate import Point, shift
from ._matrices import structure_of
from ._recurrence import finite_or_zero, keep_where

# step(point, damping (D,)) -> changes (T, D)
Step: TypeAlias = Callable[[Point, Array], Array]

# The cost is a long sum, known to about so many roundings.
ROUNDINGS_OF_COST = 100


class AbstractDamping(eqx.Module):
    """A rule that chooses λ in every iteration."""

    @abc.abstractmethod
    def start(self, point: Point) -> PyTree:
        """What the rule remembers before the first iteration; `point` gives shapes."""

    @abc.abstractmethod
    def advance(self, step: Step, point: Point, memory: PyTree) -> tuple[Array, PyTree]:
        """Return the next states and what to remember.

        **Arguments:**

        - `step`: returns the changes (T, D) of a damped step from a point, for λ (D,).
        - `point`: the present states and what is known around them.
        - `memory`: from the iteration before.
        """


class FixedDamping(AbstractDamping):
    """The same λ in every iteration: a number, or one for each of the D entries of a state."""

    value: Any

    def start(self, point):
        del point

    def advance(self, step, point, memory):
        changes = step(point, _per_entry(self.value, point.states))
        return finite_or_zero(point.states + changes), memory


class _Trial(eqx.Module):
    """The last accepted point, and what the step from it was expected to bring."""

    point: Point
    cost: Float[Array, ""]
    expected: Float[Array, ""]
    factor: Float[Array, ""]
    growth: Float[Array, ""]


class AdaptiveDamping(AbstractDamping):
    """Levenberg-Marquardt's damping by the gain ratio, with steps accepted or rejected.

    The cost is C(s) = 1/2 sum_t |s_t - f(s_{t-1}, x_t)|^2. An iteration evaluates f at the
    states that the last step proposed, which shows how much the cost fell. The gain ratio ρ
    divides that by the fall which the linearised recurrence promised. If ρ > 0 the proposal is
    accepted and λ is multiplied by max(1/3, 1 - (2ρ - 1)^3). Otherwise the next step starts
    from the last accepted states again, with a λ that grows by 2, 4, 8, ... for every rejection
    in a row (Nielsen 1999; Madsen, Nielsen and Tingleff 2004, section 3.2).

    States that are verified are kept also when a proposal is rejected, and at `largest` every
    proposal is accepted.

    The theory is that of the smoother (`estimate="smoother"`), whose step always promises a
    smaller cost. With the filter the rule is a heuristic. On a chaotic recurrence and a long
    window neither gets far: trajectories that fit every step but the first are nearly minima of
    the cost, and the rule stays in one. Take a shorter window there, or a fixed λ.

    **Arguments:**

    - `initial`: λ of the first iteration, a number or one for each entry of the state.
    - `smallest`, `largest`: bounds on λ.

    References: Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, Technical
    University of Denmark; Madsen, Nielsen and Tingleff, "Methods for non-linear least squares
    problems", 2004.
    """

    initial: Any = 1e-2
    smallest: Any = 1e-12
    largest: Any = 1e3

    def start(self, point):
        dtype = point.states.dtype
        infinite = jnp.asarray(jnp.inf, dtype)
        one = jnp.ones((), dtype)
        return _Trial(point, cost=infinite, expected=one, factor=one, growth=2 * one)

    def advance(self, step, point, memory):
        dtype = point.states.dtype
        initial = _per_entry(self.initial, point.states)
        smallest, largest = (jnp.asarray(bound, dtype) for bound in (self.smallest, self.largest))
        first = ~jnp.isfinite(memory.cost)

        # Falls below the rounding of the cost are no evidence. If one was promised, the ratio is 1
        # and λ shrinks until steps matter again.
        noise = ROUNDINGS_OF_COST * jnp.finfo(dtype).eps * jnp.where(first, 0, memory.cost)
        fall = memory.cost - _cost(point) + noise
        ratio = fall / jnp.maximum(memory.expected + noise, jnp.finfo(dtype).tiny)
        accepted = first | (fall > 0) | (memory.factor * jnp.max(initial) >= largest)

        shrink = jnp.maximum(1 / 3, 1 - (2 * jnp.clip(ratio, 0, 1) - 1) ** 3)
        factor = memory.factor * jnp.where(accepted, jnp.where(first, 1, shrink), memory.growth)
        growth = jnp.where(accepted, 2, 2 * memory.growth).astype(dtype)
        bounded = jnp.clip(factor * jnp.max(initial), smallest, largest)
        factor = bounded / jnp.max(initial)

        start = _merge(accepted, point, memory.point)
        cost = _cost(start)
        changes = finite_or_zero(step(start, factor * initial))
        expected = cost - _linearised_cost(start, changes)
        return start.states + changes, _Trial(start, cost, expected, factor, growth)


def as_rule(damping: Any) -> AbstractDamping:
    """A number or an array is a fixed damping."""
    return damping if isinstance(damping, AbstractDamping) else FixedDamping(damping)


def _per_entry(damping: Any, states: Float[Array, "T D"]) -> Float[Array, " D"]:
    return jnp.broadcast_to(jnp.asarray(damping, states.dtype), states.shape[1:])


def _merge(accepted: Array, proposed: Point, last: Point) -> Point:
    """The proposal, or of it only what is verified and the linearisation there."""
    verified = proposed.num_verified
    t = jnp.arange(len(proposed.states))

    # The step behind the verified states starts from a verified one.
    known_state, known_step = accepted | (t < verified), accepted | (t <= verified)
    return Point(
        states=keep_where(known_state, proposed.states, last.states),
        values=keep_where(known_step, proposed.values, last.values),
        A=keep_where(known_step, proposed.A, last.A),
        num_verified=verified,
    )


def _cost(point: Point) -> Float[Array, ""]:
    """C(s), infinite if any residual is not finite."""
    cost = jnp.sum((point.states - point.values) ** 2) / 2
    return jnp.where(jnp.isfinite(cost), cost, jnp.inf)


def _linearised_cost(point: Point, changes: Float[Array, "T D"]) -> Float[Array, ""]:
    """C(s + d) as the linearised recurrence predicts it: 1/2 sum_t |d_t - A_t d_{t-1} - r_t|^2."""
    before = shift(jnp.zeros_like(changes[0]), changes)
    moved = structure_of(point.A, changes).apply(point.A, before)
    residual = changes - moved - (point.values - point.states)
    return jnp.sum(residual**2) / 2
