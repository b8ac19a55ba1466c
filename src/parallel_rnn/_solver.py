"""The named methods. Each fills in what the loop leaves open: the transition and the step."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._flat import FlatRecurrence
from ._iterate import Iterate, Tolerance, TraceBuffer, iterate
from ._recurrence import AbstractRecurrence, default_recurrence
from ._solution import RESULTS
from ._transition import AbstractTransition, Dense, Diagonal
from ._types import Inputs

# (rtol, atol) for states of each precision. The residual of one step is a few roundings; these
# leave room for the sum of D products and are met long before the iteration stalls.
DEFAULT_TOLERANCES = {
    "float64": (1e-11, 1e-12),
    "float32": (1e-5, 1e-5),
    "bfloat16": (3e-2, 1e-2),
    "float16": (3e-3, 1e-3),
}


class Window(eqx.Module):
    """What there is to solve: the recurrence over a stretch of T steps.

    `guess` is where an iteration starts.
    """

    recurrence: FlatRecurrence
    s0: Float[Array, " D"]
    inputs: Inputs
    guess: Float[Array, "T D"]


class AbstractSolver(eqx.Module):
    """A way to find all states of a window."""

    @abc.abstractmethod
    def run(self, window: Window, max_steps: Array | int, trace: TraceBuffer) -> Iterate:
        """Solve one window."""

    @abc.abstractmethod
    def default_max_steps(self, window: int) -> int:
        """A number of iterations that is always enough for a window of this length."""

    @abc.abstractmethod
    def numbers_per_step(self, state_size: int) -> int:
        """How many numbers of working memory one step of the sequence takes: those of A_t."""


class Sequential(AbstractSolver):
    """One step after another by `jax.lax.scan`. The reference, and often the fastest on a CPU."""

    def run(self, window, max_steps, trace):
        del max_steps

        def step(s, x):
            s = window.recurrence.step(s, x)
            return s, s

        _, states = jax.lax.scan(step, window.s0, window.inputs, window.guess.shape[0])
        finite = jnp.all(jnp.isfinite(states), axis=1)
        residual = jnp.zeros((), states.dtype)
        return Iterate(
            states=states,
            num_steps=jnp.zeros((), int),
            done=jnp.asarray(True),
            result=RESULTS.where(jnp.all(finite), RESULTS.successful, RESULTS.nonfinite_state),
            residual=jnp.where(jnp.all(finite), residual, jnp.inf),
            num_verified=jnp.sum(jnp.cumprod(finite)),
            trace=trace.write(trace.empty(states), jnp.zeros((), int), states, residual),
        )

    def default_max_steps(self, window):
        del window
        return 0

    def numbers_per_step(self, state_size):
        del state_size
        return 0


class AbstractNewton(AbstractSolver):
    """The undamped methods: replace the recurrence by its linearisation and solve that.

    See `AbstractRecurrence.newton_step` for the formula.
    """

    transition: eqx.AbstractVar[AbstractTransition]
    recurrence: eqx.AbstractVar[AbstractRecurrence | None]
    rtol: eqx.AbstractVar[Any]
    atol: eqx.AbstractVar[Any]

    def run(self, window, max_steps, trace):
        recurrence = default_recurrence() if self.recurrence is None else self.recurrence
        inputs = _project(window)

        def linearise(previous):
            return self.transition.linearise(window.recurrence, previous, inputs)

        return iterate(
            linearise,
            recurrence.newton_step,
            _tolerance(self.rtol, self.atol, window.guess.dtype),
            window.s0,
            window.guess,
            jnp.asarray(max_steps),
            trace,
        )

    def default_max_steps(self, window):
        return window

    def numbers_per_step(self, state_size):
        return self.transition.numbers_per_step(state_size)


class DEER(AbstractNewton):
    """Newton's method on the whole trajectory, with the dense Jacobian of every step.

    Converges quadratically near the answer and is exact after at most T iterations. One
    iteration takes T D^2 memory, and T D^3 operations with `AssociativeScan`, T D^2 with
    `SequentialScan` (beside the Jacobians themselves).

    **Arguments:**

    - `rtol`, `atol`: a step is accepted where |s_t - f(s_{t-1}, x_t)| <= atol + rtol |s_t| in
      every component. `None` takes them from the dtype of the state (float64: 1e-11, 1e-12;
      float32: 1e-5, 1e-5; float16: 3e-3, 1e-3; bfloat16: 3e-2, 1e-2). Under `jit`, new
      Python numbers compile again and arrays do not.
    - `recurrence`: `AssociativeScan()`, `SequentialScan()`, or `None` for what is faster on the
      platform that the computation starts on.

    References: Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over
    the sequence length", ICLR 2024; Gonzalez, Warrington, Smith and Linderman, "Towards scalable
    and stable parallelization of nonlinear RNNs", NeurIPS 2024.
    """

    rtol: Any = None
    atol: Any = None
    recurrence: AbstractRecurrence | None = None
    transition: AbstractTransition = Dense()


class QuasiDEER(AbstractNewton):
    """Newton's method with only the diagonal of every Jacobian.

    Has the same answer as `DEER`, at T D memory and operations an iteration. Converges linearly:
    fast where the diagonal dominates the Jacobian, and after at most T iterations in any case.

    **Arguments:** as for `DEER`.

    References: Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable
    parallelization of nonlinear RNNs", NeurIPS 2024, section 4.1.
    """

    rtol: Any = None
    atol: Any = None
    recurrence: AbstractRecurrence | None = None
    transition: AbstractTransition = Diagonal()


def _tolerance(rtol: Any, atol: Any, dtype: Any) -> Tolerance:
    defaults = DEFAULT_TOLERANCES[jnp.dtype(dtype).name]
    given = (rtol, atol)
    chosen = [
        default if value is None else value for value, default in zip(given, defaults, strict=True)
    ]
    return Tolerance(*(jnp.asarray(value, dtype) for value in chosen))


def _project(window: Window) -> Inputs:
    """The part of every step that no iteration changes."""
    if not jax.tree.leaves(window.inputs):
        return window.inputs
    return jax.vmap(window.recurrence.project)(window.inputs)
