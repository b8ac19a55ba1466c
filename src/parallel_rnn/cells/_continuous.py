"""Cells that are one step of a differential equation."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._gates import (
    AbstractCell,
    AbstractPartsGates,
    AbstractVectorGates,
    DType,
    add,
    initial_weights,
    sigmoid,
    through,
)


class LEMCell(AbstractCell):
    """Long expressive memory (Rusch, Mishra, Erichson and Mahoney, ICLR 2022, eq. 3).

        Δ_z = Δt σ(W_1 x + b_1 + U_1 y), Δ_y = Δt σ(W_2 x + b_2 + U_2 y)
        z' = z + Δ_z (tanh(W_z x + b_z + U_z y) - z)
        y' = y + Δ_y (tanh(W_y x + b_y + U_y z') - y)

    The state is the tuple (y, z), y is the output. The gates are stacked in the order 1, 2, z, y.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of y and of z.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    - `time_step`: Δt.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "LEMGates"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        key: PRNGKeyArray,
        dtype: DType = None,
        time_step: float = 1.0,
    ):
        weights = initial_weights(4, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, _ = weights
        weight_hh, weight_y = jnp.split(weight_hh, [3 * hidden_size])
        self.recurrent = LEMGates(weight_hh, weight_y, time_step)


class LEMGates(AbstractPartsGates):
    """The part of an LEM cell that sees the state.

    `weight_hh` are U_1, U_2 and U_z. U_y is apart, because a loop that cut it out would copy it
    at every step.
    """

    num_parts: ClassVar[int] = 2
    weight_hh: Float[Array, "gates D"]
    weight_y: Float[Array, "D D"]
    time_step: float = eqx.field(static=True)

    def step(self, state, projected, products):
        y, z = state
        g_1, g_2, g_z = add(projected[:3], products(self.weight_hh, y))
        g_1, g_2, target_z = sigmoid(g_1), sigmoid(g_2), jnp.tanh(g_z)
        z = z + self.time_step * g_1 * (target_z - z)
        (g_y,) = add(projected[3:], products(self.weight_y, z))
        target_y = jnp.tanh(g_y)
        return (y + self.time_step * g_2 * (target_y - y), z), (g_1, g_2, target_z, target_y)

    # With g_1, g_2 the two sigmoids, p, q the targets tanh(...) of z and y, and a dash for the
    # derivative of a nonlinearity,
    #
    #     ∂z'/∂z = diag(1 - Δ_z),  ∂z'/∂y = diag(Δt (p - z) g_1') U_1 + diag(Δ_z p') U_z
    #     ∂y'/∂z = diag(Δ_y q') U_y ∂z'/∂z
    #     ∂y'/∂y = diag(Δ_y q') U_y ∂z'/∂y + diag(1 - Δ_y) + diag(Δt (q - y) g_2') U_2
    def jacobian(self, state, saved):
        y, z = state
        g_1, g_2, target_z, target_y = saved
        weight_1, weight_2, weight_z = jnp.split(self.weight_hh, 3)
        step_z, step_y = self.time_step * g_1, self.time_step * g_2
        z_by_z = [(1 - step_z,)]
        z_by_y = [
            ((target_z - z) * step_z * (1 - g_1), weight_1),
            (step_z * (1 - target_z * target_z), weight_z),
        ]
        y_by_preactivation = step_y * (1 - target_y * target_y)
        y_by_y = [
            (1 - step_y,),
            ((target_y - y) * step_y * (1 - g_2), weight_2),
            *through(y_by_preactivation, self.weight_y, jacobian=z_by_y),
        ]
        y_by_z = through(y_by_preactivation, self.weight_y, jacobian=z_by_z)
        return (y_by_y, y_by_z), (z_by_y, z_by_z)


class LiquidCell(AbstractCell):
    """A liquid time-constant cell (Hasani, Lechner, Amini, Rus and Grosu, AAAI 2021, eq. 3).

    The semi-implicit ("fused") Euler step of dh/dt = -(1/τ + f) h + f A:

        f = σ(W x + b + U h)
        h' = (h + Δt f A) / (1 + Δt (1/τ + f))

    A starts at ±1 and τ at 1; both are trained, τ by its logarithm, so that it stays positive.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of the state h.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D, and the signs of A.
    - `dtype`: of the weights; `None` is JAX's default float.
    - `time_step`: Δt.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "LiquidGates"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        key: PRNGKeyArray,
        dtype: DType = None,
        time_step: float = 1.0,
    ):
        weights = initial_weights(1, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, signed = weights
        self.recurrent = LiquidGates(weight_hh, jnp.sign(signed), jnp.zeros_like(signed), time_step)


class LiquidGates(AbstractVectorGates):
    """The part of a liquid time-constant cell that sees the state."""

    weight_hh: Float[Array, "gates D"]
    reversal: Float[Array, " D"]
    log_tau: Float[Array, " D"]
    time_step: float = eqx.field(static=True)

    def step(self, state, projected, products):
        (f,) = map(sigmoid, add(projected, products(self.weight_hh, state)))
        denominator = 1 + self.time_step * (jnp.exp(-self.log_tau) + f)
        h = (state + self.time_step * f * self.reversal) / denominator
        return h, (f, denominator, h)

    # With N for the denominator, ∂h'/∂h = diag(1 / N) + diag(Δt (A - h') / N) ∂f/∂h.
    def jacobian(self, state, saved):
        f, denominator, h = saved
        h_by_f = self.time_step * (self.reversal - h) / denominator
        return [(1 / denominator,), (h_by_f * f * (1 - f), self.weight_hh)]
