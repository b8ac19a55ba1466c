"""Linear recurrences s_t = A_t s_{t-1} + b_t, solved for all t.

A_t is dense, (T, D, D), or diagonal, (T, D). The recurrence starts from zero.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._types import Jacobians

# float32 products run in reduced precision on recent GPUs unless told otherwise, and a scan
# multiplies up to T of them.
HIGHEST = jax.lax.Precision.HIGHEST


def apply(A: Array, s: Array) -> Array:
    """A s, for one step or many; A is dense if it has one axis more than s."""
    if A.ndim == s.ndim:
        return A * s
    return jnp.einsum("...ij,...j->...i", A, s, precision=HIGHEST)


def compose(A: Array, B: Array, dense: bool) -> Array:
    """The product A B of transitions, for one step or many."""
    if dense:
        return jnp.matmul(A, B, precision=HIGHEST)
    return A * B


class AbstractRecurrence(eqx.Module):
    """A way to solve a linear recurrence."""

    @abc.abstractmethod
    def __call__(
        self,
        A: Jacobians,
        b: Float[Array, "T D"],
        begin: Int[Array, ""] | int = 0,
        reverse: bool = False,
    ) -> Float[Array, "T D"]:
        """Return all s_t of s_t = A_t s_{t-1} + b_t with s = 0 before the first.

        **Arguments:**

        - `begin`: A_t counts as zero for t <= begin (t from 0), whatever it holds, NaN included:
          s_t = b_t there.
        - `reverse`: run from the end, s_t = A_t s_{t+1} + b_t; goes with `begin=0` only.
        """


class SequentialScan(AbstractRecurrence):
    """One step after another by `jax.lax.scan`: T D (diagonal) or T D^2 (dense) operations.

    The fastest way on a CPU, where it reads A once at about memory bandwidth.
    """

    def __call__(self, A, b, begin=0, reverse=False):
        def step(s, element):
            A_t, b_t, joined = element
            s = jnp.where(joined, apply(A_t, s) + b_t, b_t)
            return s, s

        joined = jnp.ones(len(b), bool) if reverse else jnp.arange(len(b)) > begin
        return jax.lax.scan(step, jnp.zeros_like(b[0]), (A, b, joined), reverse=reverse)[1]


class AssociativeScan(AbstractRecurrence):
    """All steps in about 2 log2(T) parallel rounds by `jax.lax.associative_scan` (Blelloch 1990).

    The affine maps s -> A s + b of neighbouring steps are composed pairwise: D (diagonal) or
    D^3 (dense) operations a composition. The way for a GPU.
    """

    def __call__(self, A, b, begin=0, reverse=False):
        dense = A.ndim > b.ndim
        # A product over the steps up to `begin` may overflow, and 0 x inf would spoil its b.
        if not reverse:
            joined = jnp.reshape(jnp.arange(len(b)) > begin, (-1,) + (1,) * (A.ndim - 1))
            A = jnp.where(joined, A, 0)

        # (A2, b2) after (A1, b1) is the map s -> A2 (A1 s + b1) + b2.
        def after(first, second):
            (A1, b1), (A2, b2) = first, second
            return compose(A2, A1, dense), apply(A2, b1) + b2

        return jax.lax.associative_scan(after, (A, b), reverse=reverse)[1]


def platform() -> str:
    """The platform that a computation started now would run on: "cpu", "gpu" or "tpu"."""
    device = jax.config.jax_default_device
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def default_recurrence() -> AbstractRecurrence:
    """The faster backend of this platform, used where `recurrence=None`."""
    return SequentialScan() if platform() == "cpu" else AssociativeScan()
