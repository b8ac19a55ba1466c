"""Damped steps: the linearised recurrence with the new states held near the present ones.

With y the present states, v_t = f(y_{t-1}, x_t) the values, r_t = v_t - y_t and d_t = s_t - y_t
the changes, a damped step minimises

    1/2 sum_t |d_t - A_t d_{t-1} - r_t|^2 + 1/2 sum_t d_t' Λ d_t,   Λ = diag(λ_1, ..., λ_D),

with d_0 = 0. This is the MAP estimate of a linear Gaussian model in which d_t follows the
linearised recurrence with noise N(0, 1) and is observed to be 0 with noise N(0, Λ^{-1})
(Gonzalez et al. 2024, section 4.2, written for changes: rounding is then relative to the change,
not to the state). The filter estimates d_t from the observations up to t, the smoother from all of
them. Only the smoother's is the minimum, the Levenberg-Marquardt step; both are 0 where all r_t
are.

Covariances are kept times λ̄ = max λ_i, with the weights W = Λ / λ̄ in the observation. Then
everything stays bounded, λ̄ = 0 is Newton's undamped step, and a λ of 1e-6 loses nothing in
float32. In these units a step of the filter is

    P_t = A_t G_{t-1} A_t' + λ̄            the covariance before the observation,
    S_t = (1 + P_t W)^{-1},  G_t = S_t P_t   and after it,
    d_t = S_t (A_t d_{t-1} + r_t)          with G_0 = 0, d_0 = 0,

where S_t = 1 - G_t W is what is left of a change after damping.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._finite import worst
from .._programs.varying import axes_of, varying_over
from .._types import Jacobians
from .linear_scan import AbstractLinearScan, SequentialScan
from .matrices import DIAGONAL, AbstractStructure, library_dtype, structure_of


class Filtered(NamedTuple):
    """The filter's changes d_t and scaled covariances G_t."""

    changes: Float[Array, "T D"]
    covariances: Jacobians


def filter_changes(
    linear_scan: AbstractLinearScan,
    A: Jacobians,
    residuals: Float[Array, "T D"],
    damping: Float[Array, " D"],
) -> Filtered:
    """Return the filtered changes, and the covariances that the smoother needs.

    **Arguments:**

    - `linear_scan`: `SequentialScan()` goes through the steps once; any other composes
      them in parallel.
    - `A`: A_1, ..., A_T. The first does not count, as d_0 = 0.
    - `residuals`: r_t.
    - `damping`: λ_i >= 0 of each component of the state.
    """
    scale, weights = _scale_and_weights(damping)
    if isinstance(linear_scan, SequentialScan):
        return _filter_in_turn(A, residuals, scale, weights)
    covariances = _covariances_at_once(A, residuals, scale, weights)
    matrices = structure_of(A, residuals)
    left = _left_after_damping(matrices, covariances, weights)
    changes = linear_scan(matrices.multiply(left, A), matrices.apply(left, residuals))
    return Filtered(changes, covariances)


def smoother_changes(
    linear_scan: AbstractLinearScan,
    A: Jacobians,
    residuals: Float[Array, "T D"],
    damping: Float[Array, " D"],
) -> Float[Array, "T D"]:
    """Return the changes of the Levenberg-Marquardt step; arguments as for `filter_changes`."""
    if structure_of(A, residuals) is DIAGONAL:
        return tridiagonal_changes(A, residuals, damping)
    return smooth(linear_scan, A, filter_changes(linear_scan, A, residuals, damping), damping)


# The backward pass in the form of Bryson and Frazier (1963), which inverts no covariance. The
# observation says 0, so the innovation is minus the predicted change, and weighted with the
# inverse of its covariance it becomes W d_t. With w_T = W d_T,
#
#     w_t = W d_t + S_t' A_{t+1}' w_{t+1},    smoothed d_t = d_t - G_t A_{t+1}' w_{t+1}.
def smooth(
    linear_scan: AbstractLinearScan,
    A: Jacobians,
    filtered: Filtered,
    damping: Float[Array, " D"],
) -> Float[Array, "T D"]:
    """Return the smoothed changes from the filtered ones."""
    changes, covariances = filtered
    _, weights = _scale_and_weights(damping)
    matrices = structure_of(A, changes)
    left = _left_after_damping(matrices, covariances, weights)
    # The step after the last does not exist: a zero there, and the recurrence never uses it.
    later = matrices.transpose(jnp.roll(A, -1, axis=0).at[-1].set(0))
    w = linear_scan(
        matrices.multiply(matrices.transpose(left), later),
        changes * jnp.broadcast_to(weights, changes.shape),
        reverse=True,
    )
    from_later = matrices.apply(later, jnp.roll(w, -1, axis=0))
    return changes - matrices.apply(covariances, from_later)


# For diagonal A the minimum is found for each component alone. Setting the derivative by d_t to
# zero gives a tridiagonal system:
#
#     -a_t d_{t-1} + (1 + a_{t+1}^2 + λ) d_t - a_{t+1} d_{t+1} = r_t - a_{t+1} r_{t+1}.
def tridiagonal_changes(
    A: Float[Array, "T D"], residuals: Float[Array, "T D"], damping: Float[Array, " D"]
) -> Float[Array, "T D"]:
    """Return the changes of the Levenberg-Marquardt step for diagonal transitions."""
    dtype = library_dtype(residuals.dtype)
    a, r = A.at[0].set(0).T.astype(dtype), residuals.T.astype(dtype)
    later = jnp.roll(a, -1, axis=1)  # 0 at the last step, as a_1 = 0
    diagonal = 1 + later**2 + damping[:, None].astype(dtype)
    right = r - later * jnp.roll(r, -1, axis=1)
    changes = jax.lax.linalg.tridiagonal_solve(-a, diagonal, -later, right[..., None])
    return changes[..., 0].T.astype(residuals.dtype)


def _scale_and_weights(damping: Float[Array, " D"]) -> tuple[Array, Array]:
    scale = worst(damping)
    return scale, jnp.where(scale > 0, damping / jnp.where(scale > 0, scale, 1), 1)


def _left_after_damping(matrices: AbstractStructure, covariances: Array, weights: Array) -> Array:
    """S_t = 1 - G_t W."""
    return matrices.identity_like(covariances) - matrices.scale_columns(covariances, weights)


def _symmetric(matrices: AbstractStructure, A: Array) -> Array:
    return (A + matrices.transpose(A)) / 2


def _filter_in_turn(A: Array, residuals: Array, scale: Array, weights: Array) -> Filtered:
    matrices = structure_of(A, residuals)
    one = matrices.identity_like(A[0])

    def step(carry, element):
        covariance, change = carry
        A_t, residual = element
        moved = matrices.multiply(matrices.multiply(A_t, covariance), matrices.transpose(A_t))
        P = moved + scale * one
        (covariance,) = matrices.solve_definite(one + matrices.scale_columns(P, weights), P)
        covariance = _symmetric(matrices, covariance)
        predicted = matrices.apply(A_t, change) + residual
        change = predicted - matrices.apply(covariance, weights * predicted)
        return (covariance, change), Filtered(change, covariance)

    start = (jnp.zeros_like(one), jnp.zeros_like(weights))
    start = varying_over(axes_of(residuals), start)
    return jax.lax.scan(step, start, (A, residuals))[1]


class _Element(NamedTuple):
    """What a stretch of steps i..j does to a covariance (Särkkä and García-Fernández 2021).

    - `A`: from d_{i-1} to the estimate of d_j, given the observations i..j.
    - `C`: the covariance of d_j given d_{i-1} and these observations.
    - `J`: the information that these observations hold about d_{i-1}.
    """

    A: Array
    C: Array
    J: Array


# Of two neighbouring stretches, first 1 and then 2 (lemma 8 there, without the means):
#
#     A = A2 M A1,  C = A2 M C1 A2' + C2,  J = A1' J2 M A1 + J1,  M = (1 + C1 J2)^{-1}.
#
# One step has A = S A_t, C = λ̄ S, J = A_t' W S A_t with S = (1 + λ̄ W)^{-1}. Before the first
# step nothing varies, so A_1 = 0, and C of the stretch 1..t is G_t.
def _covariances_at_once(A: Array, residuals: Array, scale: Array, weights: Array) -> Array:
    matrices = structure_of(A, residuals)
    S = 1 / (1 + scale * weights)

    def after(first: _Element, second: _Element) -> _Element:
        A1, C1, J1 = first
        A2, C2, J2 = second
        together = matrices.identity_like(C1) + matrices.multiply(C1, J2)
        M_A1, M_C1 = matrices.solve(together, A1, C1)
        moved = matrices.multiply(matrices.multiply(A2, M_C1), matrices.transpose(A2))
        learnt = matrices.multiply(matrices.transpose(A1), matrices.multiply(J2, M_A1))
        return _Element(
            A=matrices.multiply(A2, M_A1),
            C=_symmetric(matrices, moved) + C2,
            J=_symmetric(matrices, learnt) + J1,
        )

    A = A.at[0].set(0)
    transposed = matrices.transpose(A)
    observed = matrices.multiply(matrices.scale_columns(transposed, weights * S), A)
    elements = _Element(
        A=matrices.transpose(matrices.scale_columns(transposed, S)),
        C=matrices.scale_columns(matrices.identity_like(A), scale * S),
        J=_symmetric(matrices, observed),
    )
    return jax.lax.associative_scan(after, elements).C
