"""Which axes of a `jax.shard_map` an array varies over.

JAX checks that the carry of a loop varies over the same axes before and after a turn. States do as
the user's inputs do, counters begin as the same number on every device.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import ArrayLike, PyTree


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


def axes_left_to_compiler() -> list[Any]:
    """The axes of the mesh that a `jax.shard_map` around this leaves to the compiler."""
    mesh = jax.sharding.get_abstract_mesh()
    return [name for name in mesh.axis_names if in_shard_map() and name not in mesh.manual_axes]


def type_of(fn: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """The type of what a function returns, of which JAX makes programs.

    Where a `jax.shard_map` leaves axes of the mesh to the compiler, JAX takes no types that vary
    over its own axes and have no mesh (JAX 0.12), as those of `jax.eval_shape` are.
    """
    types = eqx.filter_eval_shape(fn, *args)
    if not axes_left_to_compiler():
        return types
    sharding = NamedSharding(jax.sharding.get_abstract_mesh(), PartitionSpec())
    return jax.tree.map(lambda kind: kind.update(sharding=sharding), types)


def varying_over(axes: frozenset[Any], tree: PyTree) -> PyTree:
    """The same arrays, varying over these axes as well."""

    def vary(leaf: ArrayLike) -> ArrayLike:
        missing = axes - axes_of(leaf)
        return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(vary, tree)
