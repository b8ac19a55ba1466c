"""What stands for the Jacobian of each step: the transition A_t of the linearised recurrence."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._flat import FlatRecurrence
from ._types import Inputs, Jacobians

# Columns of the Jacobian that the exact diagonal of an arbitrary `f` computes at a time. More
# columns are fewer passes over the sequence, each with that many tangents in memory.
COLUMNS_AT_A_TIME = 8


class AbstractTransition(eqx.Module):
    """Chooses A_t. All steps are independent, so all are evaluated at once."""

    @abc.abstractmethod
    def linearise(
        self, recurrence: FlatRecurrence, previous: Float[Array, "T D"], inputs: Inputs
    ) -> tuple[Float[Array, "T D"], Jacobians]:
        """Return f(s_{t-1}, x_t) and A_t for every t.

        **Arguments:**

        - `previous`: s_0, ..., s_{T-1}, the states that the steps start from.
        - `inputs`: the projected inputs of the T steps.
        """

    @abc.abstractmethod
    def numbers_per_step(self, state_size: int) -> int:
        """How many numbers one A_t holds."""


class Dense(AbstractTransition):
    """A_t = ∂f/∂s, all D x D entries (DEER; Lim et al. 2024, eq. 5).

    Uses the cell's `value_and_jacobian` where it offers one, else D forward-mode derivatives.
    """

    def linearise(self, recurrence, previous, inputs):
        closed_form = recurrence.value_and_jacobian
        if closed_form is not None:
            return jax.vmap(closed_form)(previous, inputs)

        def value_and_jacobian(s, x):
            def value_twice(s):
                value = recurrence.projected_step(s, x)
                return value, value

            jacobian, value = jax.jacfwd(value_twice, has_aux=True)(s)
            return value, jacobian

        return jax.vmap(value_and_jacobian)(previous, inputs)

    def numbers_per_step(self, state_size):
        return state_size * state_size


class Diagonal(AbstractTransition):
    """A_t = diag(∂f/∂s), exact (quasi-DEER; Gonzalez et al. 2024, section 4.1).

    Uses the cell's `value_and_diag` where it offers one. For any other `f` the columns of the
    Jacobian are computed a few at a time and only their diagonal entries are kept, so memory
    stays in proportion to T D.
    """

    def linearise(self, recurrence, previous, inputs):
        closed_form = recurrence.value_and_diag
        if closed_form is not None:
            return jax.vmap(closed_form)(previous, inputs)

        def values(s):
            return jax.vmap(recurrence.projected_step)(s, inputs)

        value, derivative = jax.linearize(values, previous)
        size = previous.shape[1]

        def diagonal_entry(column):
            unit = (jnp.arange(size) == column).astype(previous.dtype)
            tangent = derivative(jnp.broadcast_to(unit, previous.shape))
            return jnp.take(tangent, column, axis=1)

        entries = jax.lax.map(diagonal_entry, jnp.arange(size), batch_size=COLUMNS_AT_A_TIME)
        return value, entries.T

    def numbers_per_step(self, state_size):
        return state_size
