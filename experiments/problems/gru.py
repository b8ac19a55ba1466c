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
from experiments.problems import scans
from parallel_rnn import RESULTS, solve
from parallel_rnn.cells import GRUCell

# Options of `solve` with which the paper evaluates a method.
WHOLE_SEQUENCE: dict[str, Any] = {"guess": "zeros", "window": None}


class Rollout(NamedTuple):
    """A trajectory and how it was found.

    `num_steps` counts Newton iterations, or sweeps of chunks, the largest of the batch; it is
    `None` for the sequential method, which has none.
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


def stepped(form: str) -> Method:
    """One `jax.lax.scan` in a form of `scans.FORMS`, which advances the whole batch."""

    def method(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
        del tolerance  # exact up to rounding
        states = scans.roll_out(scans.FORMS[form], cell, start, inputs)
        return Rollout(states, None, jnp.array(True))

    return method


def undamped(name: str) -> Method:
    """A registered method on the whole sequence, from a guess of zeros."""

    def method(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
        solver = registry.METHODS[name].build(atol=tolerance, rtol=0.0)
        return solved(cell, start, inputs, solver=solver, **WHOLE_SEQUENCE)

    return method


def chunked(name: str, chunk: int) -> Method:
    """A registered method in chunks of so many steps, by default options in all else.

    No tolerance is asked for: chunks hold the states to what rounding leaves of a step.
    """

    def method(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
        del tolerance
        solver = registry.METHODS[name].build()
        return solved(cell, start, inputs, solver=solver, chunk=chunk)

    return method


def by_default(cell: GRUCell, start: Array, inputs: Array, tolerance: float) -> Rollout:
    """`solve` as users call it first. A solver that is named would be taken at its word."""
    del tolerance
    return solved(cell, start, inputs)


# The methods that need a tolerance at most.
METHODS: dict[str, Method] = {
    **{name: stepped(name) for name in registry.selected([registry.SEQUENTIAL, registry.SCAN])},
    **{name: undamped(name) for name in registry.selected([registry.UNDAMPED])},
    **dict.fromkeys(registry.selected([registry.DEFAULT]), by_default),
}


def solved(cell: GRUCell, start: Array, inputs: Array, **options: Any) -> Rollout:
    """All series of a batch, each solved with these options of `solve`."""

    def one(start, inputs):
        solution = solve(cell, start, inputs, throw=False, **options)
        converged = solution.result == RESULTS.successful
        return solution.value, solution.stats["num_steps"], converged

    states, num_steps, converged = scans.over_batch(one, len(start), in_axis=1, out_axis=(1, 0, 0))(
        start, inputs
    )
    return Rollout(states, num_steps.max(), jnp.all(converged))
