"""Long short-term memory: the state is the memory cells and the output."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._gates import (
    AbstractCell,
    AbstractPartsGates,
    DType,
    Jacobian,
    add,
    initial_weights,
    sigmoid,
    through,
    with_weights,
)


class LSTMCell(AbstractCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with the forget gate of Gers,
    Schmidhuber and Cummins (2000), in Equinox's layout.

        i, f, o = σ(W x + b + U h), each with its own weights
        g = tanh(W_g x + b_g + U_g h)
        c' = f c + i g
        h' = o tanh(c')

    The state is the tuple (c, h). The gates are stacked in the order i, f, g, o.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of c and of h.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "LSTMGates"

    def __init__(
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: DType = None
    ):
        weights = initial_weights(4, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, _ = weights
        self.recurrent = LSTMGates(weight_hh)

    @classmethod
    def from_equinox(cls, cell: eqx.nn.LSTMCell) -> "LSTMCell":
        """The same cell as a recurrence: `cell((c, h), x)`, where Equinox has `cell(x, (h, c))`.

        **Raises:** `ValueError` for a cell without bias.
        """
        ours = cls(cell.input_size, cell.hidden_size, key=jax.random.key(0))
        return with_weights(ours, cell)


class LSTMGates(AbstractPartsGates):
    """The part of an LSTM that sees the state."""

    num_parts: ClassVar[int] = 2
    weight_hh: Float[Array, "gates D"]

    def step(self, state, projected, products):
        c, h = state
        i, f, g, o = add(projected, products(self.weight_hh, h))
        i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
        c = f * c + i * g
        t = jnp.tanh(c)
        return (c, o * t), (i, f, g, o, t)

    # With t = tanh(c'), a dash for the derivative of a gate's nonlinearity, and s for c or h,
    #
    #     ∂c'/∂c = diag(f),  ∂c'/∂h = diag(g i') U_i + diag(c f') U_f + diag(i g') U_g
    #     ∂h'/∂s = diag(o (1 - t²)) ∂c'/∂s + diag(t) ∂o/∂s,  ∂o/∂h = diag(o') U_o
    def jacobian(self, state, saved):
        c, _ = state
        i, f, g, o, t = saved
        weight_i, weight_f, weight_g, weight_o = jnp.split(self.weight_hh, 4)
        c_by_c = [(f,)]
        c_by_h = [
            (g * i * (1 - i), weight_i),
            (c * f * (1 - f), weight_f),
            (i * (1 - g * g), weight_g),
        ]
        h_by_new_c = o * (1 - t * t)
        h_by_c = through(h_by_new_c, jacobian=c_by_c)
        h_by_h = [*through(h_by_new_c, jacobian=c_by_h), (t * o * (1 - o), weight_o)]
        return (c_by_c, c_by_h), (h_by_c, h_by_h)


class SLSTMCell(AbstractCell):
    """An sLSTM: an LSTM with exponential gating (Beck et al. 2024, "xLSTM", eqs. 8 to 17).

        z = tanh(W_z x + b_z + U_z h), o = σ(W_o x + b_o + U_o h)
        log i = W_i x + b_i + U_i h, log f = log σ(W_f x + b_f + U_f h)
        m' = max(log f + m, log i)
        i' = exp(log i - m'), f' = exp(log f + m - m')
        c' = f' c + i' z, n' = f' n + i'
        h' = o c' / n'

    The state is the tuple (c, n, m, h): memory, normaliser, stabiliser and output. The gates are
    stacked in the order i, f, z, o; U is dense (a single head).

    A unit with n = 0 has no memory yet, and m' = log i there, as in the authors' code. Then n' is
    1, and it stays at least 1, because i' or f' is 1 in every step. A solver's iterates need not
    be states that a sequence reaches; h' divides by at least 1/2, so that they stay finite.

    **Arguments:**

    - `input_size`: length M of an input.
    - `hidden_size`: length D of c, n, m and h.
    - `key`: a `jax.random.key` for the weights, uniform on ±1/√D.
    - `dtype`: of the weights; `None` is JAX's default float.
    """

    weight_ih: Float[Array, "gates M"]
    bias: Float[Array, " gates"]
    recurrent: "SLSTMGates"

    def __init__(
        self, input_size: int, hidden_size: int, *, key: PRNGKeyArray, dtype: DType = None
    ):
        weights = initial_weights(4, input_size, hidden_size, key, dtype)
        self.weight_ih, weight_hh, self.bias, _ = weights
        self.recurrent = SLSTMGates(weight_hh)


# Below 1, the least normaliser of a state that a sequence reaches, so that none meets the kink.
LEAST_NORMALISER = 0.5


class SLSTMGates(AbstractPartsGates):
    """The part of an sLSTM that sees the state."""

    num_parts: ClassVar[int] = 4
    weight_hh: Float[Array, "gates D"]

    # With the lead d = log f + m - log i, the stabilised gates are f' = exp(min(d, 0)) and
    # i' = exp(-max(d, 0)), and m' = log i + max(d, 0): no exponential overflows.
    def step(self, state, projected, products):
        c, n, m, h = state
        log_i, f, z, o = add(projected, products(self.weight_hh, h))
        z, o = jnp.tanh(z), sigmoid(o)
        lead = jax.nn.log_sigmoid(f) + m - log_i
        rise = jnp.where(n == 0, 0, jnp.maximum(lead, 0))
        i_gate, f_gate = jnp.exp(-rise), jnp.exp(jnp.minimum(lead, 0))
        c = f_gate * c + i_gate * z
        n = f_gate * n + i_gate
        ratio = c / jnp.maximum(n, LEAST_NORMALISER)
        return (c, n, log_i + rise, o * ratio), (i_gate, f_gate, f, z, o, lead, n, ratio)

    # With k = ∂max(d, 0)/∂d, which is 0 or 1,
    #
    #     ∂i'/∂d = -k i',  ∂f'/∂d = (1 - k) f',  ∂m'/∂d = k at fixed log i
    #     ∂d/∂m = I,  ∂d/∂h = diag(1 - f) U_f - U_i,  ∂(log i)/∂h = U_i
    #     ∂h'/∂s = diag(o / n') [∂c'/∂s - diag(c' / n') ∂n'/∂s] + diag(c' / n') ∂o/∂s
    def jacobian(self, state, saved):
        c, n, _, _ = state
        i_gate, f_gate, f, z, o, lead, new_n, ratio = saved
        weight_i, weight_f, weight_z, weight_o = jnp.split(self.weight_hh, 4)
        follows = (lead > 0) & (n != 0)
        i_by_lead = jnp.where(follows, -i_gate, 0)
        f_by_lead = jnp.where(lead > 0, 0, f_gate)
        m_by_lead = follows.astype(lead.dtype)
        c_by_lead, n_by_lead = f_by_lead * c + i_by_lead * z, f_by_lead * n + i_by_lead

        def by_h(by_lead: Array) -> Jacobian:
            return [(-by_lead, weight_i), (by_lead * sigmoid(-f), weight_f)]

        c_by_h = [*by_h(c_by_lead), (i_gate * (1 - z * z), weight_z)]
        m_by_h = [*by_h(m_by_lead), (jnp.ones_like(lead), weight_i)]
        c_row = [(f_gate,)], [], [(c_by_lead,)], c_by_h
        n_row = [], [(f_gate,)], [(n_by_lead,)], by_h(n_by_lead)
        m_row = [], [], [(m_by_lead,)], m_by_h
        h_by_c = o / jnp.maximum(new_n, LEAST_NORMALISER)
        h_by_n = jnp.where(new_n > LEAST_NORMALISER, -h_by_c * ratio, 0)
        h_row = [
            through(h_by_c, jacobian=by_c) + through(h_by_n, jacobian=by_n)
            for by_c, by_n in zip(c_row, n_row, strict=True)
        ]
        h_row[3].append((ratio * o * (1 - o), weight_o))
        return c_row, n_row, m_row, h_row
