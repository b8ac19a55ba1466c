"""A loop that writes into a large array where it stands, under `vmap` too."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from ._program import Program, closed
from ._varying import axes_of, varying_over

Carry = TypeVar("Carry")


def while_writing(
    goes_on: Callable[[Int[Array, ""], Carry], Bool[Array, ""]],
    turn: Callable[[Int[Array, ""], Array, Carry, Bool[Array, ""]], tuple[Array, Carry]],
    array: Array,
    carry: Carry,
) -> tuple[Array, Carry]:
    """While `goes_on(n, carry)`, turn number n makes a new array and a new carry.

    Under `vmap` a `jax.lax.while_loop` turns while any series goes on, and keeps what the others
    carry by copying all of it in every turn. Here only the carry is kept so. The array is left to
    `turn(n, array, carry, active)`: where a series is not active, it must write what is there. The
    number n is the same for all series, so that what they write at step n stays one slice.
    """

    def closed_at(n: Array, array: Array, carry: Carry, active: Array) -> tuple[Program, Program]:
        return closed(goes_on, n, carry), closed(turn, n, array, carry, active)

    start = (jnp.zeros((), int), array, carry, jnp.asarray(True))
    start = varying_over(axes_of(start), start)
    programs = closed_at(*start)
    if axes_of(programs) - axes_of(start):  # it refers to what varies over more
        start = varying_over(axes_of((programs, start)), start)
        programs = closed_at(*start)
    return _run(programs, *start[1:3])


def _run(programs: tuple[Program, Program], array: Array, carry: Carry) -> tuple[Array, Carry]:
    @jax.custom_batching.custom_vmap
    def run(programs: PyTree, array: Array, carry: Carry) -> tuple[Array, Carry]:
        goes_on, turn = programs
        axes = axes_of((programs, array, carry))

        def body(now: tuple[Array, Array, Carry]) -> tuple[Array, Array, Carry]:
            n, array, carry = now
            return varying_over(axes, (n + 1, *turn(n, array, carry, active)))

        active = varying_over(axes, jnp.asarray(True))
        start = varying_over(axes, (jnp.zeros((), int), array, carry))
        return jax.lax.while_loop(lambda now: goes_on(now[0], now[2]), body, start)[1:]

    @run.def_vmap
    def _(size: int, is_batched: list, programs: PyTree, array: Array, carry: Carry):
        axes = jax.tree.map(lambda batched: 0 if batched else None, is_batched[0])

        def some_goes_on(n: Array, carry: Carry) -> Array:
            return jnp.any(each_goes_on(n, carry))

        def each_goes_on(n: Array, carry: Carry) -> Array:
            return jax.vmap(lambda programs, carry: programs[0](n, carry), (axes, 0))(
                programs, carry
            )

        def all_turn(n: Array, array: Array, carry: Carry, active: Array) -> tuple[Array, Carry]:
            def one(programs: PyTree, array: Array, carry: Carry, active: Array):
                array, new = programs[1](n, array, carry, active)
                return array, jax.tree.map(lambda a, b: jnp.where(active, a, b), new, carry)

            active = active & each_goes_on(n, carry)
            return jax.vmap(one, (axes, 0, 0, 0))(programs, array, carry, active)

        array, carry = _of_each(size, (array, carry), tuple(is_batched[1:]))
        out = while_writing(some_goes_on, all_turn, array, carry)
        return out, jax.tree.map(lambda _: True, out)

    return run(programs, array, carry)


def _of_each(size: int, tree: PyTree, is_batched: PyTree) -> PyTree:
    """Arrays that have the axis of a batch, those that lack it repeated along it."""

    def repeated(leaf: Array, batched: bool) -> Array:
        return leaf if batched else jnp.broadcast_to(leaf, (size, *jnp.shape(leaf)))

    return jax.tree.map(repeated, tree, is_batched)


def write(array: Array, part: Array, index: Int[Array, ""], axis: int, offset: int = 0) -> Array:
    """`array` with `part` at an index of an axis that the part lacks.

    A part that is shorter than the last axis is written from `offset` on.

    Under `vmap` JAX makes a scatter of this, which looks at every index. Where the index is the
    same for all series it stays one slice.
    """

    def update(array: Array, part: Array, index: Array) -> Array:
        start: list[Any] = [0] * (array.ndim - 1) + [offset]
        start[axis] = index
        return jax.lax.dynamic_update_slice(array, jnp.expand_dims(part, axis), start)

    @jax.custom_batching.custom_vmap
    def put(array: Array, part: Array, index: Array) -> Array:
        return update(array, part, index)

    @put.def_vmap
    def _(size: int, is_batched: list, array: Array, part: Array, index: Array):
        array, part = _of_each(size, (array, part), tuple(is_batched[:2]))
        if is_batched[2]:
            return jax.vmap(update)(array, part, index), True
        return write(array, part, index, axis + 1, offset), True

    return put(array, part, index)


def write_side_by_side(array: Array, parts: list[Array], index: Int[Array, ""], axis: int) -> Array:
    """`array` with parts at an index of an axis that they lack, side by side on the last axis."""
    offset = 0
    for part in parts:
        array = write(array, part, index, axis, offset)
        offset += part.shape[-1]
    return array
