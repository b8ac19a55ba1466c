"""The simple recurrent network."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._gates import AbstractCell, AbstractVectorGates, DType, add, initial_weights


class ElmanCell(AbstractCell):
    """A layer of tanh units (Elman 1990, "Finding structure in time").

        h' = tanh(W x + b + U h)

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of the state h.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "ElmanGates"

    def __init__(
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: DType = None
    ):
        weights = initial_weights(1, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, _ = weights
        self.recurrent = ElmanGates(weight_hh)


class ElmanGates(AbstractVectorGates):
    """The part of an Elman cell that sees the state."""

    weight_hh: Float[Array, "gates D"]

    def step(self, state, projected, products):
        (preactivation,) = add(projected, products(self.weight_hh, state))
        h = jnp.tanh(preactivation)
        return h, (h,)

    # ∂h'/∂h = diag(1 - h'²) U
    def jacobian(self, state, saved):
        (h,) = saved
        return [(1 - h * h, self.weight_hh)]
