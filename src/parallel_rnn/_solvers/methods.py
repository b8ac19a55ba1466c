"""The named methods. Each fills in what `solver.py` leaves open: the transition and the step."""

from functools import partial
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._finite import finite_or_zero
from .._linear.kalman import filter_changes, smoother_changes
from .._linear.linear_scan import AbstractLinearScan, keep_where
from .._recurrence.transition import (
    AbstractTransition,
    Clipped,
    Dense,
    Diagonal,
    Identity,
    Scaled,
    Zero,
)
from .._renamed import takes_old_name
from .._values import check_number
from .damping import Finishing, Step, as_rule, check_damping
from .iterate import Point
from .solver import AbstractIterative

# What a damped method takes from its linear Gaussian model.
Estimate: TypeAlias = Literal["filter", "smoother"]

# Bounds on the iterations of a damped method on T steps, where none is given: this many for each
# step, and at least so many.
DAMPED_STEPS_PER_STEP = 10
LEAST_DAMPED_STEPS = 1000


def newton_step(linear_scan: AbstractLinearScan, point: Point) -> Float[Array, "T D"]:
    """The states that follow from the recurrence linearised around a point."""
    return linear_scan.newton_step(point.A, point.values, point.states, point.num_frozen)


class AbstractNewton(AbstractIterative):
    """The undamped methods. See `AbstractLinearScan.newton_step` for the formula."""

    def method(self, linear_scan, point):
        del point

        def advance(point, memory):
            return newton_step(linear_scan, point), memory

        return advance, None

    def default_max_steps(self, window):
        return window

    def numbers_per_step(self, state_size):
        return self.transition.numbers_per_step(state_size)


@takes_old_name("recurrence", "linear_scan")
class DEER(AbstractNewton):
    """Newton's method on the whole trajectory, with the dense Jacobian of every step.

    Converges quadratically near the answer and is exact after at most T iterations. One
    iteration takes T D^2 memory, and T D^3 operations with `AssociativeScan`, T D^2 with
    `SequentialScan` (beside the Jacobians themselves).

    **Arguments:**

    - `rtol`, `atol`: for stopping earlier than by default (see `solve`): a step is accepted where
      |s_t - f(s_{t-1}, x_t)| <= atol + rtol |s_t| in every component, and the errors of T steps
      add up. Where only one is given the other follows from the dtype of the state (float64:
      1e-11, 1e-12; float32: 1e-5, 1e-5; float16: 3e-3, 1e-3; bfloat16: 3e-2, 1e-2). Under `jit`,
      new Python numbers compile again and arrays do not.
    - `linear_scan`: `AssociativeScan()`, `SequentialScan()`, or `None` for what is faster on the
      platform that the computation starts on.
    - `transition`: what stands for the Jacobian. That is all in which the undamped methods
      differ, so with another one this is another method.

    **Raises:** `ValueError` for a tolerance that is negative or not finite.

    References: Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over
    the sequence length", ICLR 2024; Gonzalez, Warrington, Smith and Linderman, "Towards scalable
    and stable parallelization of nonlinear RNNs", NeurIPS 2024.
    """

    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Dense()


@takes_old_name("recurrence", "linear_scan")
class QuasiDEER(AbstractNewton):
    """Newton's method with only the diagonal of every Jacobian.

    Has the same answer as `DEER`, at T D memory and operations an iteration. Converges linearly:
    fast where the diagonal dominates the Jacobian, and after at most T iterations in any case.

    **Arguments:** as for `DEER`, and

    - `transition`: what stands for the Jacobian. `Diagonal()`; `BlockDiagonal(b)` for b numbers
      that depend closely on each other, such as c and h of an LSTM; `StochasticDiagonal()` for
      an `f` without closed form and a large D.

    References: Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable
    parallelization of nonlinear RNNs", NeurIPS 2024, section 4.1.
    """

    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Diagonal()


@takes_old_name("recurrence", "linear_scan")
class Jacobi(AbstractNewton):
    """Every step anew from the states before it: s_t = f(y_{t-1}, x_t), no Jacobian.

    An iteration costs one evaluation of all steps. It carries information one step on, so the
    iteration count is the number of steps after which an influence has died away, at most T.

    **Arguments:** as for `DEER`.

    References: Song, Meng, Liao and Ermon, "Accelerating feedforward computation via parallel
    nonlinear equation solving", ICML 2021.
    """

    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Zero()


@takes_old_name("recurrence", "linear_scan")
class Picard(AbstractNewton):
    """Fixed-point iteration on the sum of all increments.

    s_t = s_{t-1} + f(y_{t-1}, x_t) - y_{t-1}, where y are the present states. Suits a
    discretised differential equation with a small step, whose Jacobian is close to 1. Is exact
    after at most T iterations, and may pass through very large states before.

    **Arguments:** as for `DEER`.

    References: Shih, Belkhale, Ermon, Sadigh and Anari, "Parallel sampling of diffusion models",
    NeurIPS 2023; Gonzalez et al. 2024, table 1.
    """

    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Identity()


@takes_old_name("recurrence", "linear_scan")
class ScaleELK(AbstractNewton):
    """Newton's method with the Jacobian times 1 - k: the constant form of ELK's damping.

    k = 0 is DEER, k = 1 is Jacobi. Is exact after at most T iterations.

    **Arguments:** as for `DEER`, and

    - `k`: between 0 and 1. Under `jit` an array does not compile again.
    - `transition`: what is scaled, `Dense()` or `Diagonal()`.

    **Raises:** `ValueError` for a `k` outside 0 to 1.

    References: Gonzalez et al. 2024, appendix on scale-ELK.
    """

    rtol: Any
    atol: Any
    linear_scan: AbstractLinearScan | None
    transition: AbstractTransition

    def __init__(
        self,
        k: Any,
        rtol: Any = None,
        atol: Any = None,
        linear_scan: AbstractLinearScan | None = None,
        transition: AbstractTransition = Dense(),
    ):
        check_number("k", k, 0, 1)
        self.rtol, self.atol, self.linear_scan = rtol, atol, linear_scan
        self.transition = Scaled(transition, 1 - k)


@takes_old_name("recurrence", "linear_scan")
class ClipELK(AbstractNewton):
    """Newton's method with the diagonal of the Jacobian cut off at ±1, so that no change grows.

    Is exact after at most T iterations.

    **Arguments:** as for `DEER`.

    References: Gonzalez et al. 2024, appendix on clip-ELK.
    """

    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Clipped()


class _HasDamping(eqx.Module):
    """A base of its own, so that these come first among the arguments, also for type checkers."""

    damping: eqx.AbstractVar[Any]
    estimate: eqx.AbstractVar[Estimate]


class AbstractDamped(AbstractIterative, _HasDamping):
    """The damped methods. See `_linear/kalman.py` for the formulas."""

    def __check_init__(self):
        check_damping(self.damping)
        if self.estimate not in ("filter", "smoother"):
            raise ValueError(f'`estimate` is {self.estimate!r}; it must be "filter" or "smoother".')

    def method(self, linear_scan, point):
        rule, step = as_rule(self.damping), self._step(linear_scan)
        # A tolerance is met where the residual is small; the default asks for the states.
        if not self.has_tolerance():
            rule = Finishing(rule, partial(newton_step, linear_scan))

        def advance(point, memory):
            return rule.advance(step, point, memory)

        return advance, rule.start(point)

    def _step(self, linear_scan: AbstractLinearScan) -> Step:
        def step(point, damping):
            # What is frozen is not part of the problem: the estimate starts behind it, as it
            # starts behind s_0. A step that is not finite says nothing.
            t = jnp.arange(len(point.states))
            A = finite_or_zero(keep_where(t > point.num_frozen, point.A))
            residuals = keep_where(t >= point.num_frozen, point.values - point.states)
            residuals = finite_or_zero(residuals)
            if self.estimate == "smoother":
                changes = smoother_changes(linear_scan, A, residuals, damping)
            else:
                changes = filter_changes(linear_scan, A, residuals, damping).changes
            return keep_where(t >= point.num_frozen, changes)

        return step

    def default_max_steps(self, window):
        return max(LEAST_DAMPED_STEPS, DAMPED_STEPS_PER_STEP * window)

    def numbers_per_step(self, state_size):
        # The covariances are as large as the transitions.
        return 2 * self.transition.numbers_per_step(state_size)


@takes_old_name("recurrence", "linear_scan")
class ELK(AbstractDamped):
    """DEER with damping: the new states are held near the present ones by a Kalman filter.

    For recurrences that are not contractive DEER's iterates can leave all bounds. The damping
    λ keeps them in reach: 0 is DEER, a large λ barely moves. One iteration takes T D^2 memory
    and T D^3 operations.

    **Arguments:**

    - `damping`: λ >= 0, the variance of the process noise over that of the observations (1/σ^2
      in the reference): a number, an array with one for each entry of the flattened state, or a
      rule such as `AdaptiveDamping()`. Under `jit`, new arrays do not compile again.
    - `estimate`: `"filter"` takes the filtered mean, as the authors' code does; `"smoother"`
      takes the smoothed mean, the exact Levenberg-Marquardt step. Both have the true trajectory
      as their fixed point, and the better one depends on the problem.
    - `rtol`, `atol`, `linear_scan`: as for `DEER`. Without a tolerance undamped steps finish what
      damping holds back; they are kept only while they bring the residual down.

    With λ > 0 no number of iterations is certain to be enough; `max_steps=None` allows 10 T, at
    least 1000.

    **Raises:** `ValueError` for an unknown estimate or a damping that is negative or not finite.

    References: Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable
    parallelization of nonlinear RNNs", NeurIPS 2024, section 4.2; Särkkä and García-Fernández,
    "Temporal parallelization of Bayesian smoothers", IEEE Transactions on Automatic Control
    66(1), 2021; Särkkä and Svensson, "Levenberg-Marquardt and line-search extended Kalman
    smoothers", ICASSP 2020.
    """

    damping: Any = 1e-3
    estimate: Estimate = eqx.field(static=True, default="filter")
    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Dense()


@takes_old_name("recurrence", "linear_scan")
class QuasiELK(AbstractDamped):
    """Quasi-DEER with damping: D scalar Kalman filters, T D memory and operations.

    The smoother is D tridiagonal systems.

    **Arguments:** as for `ELK`; `transition` as for `QuasiDEER`.

    **Raises:** `ValueError` for an unknown estimate or a damping that is negative or not finite.

    References: Gonzalez et al. 2024, section 4.3.
    """

    damping: Any = 1e-1
    estimate: Estimate = eqx.field(static=True, default="filter")
    rtol: Any = None
    atol: Any = None
    linear_scan: AbstractLinearScan | None = None
    transition: AbstractTransition = Diagonal()
