"""How many steps f takes to forget what it started from, as seen on a few steps of some chunks."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._finite import worst
from .._recurrence.flat import joined
from .._solvers.solver import Window
from .._solvers.window import steps_from
from .side_by_side import WARM_UP, arranged

# States that differ by so many roundings have met: rounding keeps them apart.
MET = 64


def steps_to_forget(
    window: Window,
    size: int,
    chunks: Int[Array, " n"],
    starts: Float[Array, "2 D"],
    wanted: Bool[Array, ""],
) -> Float[Array, ""]:
    """How many steps it takes two states to meet, in the slowest of some chunks of `size` steps.

    Both take the last `WARM_UP` steps of each chunk, and how they go on to come nearer is inferred:

        δ_W = δ_{W/2} exp(-r W/2),  so  δ_n = ε  for  n = W + log(δ_W / ε) / r

    The second half of the steps tells the rate r, because what f forgets at once is gone by then.
    It is infinite where they do not come nearer, where they are the same from the start (which
    tells nothing), and where it is not wanted.

    **Arguments:**

    - `starts`: the two states. Each chunk starts from them.
    """
    dtype, num_chunks = starts.dtype, len(chunks)
    steps = chunks[:, None] * size + jnp.arange(size - WARM_UP, size)[None, :]
    steps = jnp.tile(steps.reshape(-1), 2)
    num_steps = len(steps)
    tried = dataclasses.replace(
        window,
        inputs=jax.tree.map(lambda leaf: jnp.take(leaf, steps, axis=0, mode="clip"), window.inputs),
        guess=jnp.zeros((num_steps, *starts.shape[1:]), dtype),
        valid_length=jnp.asarray(num_steps),
    )
    work = arranged(tried, WARM_UP, jnp.where(wanted, WARM_UP, 0))
    states = joined(work.sweep(jnp.repeat(starts, num_chunks, axis=0)))
    one, other = jnp.split(states, 2)
    scale = worst(jnp.abs(states.reshape(num_steps, -1)), axis=0)
    scale = jnp.where(scale > 0, scale, 1)
    half, end = _apart(one, other, WARM_UP // 2 - 1, scale), _apart(one, other, -1, scale)
    near = MET * jnp.finfo(dtype).eps
    rate = jnp.log(half / end) / (WARM_UP // 2)
    number = jnp.where(end < half, WARM_UP + jnp.log(end / near) / rate, jnp.inf)
    number = jnp.where(end <= near, WARM_UP, number)
    counts = (chunks + 1) * size <= window.valid_length
    differ = worst(jnp.abs(starts[0] - starts[1]) / scale) > near
    return jnp.where(wanted & differ, worst(jnp.where(counts, number, 0)), jnp.inf)


def _apart(
    one: Float[Array, "n W D"], other: Float[Array, "n W D"], step: int, scale: Float[Array, " D"]
) -> Float[Array, " n"]:
    return worst(jnp.abs(one[:, step] - other[:, step]) / scale[None, :], axis=1)


def last_start(window: Window, size: int) -> Float[Array, " D"]:
    """The state before the last `WARM_UP` steps of the first chunk, one step after another."""
    first = size - WARM_UP

    def turn(s: Array, x: PyTree) -> tuple[Array, None]:
        return window.recurrence.step(s, x), None

    return jax.lax.scan(turn, window.s0, steps_from(window.inputs, 0, first), first)[0]
