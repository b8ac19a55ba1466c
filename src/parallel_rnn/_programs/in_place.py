"""A loop that writes into large arrays where they stand, under `vmap` too."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int, PyTree

from .program import Program, closed
from .varying import axes_of, varying_over

Arrays = TypeVar("Arrays")
Carry = TypeVar("Carry")
# A number; in programs for more than one shape an expression, whose type JAX keeps to itself.
Size: TypeAlias = Any


def while_writing(
    goes_on: Callable[[Int[Array, ""], Carry], Bool[Array, ""]],
    turn: Callable[[Int[Array, ""], Arrays, Carry, Bool[Array, ""]], tuple[Arrays, Carry]],
    arrays: Arrays,
    carry: Carry,
) -> tuple[Arrays, Carry]:
    """While `goes_on(n, carry)`, turn number n makes new arrays and a new carry.

    Under `vmap` a `jax.lax.while_loop` turns while any series goes on, and keeps what the others
    carry by copying all of it in every turn. Here only the carry is kept so. The arrays are left to
    `turn(n, arrays, carry, active)`: where a series is not active, it must write what is there. The
    number n is the same for all series, so that what they write at step n stays one slice.
    """

    def closed_at(n: Array, arrays: Arrays, carry: Carry, active: Array) -> tuple[Program, Program]:
        return closed(goes_on, n, carry), closed(turn, n, arrays, carry, active)

    start = (jnp.zeros((), int), arrays, carry, jnp.asarray(True))
    start = varying_over(axes_of(start), start)
    programs = closed_at(*start)
    if axes_of(programs) - axes_of(start):  # it refers to what varies over more
        start = varying_over(axes_of((programs, start)), start)
        programs = closed_at(*start)
    return _run(programs, *start[1:3])


def _run(programs: tuple[Program, Program], arrays: PyTree, carry: Carry) -> tuple[PyTree, Carry]:
    @jax.custom_batching.custom_vmap
    def run(programs: PyTree, arrays: PyTree, carry: Carry) -> tuple[PyTree, Carry]:
        goes_on, turn = programs
        axes = axes_of((programs, arrays, carry))

        def body(now: tuple[Array, PyTree, Carry]) -> tuple[Array, PyTree, Carry]:
            n, arrays, carry = now
            return varying_over(axes, (n + 1, *turn(n, arrays, carry, active)))

        active = varying_over(axes, jnp.asarray(True))
        start = varying_over(axes, (jnp.zeros((), int), arrays, carry))
        return jax.lax.while_loop(lambda now: goes_on(now[0], now[2]), body, start)[1:]

    @run.def_vmap
    def _(size: Size, is_batched: list, programs: PyTree, arrays: PyTree, carry: Carry):
        axes = jax.tree.map(lambda batched: 0 if batched else None, is_batched[0])

        def some_goes_on(n: Array, carry: Carry) -> Array:
            return jnp.any(each_goes_on(n, carry))

        def each_goes_on(n: Array, carry: Carry) -> Array:
            return jax.vmap(lambda programs, carry: programs[0](n, carry), (axes, 0))(
                programs, carry
            )

        def all_turn(n: Array, arrays: PyTree, carry: Carry, active: Array) -> tuple[PyTree, Carry]:
            def one(programs: PyTree, arrays: PyTree, carry: Carry, active: Array):
                arrays, new = programs[1](n, arrays, carry, active)
                return arrays, jax.tree.map(lambda a, b: jnp.where(active, a, b), new, carry)

            active = active & each_goes_on(n, carry)
            return jax.vmap(one, (axes, 0, 0, 0))(programs, arrays, carry, active)

        arrays, carry = _of_each(size, (arrays, carry), tuple(is_batched[1:]))
        out = while_writing(some_goes_on, all_turn, arrays, carry)
        return out, jax.tree.map(lambda _: True, out)

    return run(programs, arrays, carry)


def _of_each(size: Size, tree: PyTree, is_batched: PyTree) -> PyTree:
    """Arrays that have the axis of a batch, those that lack it repeated along it."""

    def repeated(leaf: ArrayLike, batched: bool) -> ArrayLike:
        return leaf if batched else jnp.broadcast_to(leaf, (size, *jnp.shape(leaf)))

    return jax.tree.map(repeated, tree, is_batched)


def put(arrays: PyTree, parts: PyTree, index: Int[Array, ""], axis: int) -> PyTree:
    """Arrays with parts of them at an index of an axis that the parts lack."""
    return jax.tree.map(lambda array, part: _written(array, part, index, axis), arrays, parts)


def _written(array: Array, part: Array, index: Int[Array, ""], axis: int) -> Array:
    """`array` with `part` at an index of an axis that the part lacks.

    Under `vmap` JAX makes a scatter of this, which looks at every index. Where the index is the
    same for all series it stays one slice.
    """

    def update(array: Array, part: Array, index: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(array, part, index, axis)

    @jax.custom_batching.custom_vmap
    def write(array: Array, part: Array, index: Array) -> Array:
        return update(array, part, index)

    @write.def_vmap
    def _(size: Size, is_batched: list, array: Array, part: Array, index: Array):
        array, part = _of_each(size, (array, part), tuple(is_batched[:2]))
        if is_batched[2]:
            return jax.vmap(update)(array, part, index), True
        return _written(array, part, index, axis + 1), True

    return write(array, part, index)
