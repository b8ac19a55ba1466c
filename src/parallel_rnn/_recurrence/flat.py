"""The user's recurrence on flat state vectors, as every solver sees it."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._linear.linear_scan import platform
from .._programs.program import Program, closed, equations_of
from .._programs.varying import type_of
from .._types import HasBlocks, HasDiagonal, HasJacobian, HasProjection, Inputs, Parts, State
from .._values import is_number


class FlatRecurrence(eqx.Module):
    """One step of the recurrence with the state as one vector of D numbers.

    `step(s, x)` is the function as the user wrote it; derivatives are taken of it. The others
    are what the iteration calls: they see the projected input `project(x)`, and the closed
    forms are `None` where the cell does not offer them. `eps` is the rounding of the coarsest
    floating-point type that a step computes in.

    `shaped_step` is `step` on states as the user shaped them, which `unravel` makes of a vector.
    One step after another is faster so: none takes a vector apart and puts it together.
    """

    step: Program
    project: Callable[[Any], Any]
    projected_step: Program
    shaped_step: Program
    unravel: Callable[[Array], State] = eqx.field(static=True)
    value_and_diag: Callable[[Array, Any], tuple[Array, Array]] | None
    value_and_jacobian: Callable[[Array, Any], tuple[Array, Array]] | None
    value_and_blocks: Callable[[Array, Any], tuple[Array, Array]] | None
    eps: float = eqx.field(static=True)

    def split(self, states: Float[Array, "*axes D"]) -> Parts:
        """The parts of states as vectors, which `joined` puts together again."""
        vector = jax.ShapeDtypeStruct(states.shape[-1:], states.dtype)
        parts = jax.eval_shape(lambda vector: vectors_of(self.unravel(vector)), vector)
        ends = itertools.accumulate(part.size for part in parts)
        return jnp.split(states, list(ends)[:-1], axis=-1)

    def project_all(self, xs: Inputs, length: int) -> PyTree:
        """The projected inputs of this many steps: the part of them that no iteration changes."""
        if jax.tree.leaves(xs):
            return jax.vmap(self.project)(xs)

        def for_all(leaf: Array) -> Array:
            return jnp.broadcast_to(leaf, (length, *leaf.shape))

        return jax.tree.map(for_all, self.project(xs))


def flatten_recurrence(f: Callable, s0: State, x: PyTree) -> FlatRecurrence:
    """Close over everything that `f` refers to, so that gradients reach it.

    **Arguments:**

    - `f`: the user's step, `f(state, x) -> state`.
    - `s0`: the initial state.
    - `x`: the shapes of one input.

    A cell becomes programs and their arrays. Its closed forms are looked up before that, because
    a program has forgotten them. Those of a cell with complex states are not used: they are
    derivatives with respect to complex numbers, not to their parts.
    """
    flat_s0, unravel = ravel_state(s0)
    has_parts = any(map(jnp.iscomplexobj, jax.tree.leaves(s0)))
    project, projected_step = _split(f)
    z = type_of(project, x)

    def ravel(state: PyTree) -> Array:
        return ravel_state(_made_apart(with_arrays(state, flat_s0.dtype)))[0]

    def shaped_step(s: State, x: Any) -> State:
        return with_arrays(f(s, x), flat_s0.dtype)

    def value(step: Callable) -> Callable:
        return lambda s, x: ravel(step(unravel(s), x))

    def value_and_diag(s: Array, x: Any) -> tuple[Array, Array]:
        new, diag = projected_step.value_and_diag(unravel(s), x)
        return ravel(new), ravel(diag)

    def value_and_jacobian(s: Array, x: Any) -> tuple[Array, Array]:
        new, jacobian = projected_step.value_and_jacobian(unravel(s), x)
        return ravel(new), ravel_jacobian(with_arrays(jacobian, flat_s0.dtype), new)

    def value_and_blocks(s: Array, x: Any) -> tuple[Array, Array]:
        new, blocks = projected_step.value_and_blocks(unravel(s), x)
        return ravel(new), blocks

    def offered(fn: Callable, protocol: type) -> Callable | None:
        if isinstance(projected_step, protocol) and not has_parts:
            return closed(fn, flat_s0, z)
        return None

    shaped = closed(shaped_step, unravel(flat_s0), x)
    step = closed(value(shaped), flat_s0, x)
    return FlatRecurrence(
        step=step,
        project=closed(project, x),
        projected_step=closed(value(projected_step), flat_s0, z),
        shaped_step=shaped,
        unravel=unravel,
        value_and_diag=offered(value_and_diag, HasDiagonal),
        value_and_jacobian=offered(value_and_jacobian, HasJacobian),
        value_and_blocks=offered(value_and_blocks, HasBlocks),
        eps=_coarsest_eps(step, flat_s0.dtype),
    )


def _made_apart(state: PyTree) -> PyTree:
    """The parts of a state, each made by itself.

    XLA for a CPU makes one operation of a concatenation and of what it puts together, which then
    asks of every number to which part it belongs: a step of an LSTM takes three times as long.
    """
    is_one_part = len(jax.tree.leaves(state)) == 1
    return state if is_one_part or platform() != "cpu" else jax.lax.optimization_barrier(state)


def ravel_state(state: State) -> tuple[Float[Array, " D"], Callable[[Array], State]]:
    """The numbers of a state as one real vector, and the function that makes a state of them.

    All imaginary parts follow all real parts, so those of one complex number stand at the same
    place of the two parts, as `BlockDiagonal` has them.
    """

    def whole(real: Array, imaginary: Array | None) -> Array:
        return real if imaginary is None else jax.lax.complex(real, imaginary)

    vector, unravel = ravel_pytree(_real_parts(state))
    return vector, lambda vector: jax.tree.map(whole, *unravel(vector))


def vectors_of(state: State) -> Parts:
    """The parts of one state."""
    return [jnp.ravel(part) for part in jax.tree.leaves(_real_parts(state))]


def joined(parts: Parts) -> Float[Array, "*axes D"]:
    """States as vectors. XLA undoes it where the parts are all that is asked for."""
    return jnp.concatenate(parts, axis=-1)


def _real_parts(state: State) -> tuple[PyTree, PyTree]:
    """The real parts of all numbers, and the imaginary ones of those that are complex."""

    def imaginary(leaf: Array) -> Array | None:
        return jnp.imag(leaf) if jnp.iscomplexobj(leaf) else None

    return jax.tree.map(jnp.real, state), jax.tree.map(imaginary, state)


def ravel_states(states: State) -> Float[Array, "T D"]:
    """The states of many steps, each as a vector."""
    return jax.vmap(lambda state: ravel_state(state)[0])(states)


def with_arrays(state: PyTree, dtype: Any) -> PyTree:
    """A state with arrays in place of plain numbers, which take its dtype."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if is_number(leaf) else leaf, state)


def _split(f: Callable) -> tuple[Callable, Any]:
    if isinstance(f, HasProjection):
        return f.project, f.recurrent
    return lambda x: x, f


def _coarsest_eps(step: Program, dtype: Any) -> float:
    """The largest rounding of the floating-point types that one step on states of a type has."""
    outputs = [variable.aval for e in equations_of(step.program) for variable in e.outvars]
    types = {dtype, *(kind.dtype for kind in outputs if hasattr(kind, "dtype"))}
    return max(float(jnp.finfo(t).eps) for t in types if jnp.issubdtype(t, jnp.inexact))


def ravel_jacobian(jacobian: PyTree, state: State) -> Float[Array, "D D"]:
    """The (D, D) matrix of a Jacobian that is nested as `jax.jacfwd` nests it.

    Block (i, j), the derivative of leaf i with respect to leaf j, has the shape of leaf i
    followed by the shape of leaf j.
    """
    leaves, structure = jax.tree.flatten(state)
    rows = structure.flatten_up_to(jacobian)
    blocks = [
        [
            jnp.reshape(block, (out.size, into.size))
            for block, into in zip(structure.flatten_up_to(row), leaves, strict=True)
        ]
        for row, out in zip(rows, leaves, strict=True)
    ]
    return jnp.block(blocks)
