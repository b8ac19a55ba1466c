"""What stands for the Jacobian of each step: the transition A_t of the linearised recurrence."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._programs.modes import check_forward_mode
from .._programs.varying import axes_of, varying_over
from .._types import Inputs, Jacobians
from .._values import as_count, as_scalar, check_count, check_kind, check_number, check_seed
from .flat import FlatRecurrence

# Columns of the Jacobian that the exact diagonal of an arbitrary `f` computes at a time. More
# columns are fewer passes over the sequence, each with that many tangents in memory.
COLUMNS_AT_A_TIME = 8


class AbstractTransition(eqx.Module):
    """Chooses A_t. All steps are independent, so all are evaluated at once."""

    @abc.abstractmethod
    def linearise(
        self,
        recurrence: FlatRecurrence,
        previous: Float[Array, "T D"],
        inputs: Inputs,
        iteration: Int[Array, ""],
    ) -> tuple[Float[Array, "T D"], Jacobians]:
        """Return f(s_{t-1}, x_t) and A_t for every t.

        **Arguments:**

        - `previous`: s_0, ..., s_{T-1}, the states that the steps start from.
        - `inputs`: the projected inputs of the T steps.
        - `iteration`: the number of the iteration, for transitions that draw random numbers.
        """

    @abc.abstractmethod
    def numbers_per_step(self, state_size: int) -> int:
        """How many numbers one A_t holds."""


class Dense(AbstractTransition):
    """A_t = ∂f/∂s, all D x D entries (DEER; Lim et al. 2024, eq. 5).

    Uses the cell's `value_and_jacobian` where it offers one, else D forward-mode derivatives.
    """

    def linearise(self, recurrence, previous, inputs, iteration):
        del iteration
        closed_form = recurrence.value_and_jacobian
        if closed_form is not None:
            return jax.vmap(closed_form)(previous, inputs)
        check_forward_mode(_all_values(recurrence, inputs), previous)

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

    def linearise(self, recurrence, previous, inputs, iteration):
        del iteration
        closed_form = recurrence.value_and_diag
        if closed_form is not None:
            return jax.vmap(closed_form)(previous, inputs)
        values, blocks = _blocks_by_columns(recurrence, previous, inputs, size=1)
        return values, blocks[:, 0, 0, :]

    def numbers_per_step(self, state_size):
        return state_size


class BlockDiagonal(AbstractTransition):
    """The blocks of ∂f/∂s that couple numbers at the same place of the state's parts, exact.

    A state of D numbers has b = `size` parts of n = D / b numbers, one after the other in the
    flattened state: (c, h) of an LSTM is two parts. Block u is the b x b matrix that couples the
    numbers at place u of all parts. Memory is T b D.

    Uses the cell's `value_and_blocks` where it offers blocks of this size; else the columns of
    the Jacobian are computed as for `Diagonal`.

    **Arguments:**

    - `size`: b, which must divide D.

    **Raises:** `ValueError` when it does not, and for a size below 1.
    """

    size: int = eqx.field(static=True, converter=as_count)

    def __check_init__(self):
        check_count("size", self.size, 1, "the number of parts of a state, 2 for an LSTM")

    def linearise(self, recurrence, previous, inputs, iteration):
        del iteration
        state_size = previous.shape[1]
        if state_size % self.size != 0:
            raise ValueError(
                f"`BlockDiagonal({self.size})` needs a state of a multiple of {self.size} numbers, "
                f"but this one has {state_size}. For an LSTM with state (c, h) use "
                "`BlockDiagonal(2)`."
            )
        closed_form = recurrence.value_and_blocks
        shape = (self.size, self.size, state_size // self.size)
        if closed_form is not None:
            values, blocks = jax.vmap(closed_form)(previous, inputs)
            if blocks.shape[1:] == shape:
                return values, blocks
        return _blocks_by_columns(recurrence, previous, inputs, self.size)

    def numbers_per_step(self, state_size):
        return self.size * state_size


class StochasticDiagonal(AbstractTransition):
    """An unbiased estimate of diag(∂f/∂s) from products of the Jacobian with random vectors.

    With probes z of independent signs, E[z (J z)] = diag(J) (Hutchinson 1989; Bekas, Kokiopoulou
    and Saad 2007). Takes `num_probes` forward derivatives of f, whatever D is, and fresh probes
    in each iteration. An off-diagonal entry of J adds its square to the variance.

    **Arguments:**

    - `num_probes`: probes of each step, whose estimates are averaged.
    - `seed`: of the probes; the same seed gives the same iterates.

    **Raises:** `ValueError` for fewer probes than 1.
    """

    num_probes: int = eqx.field(static=True, default=1, converter=as_count)
    seed: Any = 0

    def __check_init__(self):
        check_count("num_probes", self.num_probes, 1, "more probes, a better estimate")
        check_seed("seed", self.seed)

    def linearise(self, recurrence, previous, inputs, iteration):
        values, derivative = _linearised_steps(recurrence, previous, inputs)
        keys = jax.random.split(
            jax.random.fold_in(jax.random.key(self.seed), iteration), self.num_probes
        )

        def estimate(key):
            probe = jax.random.rademacher(key, previous.shape, previous.dtype)
            return probe * derivative(varying_over(axes_of(previous), probe))

        return values, jnp.mean(jax.lax.map(estimate, keys), axis=0)

    def numbers_per_step(self, state_size):
        return state_size


class Zero(AbstractTransition):
    """A_t = 0: the states do not see that their predecessors change (Jacobi)."""

    def linearise(self, recurrence, previous, inputs, iteration):
        del iteration
        return jax.vmap(recurrence.projected_step)(previous, inputs), jnp.zeros_like(previous)

    def numbers_per_step(self, state_size):
        return state_size


class Identity(AbstractTransition):
    """A_t = 1: a change is passed on as it is (Picard)."""

    def linearise(self, recurrence, previous, inputs, iteration):
        del iteration
        return jax.vmap(recurrence.projected_step)(previous, inputs), jnp.ones_like(previous)

    def numbers_per_step(self, state_size):
        return state_size


class Scaled(AbstractTransition):
    """Another transition times a number."""

    transition: AbstractTransition
    scale: Any

    def __check_init__(self):
        check_transition(self.transition)
        check_number("scale", self.scale)

    def linearise(self, recurrence, previous, inputs, iteration):
        values, A = self.transition.linearise(recurrence, previous, inputs, iteration)
        return values, as_scalar("scale", self.scale, A.dtype) * A

    def numbers_per_step(self, state_size):
        return self.transition.numbers_per_step(state_size)


class Clipped(AbstractTransition):
    """The entries of another, diagonal transition, cut off at ±1: no change can grow."""

    transition: AbstractTransition = Diagonal()

    def __check_init__(self):
        check_transition(self.transition)

    def linearise(self, recurrence, previous, inputs, iteration):
        values, A = self.transition.linearise(recurrence, previous, inputs, iteration)
        return values, jnp.clip(A, -1, 1)

    def numbers_per_step(self, state_size):
        return self.transition.numbers_per_step(state_size)


def check_transition(transition: Any) -> None:
    """Refuse what is no transition, such as the class of one."""
    examples = "a transition such as `Dense()` or `Diagonal()`"
    check_kind("transition", transition, AbstractTransition, examples)


def _linearised_steps(recurrence: FlatRecurrence, previous: Array, inputs: Inputs) -> Any:
    """All values, and the function that multiplies all Jacobians with tangents (T, D)."""
    values = _all_values(recurrence, inputs)
    check_forward_mode(values, previous)
    return jax.linearize(values, previous)


def _all_values(recurrence: FlatRecurrence, inputs: Inputs) -> Callable[[Array], Array]:
    """f at all steps, as a function of the states before them."""
    return lambda previous: jax.vmap(recurrence.projected_step)(previous, inputs)


def _blocks_by_columns(
    recurrence: FlatRecurrence, previous: Float[Array, "T D"], inputs: Inputs, size: int
) -> tuple[Float[Array, "T D"], Float[Array, "T b b n"]]:
    """All values and the blocks of the Jacobians, a few columns of these at a time."""
    values, derivative = _linearised_steps(recurrence, previous, inputs)
    steps, state_size = previous.shape
    places = state_size // size

    def entries(column):
        unit = (jnp.arange(state_size) == column).astype(previous.dtype)
        unit = varying_over(axes_of(previous), unit)
        tangent = derivative(jnp.broadcast_to(unit, previous.shape))
        parts = jnp.reshape(tangent, (steps, size, places))
        return jnp.take(parts, column % places, axis=2)

    columns = jax.lax.map(entries, jnp.arange(state_size), batch_size=COLUMNS_AT_A_TIME)
    # (part of the column, place, step, part of the row) -> (step, row, column, place)
    by_part = jnp.reshape(columns, (size, places, steps, size))
    return values, jnp.transpose(by_part, (2, 3, 0, 1))
