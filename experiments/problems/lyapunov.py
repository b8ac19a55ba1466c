"""Lyapunov exponents of a recurrence: how fast small differences grow, per step.

The Jacobians along a trajectory are multiplied up and orthogonalised by a QR decomposition in
every step (Benettin, Galgani, Giorgilli and Strelcyn 1980). With J_t Q_{t-1} = Q_t R_t, the mean
of log |diag R_t| over the steps tends to the exponents. |det J_t| is the product of |diag R_t|, so
that their sum is the mean of log |det J_t|, the divergence, whatever the length of the trajectory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree


class Spectrum(NamedTuple):
    """The exponents of a trajectory, largest first, and its mean log |det J|."""

    exponents: np.ndarray
    divergence: float


def spectrum(f: Callable, s0: Array, xs: Any, length: int) -> Spectrum:
    """The Lyapunov exponents along s_0, ..., s_T, in float64.

    **Arguments:**

    - `f`: `f(state, x) -> state`, the state an array of shape (D,); its float arrays and those of
      the other arguments are taken to float64.
    - `length`: T, the number of steps; also where `xs` is `None`.
    """
    with jax.enable_x64(True):
        f, s0, xs = _in_float64((f, s0, xs))
        exponents, divergence = _mean_growth(f, s0, xs, length)
        return Spectrum(np.sort(np.asarray(exponents))[::-1], float(divergence))


@eqx.filter_jit
def _mean_growth(
    f: Callable, s0: Float[Array, " D"], xs: Any, length: int
) -> tuple[Float[Array, " D"], Float[Array, ""]]:
    def step(carry: tuple, x: Any) -> tuple[tuple, None]:
        state, frame, growth, divergence = carry
        jacobian = jax.jacfwd(f)(state, x)
        frame, triangle = jnp.linalg.qr(jacobian @ frame)
        growth = growth + jnp.log(jnp.abs(jnp.diagonal(triangle)))
        divergence = divergence + jnp.linalg.slogdet(jacobian).logabsdet
        return (f(state, x), frame, growth, divergence), None

    start = (s0, jnp.eye(s0.size), jnp.zeros(s0.size), jnp.zeros(()))
    (_, _, growth, divergence), _ = jax.lax.scan(step, start, xs, length)
    return growth / length, divergence / length


def _in_float64(tree: PyTree) -> PyTree:
    """A tree with float arrays in float64, by way of NumPy: JAX would keep the old dtype."""
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array(leaf) else leaf
        ),
        tree,
    )
