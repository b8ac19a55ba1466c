"""What a solver is, and the frame of all that iterate."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ._flat import FlatRecurrence
from ._iterate import Advance, Iterate, Loop, Point, Tolerance, iterate
from ._recurrence import AbstractRecurrence, recurrence_or_default
from ._solution import RESULTS
from ._transition import AbstractTransition
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

    `guess` is where an iteration starts. Steps from `valid_length` on are padding.
    """

    recurrence: FlatRecurrence
    s0: Float[Array, " D"]
    inputs: Inputs
    guess: Float[Array, "T D"]
    valid_length: Int[Array, ""]


class AbstractSolver(eqx.Module):
    """A way to find all states of a window."""

    @abc.abstractmethod
    def run(self, window: Window, max_steps: Array | int, loop: Loop) -> Iterate:
        """Solve one window in at most `max_steps` iterations."""

    @abc.abstractmethod
    def default_max_steps(self, window: int) -> int:
        """The bound on the iterations for a window of this length, where none is given."""

    @abc.abstractmethod
    def numbers_per_step(self, state_size: int) -> int:
        """How many numbers of working memory one step of the sequence takes."""


class Sequential(AbstractSolver):
    """One step after another by `jax.lax.scan`. The reference, and often the fastest on a CPU."""

    def run(self, window, max_steps, loop):
        del max_steps

        def step(s, x):
            s = window.recurrence.step(s, x)
            return s, s

        length = window.guess.shape[0]
        states = jax.lax.scan(step, window.s0, window.inputs, length)[1]
        zero = jnp.zeros((), int)
        residual = jnp.zeros((), states.dtype)
        trace = loop.write(loop.empty_trace(states), zero, states, residual)
        return _stepped(window, states, residual, zero, trace)

    def finish(self, window: Window, reached: Iterate) -> Iterate:
        """Take the steps behind the verified states of an iterate one after another."""

        def step(s, element):
            t, known, x = element
            s = jax.lax.cond(
                t < reached.num_verified, lambda: known, lambda: window.recurrence.step(s, x)
            )
            return s, s

        elements = (jnp.arange(len(reached.states)), reached.states, window.inputs)
        states = jax.lax.scan(step, window.s0, elements)[1]
        # These steps have no residual, and that of the verified ones is within the tolerance.
        residual = jnp.minimum(reached.residual, 1)
        return _stepped(window, states, residual, reached.num_steps, reached.trace)

    def default_max_steps(self, window):
        del window
        return 0

    def numbers_per_step(self, state_size):
        del state_size
        return 0


def _stepped(
    window: Window, states: Array, residual: Array, num_steps: Array, trace: PyTree
) -> Iterate:
    """The outcome of steps taken one after another: right up to the first that is not finite."""
    finite = jnp.all(jnp.isfinite(states), axis=1)
    finite = finite | (jnp.arange(len(states)) >= window.valid_length)
    return Iterate(
        states=states,
        num_steps=num_steps,
        done=jnp.asarray(True),
        result=RESULTS.where(jnp.all(finite), RESULTS.successful, RESULTS.nonfinite_state),
        residual=jnp.where(jnp.all(finite), residual, jnp.inf),
        num_verified=jnp.sum(jnp.cumprod(finite)),
        trace=trace,
    )


class AbstractIterative(AbstractSolver):
    """A method that replaces the recurrence by a linear one around the present states.

    What stands for the Jacobians is the transition; how the next states follow from the linear
    recurrence is the step.
    """

    transition: eqx.AbstractVar[AbstractTransition]
    recurrence: eqx.AbstractVar[AbstractRecurrence | None]
    rtol: eqx.AbstractVar[Any]
    atol: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def method(self, recurrence: AbstractRecurrence, point: Point) -> tuple[Advance, PyTree]:
        """The step of the method, and the memory it starts with; `point` gives shapes."""

    def run(self, window, max_steps, loop):
        recurrence = recurrence_or_default(self.recurrence)
        inputs = window.recurrence.project_all(window.inputs)

        def linearise(previous, iteration):
            return self.transition.linearise(window.recurrence, previous, inputs, iteration)

        zero = jnp.zeros((), int)
        shapes = jax.eval_shape(linearise, window.guess, zero)
        values, A = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        advance, memory = self.method(recurrence, Point(window.guess, values, A, zero))
        return iterate(
            linearise,
            advance,
            memory,
            _tolerance(self.rtol, self.atol, window.guess.dtype),
            window.s0,
            window.guess,
            window.valid_length,
            jnp.asarray(max_steps),
            loop,
        )


def _tolerance(rtol: Any, atol: Any, dtype: Any) -> Tolerance:
    defaults = DEFAULT_TOLERANCES[jnp.dtype(dtype).name]
    given = (rtol, atol)
    chosen = [
        default if value is None else value for value, default in zip(given, defaults, strict=True)
    ]
    return Tolerance(*(jnp.asarray(value, dtype) for value in chosen))
