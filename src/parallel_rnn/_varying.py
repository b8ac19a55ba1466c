"""Which axes of a `jax.shard_map` an array varies over.

JAX checks that the carry of a loop varies over the same axes before and after a turn. States do as
the user's inputs do, counters begin as the same number on every device.
"""

from typing import Any

import jax
from jaxtyping import Array, PyTree


def axes_of(tree: PyTree) -> frozenset[Any]:
    """The axes that any array of a PyTree varies over. None outside of a `jax.shard_map`."""
    return frozenset().union(*(jax.typeof(leaf).mat.varying for leaf in jax.tree.leaves(tree)))


def varying_over(axes: frozenset[Any], tree: PyTree) -> PyTree:
    """The same arrays, varying over these axes as well."""

    def vary(leaf: Array) -> Array:
        missing = axes - axes_of(leaf)
        return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(vary, tree)
