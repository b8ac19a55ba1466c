"""Which axes of a `jax.shard_map` an array varies over.

JAX checks that the carry of a loop varies over the same axes before and after a turn. States do as
the user's inputs do, counters begin as the same number on every device.
"""

from typing import Any

import jax
from jaxtyping import Array, PyTree


def axes_of(tree: PyTree) -> frozenset[Any]:
    """The axes that any array of a PyTree varies over. None outside of a `jax.shard_map`."""
    return frozenset().union(*map(_axes_of_array, jax.tree.leaves(tree)))


def _axes_of_array(array: Any) -> frozenset[Any]:
    kind: Any = jax.typeof(array)
    # Newer versions of JAX keep them in a part of the type, JAX 0.10 in the type itself.
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma


def in_shard_map() -> bool:
    """Whether this is the body of a `jax.shard_map`, with its check or without."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def varying_over(axes: frozenset[Any], tree: PyTree) -> PyTree:
    """The same arrays, varying over these axes as well."""

    def vary(leaf: Array) -> Array:
        missing = axes - axes_of(leaf)
        return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(vary, tree)
