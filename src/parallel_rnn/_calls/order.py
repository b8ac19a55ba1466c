"""Which input belongs to which step: series from their last input to the first, and padding."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree


def in_scan_order(tree: PyTree, reverse: bool, valid_length: Int[Array, ""] | None) -> PyTree:
    """Every leaf in the order of the steps, and with the order of the steps as it was before.

    With `reverse` that is from the last entry that counts to the first. Padding stays at the end.
    """
    if not reverse:
        return tree

    def turn(leaf: Array) -> Array:
        if valid_length is None:
            return leaf[::-1]
        t = jnp.arange(len(leaf))
        places = jnp.where(t < valid_length, valid_length - 1 - t, t)
        return jnp.take(leaf, places, axis=0, mode="clip")

    return jax.tree.map(turn, tree)


def repeat_last(tree: PyTree, valid_length: Int[Array, ""], length: int) -> PyTree:
    """The inputs with the last one that counts in place of all padding, 0 if none counts.

    Padding may hold NaN, which would reach the derivatives of the steps before it.
    """
    last = jnp.minimum(jnp.arange(length), jnp.maximum(valid_length - 1, 0))

    def repeat(leaf: Array) -> Array:
        taken = jnp.take(leaf, last, axis=0)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            return taken  # keys have no 0, and none is NaN
        return jnp.where(valid_length > 0, taken, jnp.zeros_like(taken))

    return jax.tree.map(repeat, tree)
