"""The untrained GRU, and the methods that roll a batch of it out.

Arrays are time first, then batch: the layout in which `jax.lax.scan` reads and
writes the whole batch of a step in one piece.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from experiments.harness import methods as registry
from parallel_rnn import RESULTS, AbstractSolver, solve
from parallel_rnn.cells import GRUCell

# Options of `solve` with which the paper evaluates a method.
WHOLE_SEQUENCE: dict[str, Any] = {"guess": "zeros", "window": None}


class Rollout(NamedTuple):
    """A trajectory and how it was found.

    `num_steps` counts Newton iterations, the largest of the batch; it is `None` for
    the sequential method, which has none.
    """

    states: Float[Array, "time batch dim"]
    num_steps: Int[Array, ""] | None
    converged: Bool[Array, ""]


Method = Callable[
    [GRUCell, Float[Array, "batch dim"], Float[Array, "time batch width"], float], Rollout
]


def untrained_gru(key: PRNGKeyArray, input_size: int, dim: int) -> GRUCell:
    """A float32 GRU with Equinox's random initial weights."""
    cell = GRUCell(input_size, dim, key=key)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_array(leaf) else leaf, cell)


def cell_shapes(dim: int) -> tuple[Any, Any]:
    """The shapes of an untrained GRU's weights, and the rest of it; `eqx.combine` joins them."""
    cell = eqx.filter_eval_shape(untrained_gru, jax.random.key(0), dim, dim)
    return eqx.partition(cell, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))


def normal_inputs(
    key: PRNGKeyArray, length: int, batch: int, width: int
) -> Float[Array, "time batch width"]:
    """Independent N(0, 1) inputs, float32."""
    return jax.random.normal(key, (length, batch, width), dtype=jnp.float32)


def sequential(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
    """One `jax.lax.scan` that advances the whole batch: the baseline of every comparison."""
    del tolerance  # exact up to rounding
    batch_step = over_batch(cell, len(start), in_axis=0, out_axis=0)

    def step(states, x):
        states = batch_step(states, x)
        return states, states

    _, states = jax.lax.scan(step, start, inputs)
    return Rollout(states, None, jnp.array(True))


def undamped(name: str) -> Method:
    """A registered method on the whole sequence, from a guess of zeros."""

    def method(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
        solver = registry.METHODS[name].build(atol=tolerance, rtol=0.0)
        return newton(solver, cell, start, inputs, **WHOLE_SEQUENCE)

    return method


METHODS: dict[str, Method] = {
    registry.SEQUENTIAL: sequential,
    **{name: undamped(name) for name in registry.selected([registry.UNDAMPED])},
}


def newton(
    solver: AbstractSolver, cell: GRUCell, start: Array, inputs: Array, **options: Any
) -> Rollout:
    """All series of a batch, each solved with these options of `solve`."""

    def one(start, inputs):
        solution = solve(cell, start, inputs, solver=solver, throw=False, **options)
        converged = solution.result == RESULTS.successful
        return solution.value, solution.stats["num_steps"], converged

    states, num_steps, converged = over_batch(one, len(start), in_axis=1, out_axis=(1, 0, 0))(
        start, inputs
    )
    return Rollout(states, num_steps.max(), jnp.all(converged))


def over_batch(function: Callable, size: int, in_axis: int, out_axis: Any) -> Callable:
    """`function(state, x)` for every series of a batch, its second argument batched on `in_axis`.

    A batch of one is computed without its axis, which costs a CPU up to a third more time.
    """
    if size > 1:
        return jax.vmap(function, in_axes=(0, in_axis), out_axes=out_axis)

    def only(state, x):
        result = function(state[0], jnp.squeeze(x, in_axis))
        axes = jax.tree.broadcast(out_axis, result)
        return jax.tree.map(jnp.expand_dims, result, axes)

    return only
