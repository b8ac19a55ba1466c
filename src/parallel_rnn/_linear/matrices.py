"""Arithmetic of the matrices that stand for Jacobians, one for each structure they can have.

For states (..., D) a matrix is dense (..., D, D), diagonal (..., D), or block-diagonal
(..., b, b, n) with n blocks of size b = D / n. Block u couples the entries u, n + u, 2n + u, ...
of the state: the numbers at place u of its b parts. The leading axes are steps, or none.
"""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

# float32 products run in reduced precision on recent GPUs unless told otherwise, and a scan
# multiplies up to T of them.
HIGHEST = jax.lax.Precision.HIGHEST

# Up to this size products and solves are written out as arithmetic on arrays over all steps.
# Batched library routines pay for a call for every small matrix.
LARGEST_WRITTEN_OUT = 8


class AbstractStructure(abc.ABC):
    """The operations on matrices of one structure."""

    axes: ClassVar[int]  # how many axes a matrix has more than a vector

    @abc.abstractmethod
    def apply(self, A: Array, s: Array) -> Array:
        """A s."""

    @abc.abstractmethod
    def multiply(self, A: Array, B: Array) -> Array:
        """A B."""

    @abc.abstractmethod
    def transpose(self, A: Array) -> Array:
        """A'."""

    @abc.abstractmethod
    def identity_like(self, A: Array) -> Array:
        """Identities of the shape of A."""

    @abc.abstractmethod
    def scale_columns(self, A: Array, scales: Array) -> Array:
        """A diag(scales), with one scale (D,) for all matrices."""

    @abc.abstractmethod
    def solve(self, M: Array, *right: Array) -> tuple[Array, ...]:
        """M^{-1} B for every matrix B on the right."""

    def solve_definite(self, M: Array, *right: Array) -> tuple[Array, ...]:
        """`solve` for M = P + Q with P and Q symmetric and positive, up to a scaling of rows.

        Elimination then meets no small pivot.
        """
        return self.solve(M, *right)


class _Diagonal(AbstractStructure):
    axes = 0

    def apply(self, A, s):
        return A * s

    def multiply(self, A, B):
        return A * B

    def transpose(self, A):
        return A

    def identity_like(self, A):
        return jnp.ones_like(A)

    def scale_columns(self, A, scales):
        return A * jnp.broadcast_to(scales, A.shape)

    def solve(self, M, *right):
        return tuple(B / M for B in right)


class _Blocks(AbstractStructure):
    axes = 2

    def apply(self, A, s):
        parts = jnp.reshape(s, (*s.shape[:-1], A.shape[-2], A.shape[-1]))
        return jnp.reshape(jnp.sum(A * parts[..., None, :, :], axis=-2), s.shape)

    def multiply(self, A, B):
        return jnp.sum(A[..., :, :, None, :] * B[..., None, :, :, :], axis=-3)

    def transpose(self, A):
        return jnp.swapaxes(A, -2, -3)

    def identity_like(self, A):
        one = jnp.eye(A.shape[-2], dtype=A.dtype)
        return jnp.broadcast_to(one[:, :, None], A.shape)

    def scale_columns(self, A, scales):
        parts = jnp.reshape(scales, (1, A.shape[-2], A.shape[-1]))
        return A * jnp.broadcast_to(parts, A.shape)

    def solve(self, M, *right):
        return _eliminate(M, right, _bring_largest_up)

    def solve_definite(self, M, *right):
        return _eliminate(M, right, lambda rows, column: rows)


def _eliminate(M, right, choose_pivot):
    """Gauss-Jordan elimination of blocks: M and the right sides are (..., b, columns, n)."""
    size = M.shape[-2]
    both = jnp.concatenate([M, *right], axis=-2)
    rows = [both[..., i, :, :] for i in range(size)]
    for i in range(size):
        rows = choose_pivot(rows, i)
        rows[i] = rows[i] / _entry(rows[i], i)
        rows = [row if j == i else row - _entry(row, i) * rows[i] for j, row in enumerate(rows)]
    solved = jnp.stack(rows, axis=-3)[..., size:, :]
    return tuple(jnp.split(solved, len(right), axis=-2))


def _bring_largest_up(rows, i):
    """Exchange rows so that entry i of row i is the largest of those below it in size."""
    rows = list(rows)
    for j in range(i + 1, len(rows)):
        larger = jnp.abs(_entry(rows[j], i)) > jnp.abs(_entry(rows[i], i))
        rows[i], rows[j] = (
            jnp.where(larger, rows[j], rows[i]),
            jnp.where(larger, rows[i], rows[j]),
        )
    return rows


def _entry(row, i):
    return row[..., i : i + 1, :]


class _Dense(AbstractStructure):
    axes = 1

    def apply(self, A, s):
        if A.shape[-1] <= LARGEST_WRITTEN_OUT:
            return BLOCKS.apply(A[..., None], s)
        return jnp.einsum("...ij,...j->...i", A, s, precision=HIGHEST)

    def multiply(self, A, B):
        if A.shape[-1] <= LARGEST_WRITTEN_OUT:
            return BLOCKS.multiply(A[..., None], B[..., None])[..., 0]
        return jnp.matmul(A, B, precision=HIGHEST)

    def transpose(self, A):
        return jnp.swapaxes(A, -1, -2)

    def identity_like(self, A):
        return jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)

    def scale_columns(self, A, scales):
        return A * jnp.broadcast_to(scales, A.shape)

    def solve(self, M, *right):
        return self._solve(BLOCKS.solve, M, right)

    def solve_definite(self, M, *right):
        return self._solve(BLOCKS.solve_definite, M, right)

    def _solve(self, written_out, M, right):
        if M.shape[-1] <= LARGEST_WRITTEN_OUT:
            solved = written_out(M[..., None], *(B[..., None] for B in right))
            return tuple(X[..., 0] for X in solved)
        dtype = library_dtype(M.dtype)
        sides = jnp.concatenate(right, axis=-1).astype(dtype)
        together = jnp.linalg.solve(M.astype(dtype), sides).astype(M.dtype)
        return tuple(jnp.split(together, len(right), axis=-1))


def library_dtype(dtype: Any) -> Any:
    """What routines of LAPACK compute in: they know no half precision."""
    return dtype if dtype.itemsize >= 4 else jnp.float32


DIAGONAL, DENSE, BLOCKS = _Diagonal(), _Dense(), _Blocks()


def structure_of(A: Array, s: Array) -> AbstractStructure:
    """The structure of matrices A that act on vectors s."""
    return {kind.axes: kind for kind in (DIAGONAL, DENSE, BLOCKS)}[A.ndim - s.ndim]
