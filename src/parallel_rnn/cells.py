"""Cells with closed-form Jacobians. `cell(state, x)` is one step, for `solve` and `lax.scan` alike."""

import math

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
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: jnp.dtype | None = None
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

    def project(self, x: Float[Array, " M"]) -> Float[Array, " gates"]:
        """W x + b of the three gates."""
        return jnp.matmul(x, self.weight_ih.T, precision=HIGHEST) + self.bias

    def __call__(self, state: Float[Array, " D"], x: Float[Array, " M"]) -> Float[Array, " D"]:
        return self.recurrent(state, self.project(x))


class GRUGates(eqx.Module):
    """The part of a GRU that sees the state. Its inputs are projections of length 3 D."""

    weight_hh: Float[Array, "gates D"]
    bias_n: Float[Array, " D"]

    def __call__(self, state: Float[Array, " D"], projected: Float[Array, " gates"]) -> Array:
        _, z, n, _ = self._gates(state, projected)
        return n + z * (state - n)

    def value_and_diag(
        self, state: Float[Array, " D"], projected: Float[Array, " gates"]
    ) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
        """The step and the diagonal of its Jacobian."""
        value, z, factors = self._value_and_factors(state, projected)
        diagonals = jnp.diagonal(self._blocks(), axis1=1, axis2=2)
        diag = z
        for factor, diagonal in zip(factors, diagonals, strict=True):
            diag = diag + factor * diagonal
        return value, diag

    def value_and_jacobian(
        self, state: Float[Array, " D"], projected: Float[Array, " gates"]
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        """The step and its Jacobian."""
        value, z, factors = self._value_and_factors(state, projected)
        jacobian = jnp.diag(z)
        for factor, block in zip(factors, self._blocks(), strict=True):
            jacobian = jacobian + factor[:, None] * block
        return value, jacobian

    # With m = U_n h + c, a dash for the derivative of a gate's nonlinearity, and U_r, U_z, U_n the
    # blocks of the weights,
    #
    #     ∂h'/∂h = diag(z) + diag(h - n) ∂z/∂h + diag(1 - z) ∂n/∂h
    #     ∂z/∂h = diag(z') U_z,  ∂n/∂h = diag(n') [diag(r) U_n + diag(m r') U_r]
    #
    # so the Jacobian is diag(z) plus each block with its rows scaled by a factor.
    def _value_and_factors(self, state: Array, projected: Array) -> tuple[Array, Array, tuple]:
        r, z, n, m = self._gates(state, projected)
        through_n = (1 - z) * (1 - n * n)
        factors = (
            through_n * m * r * (1 - r),
            (state - n) * z * (1 - z),
            through_n * r,
        )
        return n + z * (state - n), z, factors

    def _gates(self, state: Array, projected: Array) -> tuple[Array, Array, Array, Array]:
        x_r, x_z, x_n = jnp.split(projected, 3)
        u_r, u_z, u_n = jnp.split(jnp.matmul(state, self.weight_hh.T, precision=HIGHEST), 3)
        m = u_n + self.bias_n
        r = jax.nn.sigmoid(x_r + u_r)
        z = jax.nn.sigmoid(x_z + u_z)
        n = jnp.tanh(x_n + r * m)
        return r, z, n, m

    def _blocks(self) -> Float[Array, "3 D D"]:
        size = self.weight_hh.shape[1]
        return jnp.reshape(self.weight_hh, (3, size, size))
