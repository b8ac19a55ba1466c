"""What a solver is, and the frame of all that iterate."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._finite import all_finite, count_leading
from .._linear.linear_scan import AbstractLinearScan, check_linear_scan, linear_scan_or_default
from .._programs.pieces import change_on_piece
from .._programs.varying import axes_of, varying_over
from .._recurrence.flat import FlatRecurrence, ravel_states
from .._recurrence.transition import AbstractTransition, check_transition
from .._right.acceptance import (
    AbstractAcceptance,
    Tolerance,
    accumulation_dtype,
    only_if,
    unknown_verdict,
)
from .._right.rounding import Rounding
from .._types import Inputs
from .._values import as_scalar, check_number
from .iterate import Advance, Iterate, Loop, Point, Problem, iterate
from .solution import RESULTS

# (rtol, atol) for states of each precision: what an explicit tolerance takes for the half that is
# not given. They leave room for the sum of D products.
TOLERANCES = {
    "float64": (1e-11, 1e-12),
    "float32": (1e-5, 1e-5),
    "bfloat16": (3e-2, 1e-2),
    "float16": (3e-3, 1e-3),
}


class Window(eqx.Module):
    """What there is to solve: the recurrence over a stretch of T steps.

    - `recurrence`: f on flat states. `step(s, x)` takes one step.
    - `s0`: the state before the first step, `inputs`: those of the T steps.
    - `guess`: where an iteration starts. Its first `num_known` states are right already.
    - `valid_length`: steps from here on are padding.
    - `steps_before`, `sum_before`: how many steps of the sequence lie before, and the sum of their
      residuals. The default judges by them whether errors add up over all windows.
    """

    recurrence: FlatRecurrence
    s0: Float[Array, " D"]
    inputs: Inputs
    guess: Float[Array, "T D"]
    num_known: Int[Array, ""]
    valid_length: Int[Array, ""]
    steps_before: Int[Array, ""]
    sum_before: Float[Array, " D"]

    def counts(self) -> Bool[Array, " T"]:
        """Which steps are neither known nor padding."""
        t = jnp.arange(len(self.guess))
        return (t >= self.num_known) & (t < self.valid_length)


class AbstractSolver(eqx.Module):
    """A way to find all states of a window."""

    @abc.abstractmethod
    def run(self, window: Window, max_steps: Array | int, loop: Loop) -> Iterate:
        """Solve one window in at most `max_steps` iterations.

        The trace that a user asks for is kept by `loop.empty_trace` and `loop.write`.
        """

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

        recurrence = window.recurrence
        axes = axes_of((recurrence, window.s0, window.inputs))

        def step(s, x):
            # Also what is the same on all devices of a `jax.shard_map`, such as a constant.
            s = varying_over(axes, recurrence.shaped_step(s, x))
            return s, s

        length = window.guess.shape[0]
        shaped = jax.lax.scan(step, recurrence.unravel(window.s0), window.inputs, length)[1]
        states = ravel_states(shaped)
        zero = jnp.zeros((), int)
        residual = jnp.zeros((), accumulation_dtype(states.dtype))
        trace = loop.write(loop.empty_trace(states), zero, states, residual)
        num_finite = count_finite(shaped, window.valid_length)
        return stepped(window, states, num_finite, residual, zero, trace)

    def finish(self, window: Window, reached: Iterate) -> Iterate:
        """Take the steps behind the verified states of an iterate one after another."""

        def step(s, element):
            t, known, x = element
            s = jax.lax.cond(
                t < reached.verdict.num_verified,
                lambda: known,
                lambda: window.recurrence.step(s, x),
            )
            return s, s

        elements = (jnp.arange(len(reached.states)), reached.states, window.inputs)
        states = jax.lax.scan(step, window.s0, elements)[1]
        # These steps have no residual, and that of the verified ones is within the tolerance.
        residual = jnp.minimum(reached.verdict.residual, 1)
        num_finite = count_finite(states, window.valid_length)
        return stepped(window, states, num_finite, residual, reached.num_steps, reached.trace)

    def default_max_steps(self, window):
        del window
        return 0

    def numbers_per_step(self, state_size):
        del state_size
        return 0


def stepped(
    window: Window,
    states: Array,
    num_finite: Array,
    residual: Array,
    num_steps: Array,
    trace: PyTree,
) -> Iterate:
    """The outcome of steps taken one after another: right up to the first that is not finite."""
    ok = num_finite == len(states)
    verdict = dataclasses.replace(
        unknown_verdict(states),
        accepted=ok,
        num_verified=num_finite,
        residual=jnp.where(ok, residual, jnp.inf),
        sum=window.sum_before,
    )
    return Iterate(
        states=states,
        num_steps=num_steps,
        done=jnp.asarray(True),
        result=RESULTS.where(ok, RESULTS.successful, RESULTS.nonfinite_state),
        verdict=verdict,
        trace=trace,
    )


def count_finite(states: PyTree, valid_length: Int[Array, ""]) -> Int[Array, ""]:
    """How many states are finite before the first that is not; T if only padding is not.

    Parts of states that are arrays of their own are looked at as they are: putting them together
    would copy them.
    """

    def count(leaves: list[Array]) -> Int[Array, ""]:
        finite = [jax.vmap(all_finite)(leaf) for leaf in leaves]
        finite = jnp.all(jnp.stack(finite), axis=0)
        return count_leading(finite | (jnp.arange(len(finite)) >= valid_length))

    leaves = jax.tree.leaves(states)
    return only_if(~all_finite(leaves), count, leaves, jnp.asarray(len(leaves[0])))


class AbstractIterative(AbstractSolver):
    """A method that replaces the recurrence by a linear one around the present states.

    What stands for the Jacobians is the transition; how the next states follow from the linear
    recurrence is the step.
    """

    rtol: eqx.AbstractVar[Any]
    atol: eqx.AbstractVar[Any]
    linear_scan: eqx.AbstractVar[AbstractLinearScan | None]
    transition: eqx.AbstractVar[AbstractTransition]

    def __check_init__(self):
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if value is not None:
                check_number(name, value, 0)
        check_linear_scan(self.linear_scan)
        check_transition(self.transition)

    @abc.abstractmethod
    def method(self, linear_scan: AbstractLinearScan, point: Point) -> tuple[Advance, PyTree]:
        """The step of the method, and the memory that it starts with.

        The step is a function `advance(point, memory) -> (next states, memory)`. The memory is
        what the method carries from one iteration to the next, such as a damping that adapts.

        **Arguments:**

        - `linear_scan`: solves the linear recurrence of an iteration.
        - `point`: what is known before the first iteration. Only its shapes are right yet.
        """

    def run(self, window, max_steps, loop):
        linear_scan = linear_scan_or_default(self.linear_scan)
        inputs = window.recurrence.project_all(window.inputs, len(window.guess))

        def linearise(previous, iteration):
            return self.transition.linearise(window.recurrence, previous, inputs, iteration)

        change = change_on_piece(window.recurrence.projected_step)
        on_piece = change and (lambda before, moved: jax.vmap(change)(before, moved, inputs))
        zero = jnp.zeros((), int)
        shapes = jax.eval_shape(linearise, window.guess, zero)
        values, A = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        residual = jnp.zeros((), accumulation_dtype(values.dtype))
        start = Point(window.guess, values, A, zero, residual)
        advance, memory = self.method(linear_scan, start)
        return iterate(
            Problem(linearise, on_piece, window.s0, window.guess, window.counts()),
            self.acceptance(window),
            advance,
            memory,
            jnp.asarray(max_steps),
            loop,
        )

    def has_tolerance(self) -> bool:
        """Whether the user says how large a residual may be."""
        return self.rtol is not None or self.atol is not None

    def acceptance(self, window: Window, stride: int = 1) -> AbstractAcceptance:
        """When states of a window are right, those of every step or of one in `stride`."""
        dtype = window.guess.dtype
        if not self.has_tolerance():
            return Rounding(
                linear_scan_or_default(self.linear_scan),
                float(jnp.finfo(dtype).eps),
                window.recurrence.eps,
                window.steps_before,
                window.sum_before,
                stride,
            )
        rtol, atol = TOLERANCES[jnp.dtype(dtype).name]
        return Tolerance(
            as_scalar("rtol", rtol if self.rtol is None else self.rtol, dtype),
            as_scalar("atol", atol if self.atol is None else self.atol, dtype),
        )
