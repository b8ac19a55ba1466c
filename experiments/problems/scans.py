"""Sequential evaluation: the forms of `jax.lax.scan` that stand as baselines.

All have the same answer. Which is the fastest depends on the device and on the width: the inputs
can be multiplied beforehand for all steps at once, so that a step reads half the weights, and
several steps can be one turn of the loop, which saves starting them on a GPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

# Steps in one turn of an unrolled loop. More gain nothing, on a GPU either.
UNROLLED = 8

Step = Callable[[Array, Any], Array]


class Form(NamedTuple):
    """A way to write the loop.

    - `parts`: (cell, inputs) -> the step that the loop takes, and what it takes it on.
    - `unroll`: steps in one turn of the loop.
    """

    parts: Callable[[Any, Array], tuple[Step, PyTree]]
    unroll: int


def as_they_are(cell: Any, inputs: Array) -> tuple[Step, PyTree]:
    """The cell on its inputs."""
    return cell, inputs


def inputs_first(cell: Any, inputs: Array) -> tuple[Step, PyTree]:
    """The part of the cell that sees the state, on the products with all inputs."""
    project = cell.project
    for _ in inputs.shape[:-1]:
        project = jax.vmap(project)
    return cell.recurrent, project(inputs)


FORMS = {
    "sequential": Form(as_they_are, 1),
    "inputs_first": Form(inputs_first, 1),
    "unrolled": Form(as_they_are, UNROLLED),
    "inputs_first_unrolled": Form(inputs_first, UNROLLED),
}


def roll_out(
    form: Form, cell: Any, start: Float[Array, "*batch D"], inputs: Float[Array, "T *batch M"]
) -> Float[Array, "T *batch D"]:
    """All states, those of a batch advanced together."""
    step, elements = form.parts(cell, inputs)
    if start.ndim == 2:
        step = over_batch(step, len(start), in_axis=0, out_axis=0)

    def turn(states: Array, x: PyTree) -> tuple[Array, Array]:
        states = step(states, x)
        return states, states

    return jax.lax.scan(turn, start, elements, unroll=form.unroll)[1]


def over_batch(function: Callable, size: int, in_axis: int, out_axis: Any) -> Callable:
    """`function(state, x)` for every series of a batch, its second argument batched on `in_axis`.

    A batch of one is computed without its axis, which costs a CPU up to a third more time.
    """
    if size > 1:
        return jax.vmap(function, in_axes=(0, in_axis), out_axes=out_axis)

    def only(state, x):
        result = function(state[0], jax.tree.map(lambda leaf: jnp.squeeze(leaf, in_axis), x))
        axes = jax.tree.broadcast(out_axis, result)
        return jax.tree.map(jnp.expand_dims, result, axes)

    return only
