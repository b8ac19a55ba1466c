"""How strongly a damped step holds the states near the present ones, and how that adapts."""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._finite import finite_or_zero, worst
from .._linear.linear_scan import keep_where
from .._linear.matrices import structure_of
from .._right.rounding import LEAST_GAIN, NEAR, ROUNDINGS
from .._values import check_number
from .iterate import Point, shift

# step(point, damping (D,)) -> changes (T, D)
Step: TypeAlias = Callable[[Point, Array], Array]

# An undamped step is tried where damped ones have not brought the residual down for this many
# iterations, or where it is within so many times of what is accepted.
PATIENCE = 8
CLOSE = NEAR / ROUNDINGS

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

    **Raises:** `ValueError` for an `initial` that is 0 everywhere, negative numbers, and a
    `largest` below `smallest`.

    References: Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, Technical
    University of Denmark; Madsen, Nielsen and Tingleff, "Methods for non-linear least squares
    problems", 2004.
    """

    initial: Any = 1e-2
    smallest: Any = 1e-12
    largest: Any = 1e3

    def __check_init__(self):
        check_number("initial", self.initial, 0)
        check_number("smallest", self.smallest, 0)
        check_number("largest", self.largest, self.smallest)
        if not isinstance(self.initial, Tracer) and not np.any(np.asarray(self.initial)):
            raise ValueError(
                f"`initial` is {self.initial}; it must be positive, because it is multiplied by "
                "factors, so that 0 would stay 0."
            )

    def start(self, point):
        dtype = point.states.dtype
        infinite = jnp.asarray(jnp.inf, dtype)
        one = jnp.ones((), dtype)
        return _Trial(point, cost=infinite, expected=one, factor=one, growth=2 * one)

    def advance(self, step, point, memory):
        dtype = point.states.dtype
        initial = _per_entry(self.initial, point.states)
        most = worst(initial)
        smallest, largest = (jnp.asarray(bound, dtype) for bound in (self.smallest, self.largest))
        first = ~jnp.isfinite(memory.cost)

        # Falls below the rounding of the cost are no evidence. If one was promised, the ratio is 1
        # and λ shrinks until steps matter again.
        noise = ROUNDINGS_OF_COST * jnp.finfo(dtype).eps * jnp.where(first, 0, memory.cost)
        fall = memory.cost - _cost(point) + noise
        ratio = fall / jnp.maximum(memory.expected + noise, jnp.finfo(dtype).tiny)
        accepted = first | (fall > 0) | (memory.factor * most >= largest)

        shrink = jnp.maximum(1 / 3, 1 - (2 * jnp.clip(ratio, 0, 1) - 1) ** 3)
        factor = memory.factor * jnp.where(accepted, jnp.where(first, 1, shrink), memory.growth)
        growth = jnp.where(accepted, 2, 2 * memory.growth).astype(dtype)
        bounded = jnp.clip(factor * most, smallest, largest)
        factor = bounded / most

        start = _merge(accepted, point, memory.point)
        cost = _cost(start)
        changes = finite_or_zero(step(start, factor * initial))
        expected = cost - _linearised_cost(start, changes)
        return start.states + changes, _Trial(start, cost, expected, factor, growth)


class _Finish(eqx.Module):
    """What `Finishing` remembers.

    - `inner`: what the other rule remembers.
    - `states`: those that the last step was taken from.
    - `sizes`, `excess`: the largest of each component of the states before the last trial began,
      and the largest residual in these.
    - `trying`: whether that step was an undamped one.
    - `best`, `age`: the smallest residual so far, and how many iterations ago it was.
    - `wait`, `pause`: iterations after a failed trial before the next, and how many are left.
    """

    inner: PyTree
    states: Float[Array, "T D"]
    sizes: Float[Array, " D"]
    excess: Float[Array, ""]
    trying: Bool[Array, ""]
    best: Float[Array, ""]
    age: Int[Array, ""]
    wait: Int[Array, ""]
    pause: Int[Array, ""]


class Finishing(AbstractDamping):
    """Another rule, with undamped steps where its own no longer bring anything.

    Damping holds back what it should let through where states are slow: a change then reaches
    1/√λ steps in an iteration, and of 100,000 steps that are off by one rounding each all may have
    to move. An undamped step corrects them at once. Elsewhere it can throw the iterate away, so it
    is a trial: kept while the residual falls, else the states before it come back (but for those
    that are frozen), and the next trial waits twice as long.

    **Arguments:**

    - `rule`: the other rule.
    - `newton`: the undamped step, from a point to the next states.
    """

    rule: AbstractDamping
    newton: Callable[[Point], Array]

    def start(self, point):
        no, none, some = jnp.asarray(False), jnp.zeros((), int), jnp.asarray(PATIENCE)
        infinite = jnp.full_like(point.residual, jnp.inf)
        sizes, nothing = jnp.zeros_like(point.states[0]), jnp.zeros_like(point.states[0, 0])
        inner = self.rule.start(point)
        return _Finish(inner, point.states, sizes, nothing, no, infinite, none, some, none)

    def advance(self, step, point, memory):
        # A trial that throws the states far away must not be measured by what they are there.
        succeeded = memory.trying & (_excess(point, memory.sizes) < memory.excess)
        failed = memory.trying & ~succeeded
        sizes = worst(jnp.abs(point.states), axis=0)
        sizes = jnp.where(memory.trying, memory.sizes, sizes)

        gained = point.residual < LEAST_GAIN * memory.best
        age = jnp.where(gained, 0, memory.age + 1)
        due = ((age >= PATIENCE) | (point.residual <= CLOSE)) & (memory.pause == 0)
        trying = succeeded | (due & ~failed)

        states, inner = jax.lax.cond(
            trying,
            lambda: (self.newton(point), memory.inner),
            lambda: self.rule.advance(step, point, memory.inner),
        )
        following = _Finish(
            inner=inner,
            states=point.states,
            sizes=sizes,
            excess=_excess(point, sizes),
            trying=trying,
            best=jnp.where(gained, point.residual, memory.best),
            age=age,
            wait=jnp.where(failed, 2 * memory.wait, memory.wait),
            pause=jnp.where(failed, memory.wait, jnp.maximum(memory.pause - 1, 0)),
        )
        frozen = jnp.arange(len(states)) < point.num_frozen
        before = keep_where(frozen, point.states, memory.states)
        return jnp.where(failed, before, states), following


def _excess(point: Point, sizes: Float[Array, " D"]) -> Float[Array, ""]:
    """The largest residual, relative to these sizes of the components."""
    residuals = jnp.abs(point.values - point.states)
    return worst(jnp.where(residuals == 0, 0, residuals / sizes[None]))


def as_rule(damping: Any) -> AbstractDamping:
    """A number or an array is a fixed damping."""
    return damping if isinstance(damping, AbstractDamping) else FixedDamping(damping)


def check_damping(damping: Any) -> None:
    """Refuse what is neither a rule nor a number that is at least 0."""
    if not isinstance(damping, AbstractDamping):
        check_number("damping", damping, 0)


def _per_entry(damping: Any, states: Float[Array, "T D"]) -> Float[Array, " D"]:
    if jnp.shape(damping) not in ((), states.shape[1:]):
        raise ValueError(
            f"`damping` has the shape {jnp.shape(damping)}, but a state has {states.shape[1]} "
            "numbers: pass one number, or one for each of them in the order of the flattened state."
        )
    return jnp.broadcast_to(jnp.asarray(damping, states.dtype), states.shape[1:])


def _merge(accepted: Array, proposed: Point, last: Point) -> Point:
    """The proposal, or of it only what is frozen and the linearisation there."""
    frozen = proposed.num_frozen
    t = jnp.arange(len(proposed.states))

    # The step behind the frozen states starts from a frozen one.
    known_state, known_step = accepted | (t < frozen), accepted | (t <= frozen)
    return Point(
        states=keep_where(known_state, proposed.states, last.states),
        values=keep_where(known_step, proposed.values, last.values),
        A=keep_where(known_step, proposed.A, last.A),
        num_frozen=frozen,
        residual=proposed.residual,
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
