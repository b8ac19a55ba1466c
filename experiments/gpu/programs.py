"""The programs whose memory on a GPU is compared: an untrained GRU, rolled out by each method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from experiments.harness import methods as registry
from experiments.problems.gru import (
    METHODS,
    WHOLE_SEQUENCE,
    Rollout,
    cell_shapes,
    solved,
)
from parallel_rnn import AbstractAdjoint, ImplicitAdjoint, IteratedAdjoint

FORWARD, GRADIENT = "forward", "gradient"


class Cell(NamedTuple):
    """One program of the grid: its sizes, its method, and whether it takes a gradient as well."""

    batch: int
    dim: int
    length: int
    method: str
    derivative: str
    window: int


# Memory depends neither on the tolerance nor on the damping, so any values do.
LIMITS = {"rtol": 1e-5, "atol": 1e-5}
DAMPING = 1e-2
# The kinds of methods that roll a GRU out.
ROLLED_OUT = (registry.SEQUENTIAL, registry.UNDAMPED, registry.DAMPED, registry.WINDOWED)


def program(cell: Cell) -> tuple[Callable[[Any, jax.Array], Any], tuple[Any, Any]]:
    """A function of weights and inputs, and the shapes of both.

    Forward it returns the states; with the gradient it returns that of their mean square, in
    the weights and the inputs: what a layer of a network gives back.
    """
    shapes, static = cell_shapes(cell.dim)
    inputs = jax.ShapeDtypeStruct((cell.length, cell.batch, cell.dim), jnp.float32)

    def states(weights, inputs):
        start = jnp.zeros((cell.batch, cell.dim), jnp.float32)
        return _roll_out(cell, eqx.combine(weights, static), start, inputs).states

    def loss(weights, inputs):
        return jnp.mean(states(weights, inputs) ** 2)

    function = states if cell.derivative == FORWARD else jax.grad(loss, argnums=(0, 1))
    return function, (shapes, inputs)


def _roll_out(cell: Cell, gru: Any, start: jax.Array, inputs: jax.Array) -> Rollout:
    if cell.method == "sequential":
        return METHODS["sequential"](gru, start, inputs, 0.0)
    method = registry.METHODS[cell.method]
    damping = [DAMPING] if method.kind == registry.DAMPED else []
    solver = method.build(*damping, **LIMITS)
    options = {"window": cell.window} if method.kind == registry.WINDOWED else WHOLE_SEQUENCE
    adjoint = adjoint_like(cell.method, options["window"])
    return solved(gru, start, inputs, solver=solver, adjoint=adjoint, **options)


def adjoint_like(method: str, window: int | None) -> AbstractAdjoint:
    """An adjoint whose memory grows as its method's: with D for quasi-DEER, else with D squared."""
    if method.startswith("quasi"):
        return IteratedAdjoint(registry.METHODS["quasi_deer"].build(**LIMITS))
    return ImplicitAdjoint(window=window)
