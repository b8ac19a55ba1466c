"""The recurrences that methods are compared on, each with its inputs and its sequential answer."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.harness.outcome import PAPER_THRESHOLD
from experiments.problems.argru import ARGRU
from experiments.problems.lorenz96 import Lorenz96
from experiments.problems.lorenz96 import deviation as summed_deviation
from parallel_rnn import AbstractSolver, Sequential, Solution, solve

# Which of the starts, counted from 0, the paper's picture of Lorenz96 has.
LORENZ96_START = 7


class System(eqx.Module):
    """A recurrence s_t = f(s_{t-1}, x_t) from s_0 over T steps, and the states that it takes.

    - `xs`: the inputs, `None` for a recurrence without.
    - `answer`: all states as `jax.lax.scan` finds them.
    - `deviation`: (states, answer) -> the MAD as the paper takes it for this system.
    - `threshold`: the MAD below which states count as the answer.
    """

    f: Callable
    s0: Float[Array, " D"]
    xs: Array | None
    length: int = eqx.field(static=True)
    answer: Float[Array, "T D"]
    deviation: Callable = eqx.field(static=True)
    threshold: float = eqx.field(static=True)

    def solve(self, solver: AbstractSolver, **options: Any) -> Solution:
        """Solves for the system's states by a method; the solution tells where that failed."""
        return solve(self.f, self.s0, self.xs, solver, length=self.length, throw=False, **options)

    def mad(self, states: Float[Array, "T D"]) -> Float[Array, ""]:
        """The system's mean absolute deviation of states from its answer."""
        return self.deviation(states, self.answer)


def answered(
    f: Callable,
    s0: Array,
    xs: Array | None,
    length: int,
    deviation: Callable[[Array, Array], Array],
    threshold: float,
) -> System:
    """A system of these parts, with its answer, which is evaluated one step after another."""
    return System(f, s0, xs, length, _evaluate(f, s0, xs, length), deviation, threshold)


@eqx.filter_jit
def _evaluate(f: Callable, s0: Array, xs: Array | None, length: int) -> Array:
    return solve(f, s0, xs, Sequential(), length=length).value


def argru(model: ARGRU, length: int, seed: int) -> System:
    """The autoregressive GRU on noise that the seed draws.

    The deviation is that of the output x, averaged over the steps.
    """
    start = model.initial_state()
    noise = jax.random.normal(jax.random.key(seed), (length,), start.dtype)
    return answered(model, start, noise, length, output_deviation, PAPER_THRESHOLD)


def lorenz96(length: int) -> System:
    """Lorenz96 as in Figure 8. The deviation is summed over D and averaged over the steps."""
    model = Lorenz96()
    start = model.starts(LORENZ96_START + 1)[LORENZ96_START]
    return answered(model, start, None, length, summed_deviation, PAPER_THRESHOLD)


def output_deviation(states: Float[Array, "T D"], answer: Float[Array, "T D"]) -> Array:
    """Mean over the steps of |x - x'|, where x is the first number of a state."""
    return mean_deviation(states[:, :1], answer[:, :1])


def mean_deviation(states: Float[Array, "T D"], answer: Float[Array, "T D"]) -> Array:
    """Mean over the steps and the numbers of a state; infinite where a state is not finite."""
    mad = jnp.mean(jnp.abs(states - answer))
    return jnp.where(jnp.isfinite(mad), mad, jnp.inf)
