"""`jax.lax.scan` with another way to find the carries."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ._check import check_length
from ._solve import solve
from ._types import Inputs, State


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: State,
    xs: Inputs | None = None,
    length: int | None = None,
    reverse: bool = False,
    **solve_options: Any,
) -> tuple[State, PyTree]:
    """Like `jax.lax.scan(f, init, xs, length, reverse)`, with the carries found by `solve`.

    The carries are the states of the recurrence; all outputs are computed from them at once.

    **Arguments:**

    - `f`: `f(carry, x) -> (carry, y)`.
    - `init`: the first carry, a PyTree of float arrays of one dtype.
    - `xs`: inputs with a leading axis of length T, or `None` with `length`.
    - `length`: T, needed when `xs` is `None`.
    - `reverse`: run from the last input to the first.
    - `solve_options`: passed on to `solve`: `solver`, `guess`, `window`, `max_steps`, `adjoint`,
      `throw`. A `guess` is in the order of `xs`.

    **Returns:** the last carry and the outputs `ys` with a leading axis of length T.

    **Raises:** what `solve` raises.
    """
    init, xs = jax.tree.map(jnp.asarray, (init, xs))
    length = check_length(xs, length)
    guess = solve_options.pop("guess", None)

    def in_scan_order(tree: PyTree) -> PyTree:
        if not reverse or isinstance(tree, str):
            return tree
        return jax.tree.map(lambda leaf: jnp.flip(leaf, axis=0), tree)

    ordered = in_scan_order(xs)
    solution = solve(
        lambda carry, x: f(carry, x)[0],
        init,
        ordered,
        length=length,
        guess=in_scan_order(guess),
        **solve_options,
    )
    carries = jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]), init, solution.value
    )
    before = jax.tree.map(lambda leaf: leaf[:-1], carries)
    last = jax.tree.map(lambda leaf: leaf[-1], carries)
    outputs = jax.vmap(lambda carry, x: f(carry, x)[1], axis_size=length)(before, ordered)
    return last, in_scan_order(outputs)
