"""What the cells share: weights, products with them, and Jacobians as sums of products."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._linear.matrices import HIGHEST

DType: TypeAlias = jnp.dtype | None
Vector: TypeAlias = Float[Array, " D"]
Parts: TypeAlias = tuple[Vector, ...]

# products(weight, vector): one product a gate, in one of the two ways at the end of this module.
Products: TypeAlias = Callable[[Array, Array], Sequence[Array]]

# A Jacobian as the sum of products, each of one to four factors: vectors stand for diagonal
# matrices, so (a,), (a, U), (a, U, b) and (a, U, b, V) are diag(a), diag(a) U, diag(a) U diag(b)
# and diag(a) U diag(b) V. The diagonal of the sum follows without forming the matrices.
Jacobian: TypeAlias = list[tuple[Array, ...]]


class AbstractGates(eqx.Module):
    """The part of a cell that sees the state. Its input is what `AbstractCell.project` returns."""

    weight_hh: eqx.AbstractVar[Float[Array, "gates D"]]

    @abc.abstractmethod
    def initial_state(self) -> Any:
        """The state of zeros."""

    @abc.abstractmethod
    def step(self, state: Any, projected: Sequence, products: Products) -> tuple[Any, tuple]:
        """The next state, and what `jacobian` needs of its computation."""

    @abc.abstractmethod
    def jacobian(self, state: Any, saved: tuple) -> Any:
        """The `Jacobian` of the step, for several parts nested by new part, then old part."""

    def __call__(self, state: Any, projected: Sequence) -> Any:
        return self.step(state, projected, stacked_products)[0]


class AbstractVectorGates(AbstractGates):
    """Gates whose state is one vector."""

    def initial_state(self) -> Vector:
        return jnp.zeros_like(self.weight_hh[0])

    def value_and_diag(self, state: Vector, projected: Sequence) -> tuple[Vector, Vector]:
        """The step and the diagonal of its Jacobian."""
        value, saved = self.step(state, projected, separate_products)
        return value, _diagonal(self.jacobian(state, saved), state)

    def value_and_jacobian(
        self, state: Vector, projected: Sequence
    ) -> tuple[Vector, Float[Array, "D D"]]:
        """The step and its Jacobian."""
        value, saved = self.step(state, projected, separate_products)
        return value, _dense(self.jacobian(state, saved), self.weight_hh)


class AbstractPartsGates(AbstractGates):
    """Gates whose state is a tuple of vectors."""

    num_parts: ClassVar[int]

    def initial_state(self) -> Parts:
        return tuple(jnp.zeros_like(self.weight_hh[0]) for _ in range(self.num_parts))

    def value_and_diag(self, state: Parts, projected: Sequence) -> tuple[Parts, Parts]:
        """The step and the diagonal of its Jacobian, a vector for each part."""
        value, saved = self.step(state, projected, separate_products)
        rows = self.jacobian(state, saved)
        return value, tuple(_diagonal(rows[i][i], part) for i, part in enumerate(state))

    def value_and_blocks(
        self, state: Parts, projected: Sequence
    ) -> tuple[Parts, Float[Array, "b b D"]]:
        """The step and entries [i, j, u], of number u of part i by number u of part j."""
        value, saved = self.step(state, projected, separate_products)
        rows = self.jacobian(state, saved)
        return value, jnp.stack(
            [jnp.stack([_diagonal(entry, state[0]) for entry in row]) for row in rows]
        )

    def value_and_jacobian(
        self, state: Parts, projected: Sequence
    ) -> tuple[Parts, tuple[tuple[Float[Array, "D D"], ...], ...]]:
        """The step and its Jacobian, a matrix for each new and old part."""
        value, saved = self.step(state, projected, separate_products)
        rows = self.jacobian(state, saved)
        return value, tuple(tuple(_dense(entry, self.weight_hh) for entry in row) for row in rows)


class AbstractCell(eqx.Module):
    """A cell whose gates see W x + b of the input."""

    weight_ih: eqx.AbstractVar[Float[Array, "gates M"]]
    bias: eqx.AbstractVar[Float[Array, " gates"]]
    recurrent: eqx.AbstractVar[Any]  # an `AbstractGates`

    def initial_state(self) -> Any:
        """The state of zeros, in the dtype of the weights."""
        return self.recurrent.initial_state()

    def project(self, x: Float[Array, " M"]) -> Sequence[Array]:
        """W x + b of each gate, vectors of length D."""
        size = self.recurrent.weight_hh.shape[1]
        biases = jnp.split(self.bias, self.bias.size // size)
        products = separate_products(self.weight_ih, x, size)
        return tuple(product + b for product, b in zip(products, biases, strict=True))

    def __call__(self, state: Any, x: Float[Array, " M"]) -> Any:
        size = self.recurrent.weight_hh.shape[1]
        projected = _product(self.weight_ih, x) + self.bias
        return self.recurrent(state, jnp.split(projected, projected.size // size))


def initial_weights(
    num_gates: int, input_size: int, hidden_size: int, key: PRNGKeyArray, dtype: DType
) -> list[Array]:
    """Weights of the input, of the state, biases, and one vector more, uniform on ±1/√D."""
    rows = num_gates * hidden_size
    shapes = [(rows, input_size), (rows, hidden_size), (rows,), (hidden_size,)]
    bound = 1 / math.sqrt(hidden_size)
    dtype_ = jnp.zeros((), dtype).dtype
    return [
        jax.random.uniform(key, shape, dtype_, -bound, bound)
        for key, shape in zip(jax.random.split(key, 4), shapes, strict=True)
    ]


def with_weights(ours: Any, theirs: eqx.nn.GRUCell | eqx.nn.LSTMCell) -> Any:
    """Our cell with the weights of an Equinox cell that stacks the same gates in the same order.

    **Raises:** `ValueError` for a cell without bias.
    """
    if theirs.bias is None:
        raise ValueError(
            f"The Equinox cell was made with `use_bias=False`, but {type(ours).__name__} has "
            "biases. Set them to zeros with `eqx.tree_at` first."
        )
    return eqx.tree_at(
        lambda cell: (cell.weight_ih, cell.recurrent.weight_hh, cell.bias),
        ours,
        (theirs.weight_ih, theirs.weight_hh, theirs.bias),
    )


def add(left: Sequence[Array], right: Sequence[Array]) -> list[Array]:
    """The sums gate by gate."""
    return [a + b for a, b in zip(left, right, strict=True)]


def through(*factors: Array, jacobian: Jacobian) -> Jacobian:
    """The chain rule: diag(a) J for the factors (a,), diag(a) U J for (a, U)."""
    if len(factors) == 1:
        return [(factors[0] * first, *rest) for first, *rest in jacobian]
    return [(*factors, *product) for product in jacobian]


def _diagonal(jacobian: Jacobian, part: Vector) -> Vector:
    return sum(map(_product_diagonal, jacobian), jnp.zeros_like(part))


# The diagonal of U diag(b) V has the entries Σ_k U_uk b_k V_ku, so it is b times the transpose
# of U ∘ V^T: the work of one more gate.
def _product_diagonal(factors: tuple[Array, ...]) -> Vector:
    match factors:
        case (a,):
            return a
        case (a, u):
            return a * jnp.diagonal(u)
        case (a, u, b):
            return a * jnp.diagonal(u) * b
        case (a, u, b, v):
            return a * jnp.matmul(b, u.T * v, precision=HIGHEST)
    raise AssertionError(factors)


def _dense(jacobian: Jacobian, weight: Float[Array, "gates D"]) -> Float[Array, "D D"]:
    size = weight.shape[1]
    return sum(map(_product_dense, jacobian), jnp.zeros_like(weight, shape=(size, size)))


def _product_dense(factors: tuple[Array, ...]) -> Float[Array, "D D"]:
    match factors:
        case (a,):
            return jnp.diag(a)
        case (a, u):
            return a[:, None] * u
        case (a, u, b):
            return a[:, None] * u * b[None, :]
        case (a, u, b, v):
            return jnp.matmul(a[:, None] * u, b[:, None] * v, precision=HIGHEST)
    raise AssertionError(factors)


def stacked_products(weight: Array, vector: Array) -> list[Array]:
    """One product a gate, for a single step."""
    return jnp.split(_product(weight, vector), weight.shape[0] // vector.size)


def separate_products(weight: Array, vector: Array, size: int | None = None) -> list[Array]:
    """One product a gate, for the steps of a whole sequence at once by `vmap`.

    In this order `vmap` gives products with contiguous rows, and separate arrays save a CPU
    up to a third of the time that slices of a wide one take.

    **Arguments:**

    - `size`: rows of one gate; `None` is the length of the vector, which is then a state.
    """
    blocks = jnp.split(weight, weight.shape[0] // (size or vector.size))
    return [jnp.matmul(vector, block.T, precision=HIGHEST) for block in blocks]


def _product(weight: Array, vector: Array) -> Array:
    """W v for a single step: as `vector @ weight.T` it takes a CPU up to five times as long."""
    return jnp.matmul(weight, vector, precision=HIGHEST)


def sigmoid(x: Array) -> Array:
    """σ by one tanh, which XLA evaluates faster on a CPU than the exponential of `logistic`."""
    return 0.5 * (1 + jnp.tanh(0.5 * x))
