"""Counts how often a recurrence is evaluated, whatever evaluates it.

Every evaluation calls back from the program: once for all series or steps that are evaluated side
by side. So the number of calls is the depth, what has to happen one after another, and the sum of
what each call holds is the work. A program that counts is slow; its times say nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float


class Count(NamedTuple):
    """Evaluations of f: calls one after another, and single steps in all of them."""

    depth: int
    work: int


class Counter:
    """Counts the evaluations of the functions that it wraps."""

    def __init__(self):
        self._sizes: list[int] = []

    def wrap(self, f: Callable) -> Callable:
        """f(state, x), counted. The state is an array; a derivative counts as an evaluation."""

        def see(states: Any) -> np.ndarray:
            states = np.asarray(states)
            self._sizes.append(int(np.prod(states.shape[:-1])))
            return states

        @jax.custom_jvp
        def seen(state: Array) -> Array:
            shape = jax.ShapeDtypeStruct(state.shape, state.dtype)
            return jax.pure_callback(see, shape, state, vmap_method="broadcast_all")

        @seen.defjvp
        def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
            return seen(*primals), tangents[0]

        def counted(state: Float[Array, " D"], x: Any) -> Float[Array, " D"]:
            return f(seen(state), x)

        return counted

    def take(self) -> Count:
        """What was counted since the last time."""
        sizes, self._sizes = self._sizes, []
        return Count(len(sizes), sum(sizes))
