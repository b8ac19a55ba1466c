"""What a scan carries: the floats, which are solved for, and counters, which are there before.

Counters are all other leaves: integers, flags, random keys. Newton's method has no derivative
for them. Where they do not depend on the floats they can be carried first, by `jax.lax.scan`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval
from jaxtyping import PyTree

from ._check import as_arrays, check_dtypes, check_pair, check_step, step_type
from ._flat import closed, with_arrays


class Body(eqx.Module):
    """The body of a scan as a program, `program(carry, x) -> (carry, output)`, and its parts.

    Floats and counters are carries with `None` in place of all other leaves. `init` is the first
    carry, with the types that all others have.
    """

    program: Callable
    init: PyTree

    def step(self, carry: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
        # What is the same at every step comes out of the program as a number, not as an array.
        return jax.tree.map(jnp.asarray, self.program(carry, x))

    def next_counters(self, counters: PyTree, x: PyTree) -> PyTree:
        """The counters after a step. Any floats will do for it; the first ones are at hand."""
        floats = eqx.filter(self.init, eqx.is_inexact_array)
        carry, _ = self.step(eqx.combine(counters, floats), x)
        return eqx.filter(carry, eqx.is_inexact_array, inverse=True)

    def next_state(self, floats: PyTree, inputs: tuple[PyTree, PyTree]) -> PyTree:
        """The floats after a step with the counters and x as its inputs."""
        counters, x = inputs
        carry, _ = self.step(eqx.combine(floats, counters), x)
        return eqx.filter(carry, eqx.is_inexact_array)

    def output(self, carry: PyTree, x: PyTree) -> PyTree:
        return self.step(carry, x)[1]


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
    check_dtypes("init", eqx.filter(init, eqx.is_inexact_array))
    program = closed(body, init, x)
    _check_counters(program, init, x)
    return Body(program, init)


def types_of(tree: PyTree) -> PyTree:
    return jax.eval_shape(lambda: tree)


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


def _check_counters(program: Callable, init: PyTree, x: PyTree) -> None:
    """Refuse counters whose next value depends on the floats."""
    jaxpr = jax.make_jaxpr(program)(init, x).jaxpr
    leaves = jax.tree.leaves_with_path(init)
    is_float = [eqx.is_inexact_array(leaf) for _, leaf in leaves]
    for place, (path, leaf) in enumerate(leaves):
        if is_float[place]:
            continue
        _, used = partial_eval.dce_jaxpr(jaxpr, [i == place for i in range(len(jaxpr.outvars))])
        if any(use and floats for use, floats in zip(used, is_float, strict=False)):
            raise TypeError(
                f"`init{jax.tree_util.keystr(path)}` has type {leaf.dtype}, and `f` computes its "
                "next value from the floating-point part of the carry. Newton's method has no "
                "derivative for it, so such a leaf may depend on `xs` and on leaves of its own "
                "kind only. Return what it is computed from among the outputs and count "
                "afterwards, make it a float, or use `jax.lax.scan`."
            )
