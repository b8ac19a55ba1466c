"""The damped steps and the small matrices they are made of, against dense NumPy and each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn._linear.kalman import filter_changes, smooth, smoother_changes
from parallel_rnn._linear.matrices import BLOCKS, DENSE, LARGEST_WRITTEN_OUT, structure_of

from recurrences import BACKENDS

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("barely_optimised")]
# The sizes on both sides of the largest that is written out as arithmetic.
SHAPES = {
    "diagonal": (5,),
    "blocks": (3, 3, 2),
    "dense": (4, 4),
    "large dense": (LARGEST_WRITTEN_OUT + 2, LARGEST_WRITTEN_OUT + 2),
}

every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)


def size_of(shape):
    return shape[-1] if len(shape) < 3 else shape[0] * shape[2]


def full(A):
    """The dense matrices (..., D, D) of matrices with leading axes for the steps."""
    A = np.array(A)
    if A.ndim == 2:
        return A[..., None] * np.eye(A.shape[-1])
    if A.ndim == 3:
        return A
    steps, size, _, places = A.shape
    spread = A[..., None] * np.eye(places)  # (T, row, column, place, place)
    return spread.transpose(0, 1, 3, 2, 4).reshape(steps, size * places, size * places)


def random(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def close(found, wanted, tolerance=1e-12):
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@every_shape
def test_matrices_equal_dense_ones(shape):
    size = size_of(shape)
    A, B, s = random(0, 6, *shape), random(1, 6, *shape), random(2, 6, size)
    scales = random(3, size)
    matrices = structure_of(A, s)
    close(matrices.apply(A, s), np.einsum("tij,tj->ti", full(A), s))
    close(full(matrices.multiply(A, B)), full(A) @ full(B))
    close(full(matrices.transpose(A)), full(A).swapaxes(1, 2))
    close(full(matrices.identity_like(A)), np.broadcast_to(np.eye(size), (6, size, size)))
    close(full(matrices.scale_columns(A, scales)), full(A) * np.array(scales))


@every_shape
def test_solves_equal_dense_ones(shape):
    A, B, C = random(0, 6, *shape), random(1, 6, *shape), random(2, 6, *shape)
    matrices = structure_of(A, random(0, 6, size_of(shape)))
    for found, right in zip(matrices.solve(A, B, C), (B, C), strict=True):
        close(full(found), np.linalg.solve(full(A), full(right)), 1e-9)


@every_shape
def test_definite_solves_equal_dense_ones(shape):
    A, B = random(0, 6, *shape), random(1, 6, *shape)
    matrices = structure_of(A, random(0, 6, size_of(shape)))
    scales = jnp.exp(random(2, size_of(shape)))
    square = matrices.multiply(A, matrices.transpose(A))
    M = matrices.identity_like(A) + matrices.scale_columns(square, scales)
    (found,) = matrices.solve_definite(M, B)
    close(full(found), np.linalg.solve(full(M), full(B)), 1e-10)


@pytest.mark.parametrize("matrices", [DENSE, BLOCKS])
def test_a_solve_exchanges_rows(matrices):
    """The first pivots are zero or tiny, and elimination without exchange fails or loses all."""
    M = jnp.array([[[0.0, 1, 2], [3, 0, 1], [1, 1, 0]], [[1e-20, 1, 0], [1, 1, 0], [0, 0, 1]]])
    B = random(0, 2, 3, 3)
    wanted = np.linalg.solve(np.array(M), np.array(B))
    if matrices is BLOCKS:
        (found,) = BLOCKS.solve(M[..., None], B[..., None])
        close(found[..., 0], wanted)
    else:
        close(DENSE.solve(M, B)[0], wanted)


@every_shape
def test_structures_without_leading_axes(shape):
    A, s = random(0, *shape), random(1, size_of(shape))
    close(structure_of(A, s).apply(A, s), full(A[None])[0] @ np.array(s))


@eqx.filter_jit
def estimates(backend, A, residuals, damping):
    """Everything that is estimated: filtered, smoothed, and smoothed by the faster way."""
    filtered = filter_changes(backend, A, residuals, damping)
    return (
        filtered,
        smooth(backend, A, filtered, damping),
        smoother_changes(backend, A, residuals, damping),
    )


def problem(shape, length):
    A = random(0, length, *shape) / np.sqrt(shape[0] if len(shape) > 1 else 1)
    # The first transition does not count.
    return A.at[0].set(1e3), random(1, length, size_of(shape))


def least_squares(A, residuals, damping):
    """The minimum of 1/2 |M d - r|^2 + 1/2 d' Λ d over the changes, and their covariance."""
    length, size = residuals.shape
    M = np.eye(length * size)
    for t in range(1, length):
        M[t * size : (t + 1) * size, (t - 1) * size : t * size] = -A[t]
    covariance = np.linalg.inv(M.T @ M + np.diag(np.tile(damping, length)))
    return (covariance @ M.T @ residuals.ravel()).reshape(length, size), covariance


def filter_by_least_squares(A, residuals, damping):
    """The last change of the steps 1..t and its covariance, for all t."""
    changes, covariances = [], []
    for t in range(1, len(residuals) + 1):
        found, covariance = least_squares(A[:t], residuals[:t], damping)
        changes.append(found[-1])
        covariances.append(covariance[-len(damping) :, -len(damping) :])
    return np.array(changes), np.array(covariances)


@every_backend
@every_shape
@pytest.mark.parametrize("length", [1, 2, 13])
def test_estimates_equal_least_squares(backend, shape, length):
    A, residuals = problem(shape, length)
    dense, r = full(A), np.array(residuals)
    drawn = jnp.exp(2 * random(2, size_of(shape)))
    for damping in (drawn, drawn.at[::2].set(0), jnp.zeros_like(drawn)):
        filtered, smoothed, directly = estimates(backend, A, residuals, damping)
        changes, covariances = filter_by_least_squares(dense, r, np.array(damping))
        close(filtered.changes, changes, 1e-9)
        close(full(filtered.covariances), covariances * np.max(damping), 1e-9)
        wanted = least_squares(dense, r, np.array(damping))[0]
        close(smoothed, wanted, 1e-9)
        close(directly, wanted, 1e-9)


def unstable(shape, length):
    """float32 transitions whose largest eigenvalue has the size 1.2."""
    A = random(0, length, *shape)
    radius = np.max(np.abs(np.linalg.eigvals(full(A))), axis=1)
    return (A * (1.2 / radius).reshape(-1, *(1,) * len(shape))).astype("float32")


def in_double(A, residuals, damping):
    """The filter, one step after another in float64."""
    one = np.eye(len(damping))
    covariance, change, found = 0 * one, 0 * damping, []
    for A_t, residual in zip(A.astype("float64"), residuals, strict=True):
        covariance = np.linalg.inv(np.linalg.inv(A_t @ covariance @ A_t.T + one) + damping * one)
        predicted = A_t @ change + residual
        change = predicted - covariance @ (damping * predicted)
        found.append((change, covariance))
    return [np.array(parts) for parts in zip(*found, strict=True)]


@every_backend
@pytest.mark.parametrize("kind", ["diagonal", "dense"])
def test_long_unstable_sequences_in_float32(backend, kind):
    shape = SHAPES[kind]
    A = unstable(shape, 2000)
    residuals = random(1, 2000, size_of(shape)).astype("float32")
    for number in (1e-6, 1e-3, 1.0):
        damping = jnp.full(size_of(shape), number, "float32")
        found = eqx.filter_jit(filter_changes)(backend, A, residuals, damping)
        changes, G = np.array(found.changes), full(found.covariances)
        # Up to a few roundings of float32.
        np.testing.assert_allclose(G, G.swapaxes(1, 2), rtol=0, atol=1e-6)
        eigenvalues = np.linalg.eigvalsh(G.astype("float64"))
        assert eigenvalues.min() >= -1e-6
        assert eigenvalues.max() <= 1 + 1e-6
        right, P = in_double(full(A), np.array(residuals), np.array(damping, "float64"))
        np.testing.assert_allclose(G, number * P, atol=1e-3)
        np.testing.assert_allclose(changes, right, atol=1e-3 * np.abs(right).max())
