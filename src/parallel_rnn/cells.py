"""Cells with closed-form Jacobians. `cell(state, x)` is one step of the recurrence."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._recurrence import HIGHEST


class GRUCell(eqx.Module):
    """A gated recurrent unit (Cho et al. 2014), in Equinox's form and layout.

        r = σ(W_r x + b_r + U_r h)
        z = σ(W_z x + b_z + U_z h)
        n = tanh(W_n x + b_n + r (U_n h + c))
        h' = n + z (h - n)

    The gates are stacked in the order r, z, n. The part that sees only the input is `project`,
    the part that sees the state is `recurrent`; a solver projects every input once.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of the state.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "GRUGates"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        key: PRNGKeyArray,
        dtype: jnp.dtype | None = None,
    ):
        keys = jax.random.split(key, 4)
        bound = 1 / math.sqrt(hidden_size)

        def uniform(key: PRNGKeyArray, *shape: int) -> Array:
            dtype_ = jnp.zeros((), dtype).dtype
            return jax.random.uniform(key, shape, dtype_, -bound, bound)

        self.weight_ih = uniform(keys[0], 3 * hidden_size, input_size)
        self.bias = uniform(keys[2], 3 * hidden_size)
        self.recurrent = GRUGates(
            uniform(keys[1], 3 * hidden_size, hidden_size), uniform(keys[3], hidden_size)
        )

    @classmethod
    def from_equinox(cls, cell: eqx.nn.GRUCell) -> "GRUCell":
        """The same cell with the argument order of a recurrence: `cell(state, x)`.

        **Raises:** `ValueError` for a cell without bias.
        """
        if cell.bias is None or cell.bias_n is None:
            raise ValueError(
                "The Equinox cell was made with `use_bias=False`, but GRUCell has biases. Set "
                "them to zeros with `eqx.tree_at` first."
            )
        ours = cls(cell.input_size, cell.hidden_size, key=jax.random.key(0))
        return eqx.tree_at(
            lambda c: (c.weight_ih, c.bias, c.recurrent.weight_hh, c.recurrent.bias_n),
            ours,
            (cell.weight_ih, cell.bias, cell.weight_hh, cell.bias_n),
        )

    def project(self, x: Float[Array, " M"]) -> tuple[Array, Array, Array]:
        """W x + b of each gate, three vectors of length D."""
        r, z, n = _products(self.weight_ih, x)
        b_r, b_z, b_n = jnp.split(self.bias, 3)
        return r + b_r, z + b_z, n + b_n

    def __call__(self, state: Float[Array, " D"], x: Float[Array, " M"]) -> Float[Array, " D"]:
        return self.recurrent(state, jnp.split(_product(self.weight_ih, x) + self.bias, 3))


class GRUGates(eqx.Module):
    """The part of a GRU that sees the state. Its input is what `GRUCell.project` returns."""

    weight_hh: Float[Array, "gates D"]
    bias_n: Float[Array, " D"]

    def __call__(self, state: Float[Array, " D"], projected: Sequence) -> Float[Array, " D"]:
        _, z, n, _ = self._gates(projected, jnp.split(_product(self.weight_hh, state), 3))
        return n + z * (state - n)

    def value_and_diag(
        self, state: Float[Array, " D"], projected: Sequence
    ) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
        """The step and the diagonal of its Jacobian."""
        value, z, factors = self._value_and_factors(state, projected)
        blocks = jnp.split(self.weight_hh, 3)
        scaled = (
            factor * jnp.diagonal(block) for factor, block in zip(factors, blocks, strict=True)
        )
        return value, sum(scaled, z)

    def value_and_jacobian(
        self, state: Float[Array, " D"], projected: Sequence
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        """The step and its Jacobian."""
        value, z, factors = self._value_and_factors(state, projected)
        blocks = jnp.split(self.weight_hh, 3)
        scaled = (factor[:, None] * block for factor, block in zip(factors, blocks, strict=True))
        return value, sum(scaled, jnp.diag(z))

    # With m = U_n h + c, a dash for the derivative of a gate's nonlinearity, and U_r, U_z, U_n the
    # blocks of the weights,
    #
    #     ∂h'/∂h = diag(z) + diag(h - n) ∂z/∂h + diag(1 - z) ∂n/∂h
    #     ∂z/∂h = diag(z') U_z,  ∂n/∂h = diag(n') [diag(r) U_n + diag(m r') U_r]
    #
    # so the Jacobian is diag(z) plus each block with its rows scaled by a factor.
    def _value_and_factors(self, state: Array, projected: Sequence) -> tuple[Array, Array, tuple]:
        r, z, n, m = self._gates(projected, _products(self.weight_hh, state))
        through_n = (1 - z) * (1 - n * n)
        factors = (
            through_n * m * r * (1 - r),
            (state - n) * z * (1 - z),
            through_n * r,
        )
        return n + z * (state - n), z, factors

    def _gates(self, projected: Sequence, recurrent: Sequence) -> tuple[Array, Array, Array, Array]:
        (x_r, x_z, x_n), (u_r, u_z, u_n) = projected, recurrent
        m = u_n + self.bias_n
        r = _sigmoid(x_r + u_r)
        z = _sigmoid(x_z + u_z)
        n = jnp.tanh(x_n + r * m)
        return r, z, n, m


def _product(weight: Array, vector: Array) -> Array:
    """W v for a single step: as `vector @ weight.T` it takes a CPU up to five times as long."""
    return jnp.matmul(weight, vector, precision=HIGHEST)


def _products(weight: Array, vector: Array) -> list[Array]:
    """One product a gate, for the steps of a whole sequence at once by `vmap`.

    In this order `vmap` gives products with contiguous rows, and three separate arrays save a CPU
    up to a third of the time that slices of a wide one take.
    """
    return [jnp.matmul(vector, block.T, precision=HIGHEST) for block in jnp.split(weight, 3)]


def _sigmoid(x: Array) -> Array:
    """σ by one tanh, which XLA evaluates faster on a CPU than the exponential of `logistic`."""
    return 0.5 * (1 + jnp.tanh(0.5 * x))
