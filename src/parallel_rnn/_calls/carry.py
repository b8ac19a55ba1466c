"""What a scan carries: the state, which is solved for, counters, and constants.

Constants are leaves that the body hands on as they are, such as weights. The state is all other
floats. Counters are what is left: integers, flags, random keys. Newton's method has no derivative
for them. Where they do not depend on the state they can be carried first, by `jax.lax.scan`.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval
from jaxtyping import PyTree

from .._programs.program import Program, closed, without_effects
from .._programs.varying import type_of
from .._recurrence.flat import with_arrays
from .check import as_arrays, check_dtypes, check_pair, check_step, step_type

# The part of a carry that a leaf belongs to.
Kind: TypeAlias = Literal["state", "counter", "constant"]


class Body(eqx.Module):
    """The body of a scan as a program, `program(carry, x) -> (carry, output)`, and its parts.

    A part is a carry with `None` in place of all leaves of the other parts. `init` is the first
    carry, with the types that all others have. `kinds` says for each leaf which part it is of.
    """

    program: Program
    init: PyTree
    kinds: PyTree = eqx.field(static=True)

    def part(self, kind: Kind, carry: PyTree) -> PyTree:
        return jax.tree.map(lambda own, leaf: leaf if own == kind else None, self.kinds, carry)

    def step(self, *parts: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
        """One step from these parts; what is missing of the carry is taken from the first one."""
        found = self.program(eqx.combine(*parts, self.init), x)
        # What is the same at every step comes out of the program as a number, not as an array.
        return jax.tree.map(jnp.asarray, found)

    def next_counters(self, counters: PyTree, x: PyTree) -> PyTree:
        """The counters after a step. Any state will do for it.

        Nothing else is computed. What `f` does beside returning numbers it does in `next_state`.
        """
        is_counter = [kind == "counter" for kind in jax.tree.leaves(self.kinds)]
        others = [False] * (self.program.outputs.num_leaves - len(is_counter))
        carry = eqx.combine(counters, self.init)
        found = self.program.completed([], [*is_counter, *others], carry, x)
        return jax.tree.unflatten(jax.tree.structure(counters), map(jnp.asarray, found))

    def next_state(self, state: PyTree, inputs: tuple[PyTree, PyTree]) -> PyTree:
        """The state after a step with the counters and x as its inputs."""
        counters, x = inputs
        return self.part("state", self.step(state, counters, x=x)[0])

    def output(self, new: PyTree, state: PyTree, counters: PyTree, x: PyTree) -> PyTree:
        """What a step from `state` to the state `new` puts out. The step is not taken again."""
        carry = eqx.combine(state, counters, self.init)
        known = jax.tree.structure(self.kinds).flatten_up_to(new)
        outputs = self.program.outputs.children()[1]
        wanted = [*[False] * len(known), *[True] * outputs.num_leaves]
        found = self.program.completed(known, wanted, carry, x)
        return jax.tree.unflatten(outputs, map(jnp.asarray, found))


def trace_body(f: Callable, init: PyTree, x: PyTree) -> Body:
    """The program of `f`, and `init` with the types that it keeps.

    **Arguments:**

    - `f`: the user's body, `f(carry, x) -> (carry, y)`.
    - `init`: the first carry.
    - `x`: the shapes of one input.

    **Raises:** `TypeError` for an `f` that returns no pair or another kind of carry, and for a
    carry that has no place in an iteration.
    """

    def body(carry: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
        returned = f(carry, x)
        check_pair(returned)
        carry, output = returned
        return with_arrays(carry, None), as_arrays("f(carry, x)", output)

    def next_carry(carry: PyTree, x: PyTree) -> PyTree:
        return body(carry, x)[0]

    init = _promote(init, step_type(next_carry, types_of(init), x, "carry"))
    check_step(next_carry, types_of(init), x, "carry")
    program = closed(body, init, x)
    found = Body(program, init, _kinds(program, init))
    check_dtypes("init", found.part("state", init))
    _check_counters(found)
    return found


def types_of(tree: PyTree) -> PyTree:
    return type_of(lambda: tree)


def _promote(init: PyTree, found: PyTree) -> PyTree:
    """`init` with its weak types, those of numbers of Python, replaced by what they turn into."""
    if jax.tree.structure(init) != jax.tree.structure(found):
        return init

    def promote(leaf: jax.Array, new: Any) -> jax.Array:
        is_weak = getattr(leaf, "weak_type", False)  # random keys do not tell
        if not is_weak or not hasattr(new, "dtype") or leaf.dtype == new.dtype:
            return leaf
        return leaf.astype(jnp.result_type(leaf, new))

    with jax.numpy_dtype_promotion("standard"):
        return jax.tree.map(promote, init, found)


def _kinds(program: Program, init: PyTree) -> PyTree:
    """Which part of the carry each of its leaves belongs to."""
    leaves, structure = jax.tree.flatten(init)
    before, after = program.parameters(), program.program.outvars

    def kind(place: int, leaf: jax.Array) -> Kind:
        if after[place] is before[place]:
            return "constant"
        return "state" if eqx.is_inexact_array(leaf) else "counter"

    return jax.tree.unflatten(structure, [kind(*item) for item in enumerate(leaves)])


def _check_counters(body: Body) -> None:
    """Refuse counters whose next value depends on the state."""
    kinds = jax.tree.leaves(body.kinds)
    # What is done beside, such as a print, says nothing of what counters depend on.
    jaxpr = without_effects(body.program.program)
    num_arrays = len(body.program.arrays)
    for place, (path, leaf) in enumerate(jax.tree.leaves_with_path(body.init)):
        if kinds[place] != "counter":
            continue
        _, used = partial_eval.dce_jaxpr(jaxpr, [i == place for i in range(len(jaxpr.outvars))])
        of_carry = zip(used[num_arrays:], kinds, strict=False)
        if any(use and kind == "state" for use, kind in of_carry):
            raise TypeError(
                f"`init{jax.tree_util.keystr(path)}` has type {leaf.dtype}, and `f` computes its "
                "next value from the floating-point part of the carry. Newton's method has no "
                "derivative for it, so such a leaf may depend on `xs` and on leaves of its own "
                "kind only. Return what it is computed from among the outputs and count "
                "afterwards, make it a float, or use `jax.lax.scan`."
            )
