"""Looks for all states of a system at once, from a guess of zeros; its iterates can be kept."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.harness.methods import CHUNKED, DAMPED, METHODS
from experiments.harness.outcome import PAPER_THRESHOLD, first_below
from experiments.problems.systems import System

# The methods that the paper compares.
COMPARED = ("deer", "quasi_deer", "elk", "quasi_elk")

Search = Callable[[System, Float[Array, ""]], tuple[Array, Int[Array, ""]]]


def search(
    method: str,
    tolerance: float,
    max_steps: int,
    trace: Callable[[System, Array], Any] | None,
    chunk: int | None = None,
) -> Search:
    """A compiled function (system, damping) -> (trace of all iterates, number of iterations).

    Compiled once for all models, draws and dampings.

    **Arguments:**

    - `tolerance`: the search ends when no residual is above it, absolute and relative. Where
      errors grow from step to step, a small residual everywhere is not yet a small MAD.
    - `trace`: (system, states) -> what to keep of an iterate.
    - `chunk`: the steps of a chunk, for methods in chunks only. Their iterations are sweeps, and
      they go on to rounding whatever the tolerance is.
    """

    @eqx.filter_jit
    def run(system: System, damping: Array) -> tuple[Array, Array]:
        keep = None if trace is None else _on_states(trace, system)
        chosen = METHODS[method]
        given = (damping,) if chosen.kind == DAMPED else ()
        limits = {} if chosen.kind == CHUNKED else {"rtol": tolerance, "atol": tolerance}
        solution = system.solve(
            chosen.build(*given, **limits),
            window=None,
            chunk=chunk,
            guess="zeros",
            max_steps=max_steps,
            trace=keep,
        )
        return solution.trace, solution.stats["num_steps"]

    return run


def _on_states(trace: Callable[[System, Array], Any], system: System) -> Callable:
    """`trace` as a function of the step, states and residual that `solve` calls a trace with."""
    return lambda step, states, residual: trace(system, states)


def deviations(run: Search, system: System, damping: float) -> np.ndarray:
    """The MAD of the iterates 0, 1, ..., by a search that traces `System.mad`."""
    mad, num_steps = run(system, like(system, damping))
    return np.asarray(mad)[: int(num_steps) + 1]


def summarise(mad: np.ndarray) -> dict[str, Any]:
    """Three columns of a solve: iterations to the answer, iterations in all, and the last MAD."""
    return {
        "num_steps": first_below(mad, PAPER_THRESHOLD),
        "run_steps": len(mad) - 1,
        "last_mad": mad[-1],
    }


def like(system: System, damping: float) -> Array:
    """λ as an array of the states' dtype, so that a solve with another λ compiles nothing."""
    return jnp.asarray(damping, system.s0.dtype)
