"""Gated units whose state is one vector."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._gates import (
    AbstractCell,
    AbstractVectorGates,
    DType,
    add,
    initial_weights,
    sigmoid,
    with_weights,
)


class GRUCell(AbstractCell):
    """A gated recurrent unit (Cho et al. 2014), in Equinox's form and layout.

        r = σ(W_r x + b_r + U_r h)
        z = σ(W_z x + b_z + U_z h)
        n = tanh(W_n x + b_n + r (U_n h + c))
        h' = n + z (h - n)

    The gates are stacked in the order r, z, n. The part that sees only the input is `project`,
    the part that sees the state is `recurrent`. An iteration on single steps projects all
    inputs once, beforehand.

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
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: DType = None
    ):
        weights = initial_weights(3, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, bias_n = weights
        self.recurrent = GRUGates(weight_hh, bias_n)

    @classmethod
    def from_equinox(cls, cell: eqx.nn.GRUCell) -> "GRUCell":
        """The same cell with the argument order of a recurrence: `cell(state, x)`.

        **Raises:** `ValueError` for a cell without bias.
        """
        ours = cls(cell.input_size, cell.hidden_size, key=jax.random.key(0))
        return eqx.tree_at(lambda c: c.recurrent.bias_n, with_weights(ours, cell), cell.bias_n)


class GRUGates(AbstractVectorGates):
    """The part of a GRU that sees the state."""

    weight_hh: Float[Array, "gates D"]
    bias_n: Float[Array, " D"]

    def step(self, state, projected, products):
        (x_r, x_z, x_n), (u_r, u_z, u_n) = projected, products(self.weight_hh, state)
        m = u_n + self.bias_n
        r = sigmoid(x_r + u_r)
        z = sigmoid(x_z + u_z)
        n = jnp.tanh(x_n + r * m)
        return n + z * (state - n), (r, z, n, m)

    # With m = U_n h + c, a dash for the derivative of a gate's nonlinearity, and U_r, U_z, U_n the
    # blocks of the weights,
    #
    #     ∂h'/∂h = diag(z) + diag(h - n) ∂z/∂h + diag(1 - z) ∂n/∂h
    #     ∂z/∂h = diag(z') U_z,  ∂n/∂h = diag(n') [diag(r) U_n + diag(m r') U_r]
    #
    # so the Jacobian is diag(z) plus each block with its rows scaled by a factor.
    def jacobian(self, state, saved):
        r, z, n, m = saved
        weight_r, weight_z, weight_n = jnp.split(self.weight_hh, 3)
        through_n = (1 - z) * (1 - n * n)
        return [
            (z,),
            (through_n * m * r * (1 - r), weight_r),
            ((state - n) * z * (1 - z), weight_z),
            (through_n * r, weight_n),
        ]


class MinimalGatedUnit(AbstractCell):
    """A GRU with a single gate (Zhou, Wu, Zhang and Zhou 2016, "Minimal gated unit").

        f = σ(W_f x + b_f + U_f h)
        n = tanh(W_n x + b_n + U_n (f h))
        h' = h + f (n - h)

    The gates are stacked in the order f, n.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of the state h.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "MinimalGates"

    def __init__(
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: DType = None
    ):
        weights = initial_weights(2, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, _ = weights
        weight_hh, weight_n = jnp.split(weight_hh, 2)
        self.recurrent = MinimalGates(weight_hh, weight_n)


class MinimalGates(AbstractVectorGates):
    """The part of a minimal gated unit that sees the state.

    `weight_hh` is U_f. U_n is apart, because a loop that cut it out would copy it at every step.
    """

    weight_hh: Float[Array, "D D"]
    weight_n: Float[Array, "D D"]

    def step(self, state, projected, products):
        x_f, x_n = projected
        (f,) = map(sigmoid, add([x_f], products(self.weight_hh, state)))
        (n,) = map(jnp.tanh, add([x_n], products(self.weight_n, f * state)))
        return state + f * (n - state), (f, n)

    # With a dash for the derivative of a nonlinearity,
    #
    #     ∂h'/∂h = diag(1 - f) + diag(n - h) ∂f/∂h + diag(f) ∂n/∂h
    #     ∂f/∂h = diag(f') U_f,  ∂n/∂h = diag(n') U_n [diag(f) + diag(h) ∂f/∂h]
    def jacobian(self, state, saved):
        f, n = saved
        weight_f, weight_n = self.weight_hh, self.weight_n
        f_slope = f * (1 - f)
        through_n = f * (1 - n * n)
        return [
            (1 - f,),
            ((n - state) * f_slope, weight_f),
            (through_n, weight_n, f),
            (through_n, weight_n, state * f_slope, weight_f),
        ]
