"""Lorenz96: a ring of variables that advect, damp and force each other, chaotic for F = 8.

    ds_i/dt = (s_{i+1} - s_{i-2}) s_{i-1} - s_i + F

The recurrence advances it by one fixed step of Dormand and Prince's fifth-order Runge-Kutta
method. A flow whose divergence is -D everywhere: volumes shrink by exp(-D) in a unit of time.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# Gonzalez et al. start on the second half of a run of this many steps, at equal distances.
RUN_LENGTH = 20_000
STARTS_APART = 1_000


def _field(time: Any, s: tuple[Array, ...], forcing: Any) -> tuple[Array, ...]:
    del time
    size = len(s)
    return tuple((s[(i + 1) % size] - s[i - 2]) * s[i - 1] - s[i] + forcing for i in range(size))


_TERM = diffrax.ODETerm(_field)
# A plain loop over the stages: unlike diffrax's default it has derivatives in forward mode.
_SOLVER = diffrax.Dopri5(scan_kind="lax")


class Lorenz96(eqx.Module):
    """The recurrence `model(state, input)`; there is no input, whatever is passed is not used.

    Has derivatives in forward mode (`jax.jvp`, `jax.jacfwd`) only.

    **Arguments:**

    - `size`: D, the number of variables.
    - `forcing`: F, a number, or an array of the state's dtype to change it without compiling anew.
    - `step`: time between two states.

    References: Lorenz, "Predictability: a problem partly solved", ECMWF 1996; Gonzalez,
    Warrington, Smith and Linderman, "Towards scalable and stable parallelization of nonlinear
    RNNs", NeurIPS 2024, Figure 8.
    """

    size: int = eqx.field(static=True, default=5)
    forcing: Any = 8.0
    step: float = eqx.field(static=True, default=0.01)

    def __call__(self, state: Float[Array, " D"], _: Any = None) -> Float[Array, " D"]:
        # Variables apart, not as one array: with many steps at once each is a long vector, which a
        # CPU takes twice as fast.
        variables = tuple(state)
        # Times of the state's dtype, as strict promotion wants them.
        t0, t1 = jnp.zeros((), state.dtype), jnp.asarray(self.step, state.dtype)
        stages = _SOLVER.init(_TERM, t0, t1, variables, self.forcing)
        moved, *_ = _SOLVER.step(
            _TERM, t0, t1, variables, self.forcing, solver_state=stages, made_jump=False
        )
        return jnp.stack(moved)

    def perturbed_rest(self, dtype: DTypeLike = jnp.float32) -> Float[Array, " D"]:
        """F + 0.01 e_1: next to the state of rest, which is unstable for large F."""
        rest = jnp.full(self.size, self.forcing, dtype)
        return rest.at[0].add(0.01)

    def states(self, start: Float[Array, " D"], length: int) -> Float[Array, "T D"]:
        """The states s_1, ..., s_T behind a start, one after another."""

        def advance(state: Array, _: None) -> tuple[Array, Array]:
            state = self(state)
            return state, state

        return jax.lax.scan(advance, start, length=length)[1]

    def starts(self, count: int = 10, dtype: DTypeLike = jnp.float32) -> Float[Array, "count D"]:
        """States on the attractor, as far apart as in Figure 8; at most 10.

        **Raises:** `ValueError` for a count outside 1 to 10.
        """
        first = RUN_LENGTH // 2
        most = (RUN_LENGTH - first) // STARTS_APART
        if not 1 <= count <= most:
            raise ValueError(f"`count` is {count}; there are 1 to {most} starting states.")
        run = eqx.filter_jit(self.states)(self.perturbed_rest(dtype), RUN_LENGTH)
        return run[first - 1 :: STARTS_APART][:count]


def deviation(states: Float[Array, "T D"], expected: Float[Array, "T D"]) -> Float[Array, ""]:
    """The paper's mean absolute deviation: a sum over the variables, a mean over the steps.

    Infinite where a state is not finite.
    """
    mad = jnp.mean(jnp.sum(jnp.abs(states - expected), axis=1))
    return jnp.where(jnp.isfinite(mad), mad, jnp.inf)
