"""Linear scans: ways to solve a linear recurrence for all steps.

The transitions A_t are dense, diagonal, or block-diagonal (see `matrices.py`).
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._finite import finite_or_zero
from .._types import Jacobians
from .._values import check_kind
from .matrices import structure_of


class AbstractLinearScan(eqx.Module):
    """A way to solve a linear recurrence."""

    @abc.abstractmethod
    def __call__(
        self, A: Jacobians, b: Float[Array, "T D"], reverse: bool = False
    ) -> Float[Array, "T D"]:
        """Return all s_t of s_t = A_t s_{t-1} + b_t, with s = 0 before the first.

        With `reverse` it runs from the end: s_t = A_t s_{t+1} + b_t.
        """

    @abc.abstractmethod
    def sums(self, b: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """The sums b_1 + ... + b_t: the recurrence with A = 1."""

    @abc.abstractmethod
    def newton_step(
        self,
        A: Jacobians,
        values: Float[Array, "T D"],
        states: Float[Array, "T D"],
        num_frozen: Int[Array, ""],
    ) -> Float[Array, "T D"]:
        """Return the next iterate of Newton's method.

        With y the current states and v_t = f(y_{t-1}, x_t) the values, the recurrence
        linearised around y is s_t = v_t + A_t (s_{t-1} - y_{t-1}) (Lim et al. 2024, eq. 3 to
        5). The changes d_t = s_t - y_t follow d_t = A_t d_{t-1} + (v_t - y_t).

        The first `num_frozen` states are right, and so is the value of the step behind them,
        being f of a right state. The recurrence begins there. So products of Jacobians, which
        may overflow, start behind what is right, and every iteration verifies at least one more
        step in floating point as on paper: T iterations are always enough. States that overflow
        far from the answer start again from 0.
        """


class SequentialScan(AbstractLinearScan):
    """One step after another by `jax.lax.scan`.

    Takes T D (diagonal), T b D (blocks of size b) or T D^2 (dense) operations.
    The fastest way on a CPU, where it reads A once at about memory bandwidth.
    """

    def __call__(self, A, b, reverse=False):
        matrices = structure_of(A, b)

        def step(s, element):
            A_t, b_t = element
            s = matrices.apply(A_t, s) + b_t
            return s, s

        return jax.lax.scan(step, jnp.zeros_like(b[0]), (A, b), reverse=reverse)[1]

    def sums(self, b):
        def step(s, b_t):
            return s + b_t, s + b_t

        return jax.lax.scan(step, jnp.zeros_like(b[0]), b)[1]

    def newton_step(self, A, values, states, num_frozen):
        matrices = structure_of(A, states)

        # All in one pass over the arrays: a CPU spends its time on reading them. The change goes on
        # unrounded by the state: 100,000 roundings of a slow state are a drift that stays.
        def step(change, element):
            t, A_t, value, state = element
            moved = jnp.where(t > num_frozen, matrices.apply(A_t, change), 0)
            change = jnp.where(t < num_frozen, 0, moved + (value - state))
            return change, finite_or_zero(_nearer_sum(value, moved, state, change))

        elements = (jnp.arange(len(states)), A, values, states)
        return jax.lax.scan(step, jnp.zeros_like(states[0]), elements)[1]


class AssociativeScan(AbstractLinearScan):
    """All steps in about 2 log2(T) parallel rounds by `jax.lax.associative_scan` (Blelloch 1990).

    The affine maps s -> A s + b of neighbouring steps are composed pairwise: D (diagonal),
    b^2 D (blocks of size b) or D^3 (dense) operations a composition. The way for a GPU.
    """

    def __call__(self, A, b, reverse=False):
        matrices = structure_of(A, b)

        # (A2, b2) after (A1, b1) is the map s -> A2 (A1 s + b1) + b2.
        def after(first, second):
            (A1, b1), (A2, b2) = first, second
            return matrices.multiply(A2, A1), matrices.apply(A2, b1) + b2

        return jax.lax.associative_scan(after, (A, b), reverse=reverse)[1]

    def sums(self, b):
        return jnp.cumsum(b, axis=0)

    def newton_step(self, A, values, states, num_frozen):
        t = jnp.arange(len(states))
        # Without the zeros a product may overflow, and 0 x inf would spoil what is right.
        A = keep_where(t > num_frozen, A)
        change = self(A, jnp.where(t[:, None] < num_frozen, 0, values - states))
        before = jnp.concatenate([jnp.zeros_like(change[:1]), change[:-1]])
        moved = structure_of(A, states).apply(A, before)
        return finite_or_zero(_nearer_sum(values, moved, states, change))


def _nearer_sum(value: Array, moved: Array, state: Array, change: Array) -> Array:
    """value + moved, which is state + change, by the sum whose second part is the smaller.

    It rounds the less. After a reset the state may be far larger than what follows from it.
    """
    near = jnp.abs(moved) < jnp.abs(change)
    return jnp.where(near, value + moved, state + change)


def keep_where(keep: Bool[Array, " T"], A: Array, otherwise: Array | int = 0) -> Array:
    """`A` where `keep` is true, and `otherwise` at all other steps."""
    return jnp.where(jnp.reshape(keep, (-1,) + (1,) * (A.ndim - 1)), A, otherwise)


def platform() -> str:
    """The platform that a computation started now would run on: "cpu", "gpu" or "tpu"."""
    device = jax.config.jax_default_device
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def linear_scan_or_default(linear_scan: AbstractLinearScan | None = None) -> AbstractLinearScan:
    """The linear scan that was asked for; for `None` the faster one of this platform."""
    if linear_scan is not None:
        return linear_scan
    return SequentialScan() if platform() == "cpu" else AssociativeScan()


def check_linear_scan(linear_scan: Any) -> None:
    """Refuse what is no linear scan, such as the class of one."""
    if linear_scan is not None:
        examples = "`AssociativeScan()`, `SequentialScan()` or None"
        check_kind("linear_scan", linear_scan, AbstractLinearScan, examples)
