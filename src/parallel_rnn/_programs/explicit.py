"""Meshes with explicit axes, along which the type of an array says how it is sharded.

`jax.vmap` of a loop with its own condition for each series fails there (JAX 0.12), and a carry has
to be sharded in the same way in each part of a program. So the axes are left to the compiler
within a solve, and the answer gets the types that `jax.lax.scan` would give it.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from .._types import Inputs
from .program import closed
from .static import unwrapped


def left_to_compiler(
    fn: Callable[..., PyTree],
    f: PyTree,
    s0: PyTree,
    xs: Inputs,
    *others: PyTree,
    specs: Callable[[], PyTree],
    time_axis: int = 0,
) -> PyTree:
    """`fn(f, s0, xs, *others)` with all explicit axes of the mesh automatic within.

    **Arguments:**

    - `f`, `s0`, `xs`: the recurrence.
    - `specs`: how the result is sharded: a prefix of it with a `PartitionSpec` as leaves.
    - `time_axis`: that of `xs`, which `s0` does not have. The axes before it are of both.
    """
    mesh = _mesh_of((f, s0, xs, others))
    axes = _explicit_axes(mesh)
    if not axes:
        return fn(f, s0, xs, *others)
    with jax.sharding.use_abstract_mesh(mesh):
        answer_specs = specs()
        f = _opened(f, type_of_one(s0, time_axis), type_of_one(xs, time_axis + 1), axes)
        arrays, rest = eqx.partition((f, s0, xs, *others), eqx.is_array)

        def run(arrays: PyTree) -> PyTree:
            return fn(*eqx.combine(arrays, rest))

        return jax.sharding.auto_axes(run, axes=axes, out_sharding=answer_specs)(arrays)


class _OnExplicitAxes(eqx.Module):
    """A function that runs with explicit axes, with what it closed over as arrays of its own."""

    function: Callable
    axes: tuple[str, ...] = eqx.field(static=True)
    specs: PyTree = eqx.field(static=True)

    def __call__(self, *args: PyTree) -> PyTree:
        arrays, rest = eqx.partition(self.function, eqx.is_array)

        def call(arrays: PyTree, *args: PyTree) -> PyTree:
            return eqx.combine(arrays, rest)(*args)

        specs = (jax.tree.unflatten(jax.tree.structure(arrays), self.specs[0]), *self.specs[1:])
        return jax.sharding.explicit_axes(call, axes=self.axes, in_sharding=specs)(arrays, *args)


def _opened(f: Callable, state_type: PyTree, x_type: PyTree, axes: tuple[str, ...]) -> Callable:
    """`f` as it may be called where the axes are automatic.

    The arrays of a PyTree, such as a cell, come in as arguments. What a function closes over
    stays outside, with explicit axes, so it has to be taken out of it.
    """
    if jax.tree.leaves(eqx.filter(f, eqx.is_array)):
        return f
    try:
        program = closed(unwrapped(f), state_type, x_type)
    except Exception:
        return f  # the check of `f` knows what to say
    own = [spec_of(array) for array in jax.tree.leaves(eqx.filter(program, eqx.is_array))]
    specs = (own, jax.tree.map(spec_of, state_type), jax.tree.map(spec_of, x_type))
    return _OnExplicitAxes(program, axes, specs)


def _mesh_of(tree: PyTree) -> Any:
    """That of `jax.set_mesh` or, where it was not called, one that an array is on."""
    types: list[Any] = [jax.typeof(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]
    meshes = [jax.sharding.get_abstract_mesh(), *(kind.sharding.mesh for kind in types)]
    return next((mesh for mesh in meshes if not mesh.empty), meshes[0])


def _explicit_axes(mesh: Any) -> tuple[str, ...]:
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind == AxisType.Explicit)


def specs_over_time(one: PyTree, xs: Inputs, time_axis: int = 0) -> PyTree:
    """How all steps of what `one` step has are sharded, along time as the inputs are."""
    time = next((spec_of(leaf)[time_axis] for leaf in jax.tree.leaves(xs)), None)

    def over_time(leaf: Any) -> PartitionSpec:
        spec = spec_of(leaf)
        return PartitionSpec(*spec[:time_axis], time, *spec[time_axis:])

    return jax.tree.map(over_time, one)


def type_of_one(tree: PyTree, num_axes: int = 1) -> PyTree:
    """The type of what is left of arrays without these many axes, sharded as they are."""

    def one(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = NamedSharding(_mesh_of(leaf), PartitionSpec(*spec_of(leaf)[num_axes:]))
        return jax.ShapeDtypeStruct(leaf.shape[num_axes:], leaf.dtype, sharding=sharding)

    return jax.tree.map(one, tree)


def spec_of(array: Any) -> PartitionSpec:
    """How an array, or one of this type, is sharded along explicit axes."""
    kind: Any = jax.typeof(array)
    return kind.sharding.spec
