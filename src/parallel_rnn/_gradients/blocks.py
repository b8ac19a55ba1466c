"""Something of every step of a sequence, found for one block of steps after another."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._linear.linear_scan import platform

# So many numbers the states of a block have. On a CPU what a block works in then stays in the
# cache; a GPU takes longer to begin a block than to do a small one.
BLOCK_NUMBERS = {"cpu": 2**15, "gpu": 2**22}
# A block has the steps of so many stretches of the sequence, so that all devices of a mesh that a
# sequence is spread over have steps of every block.
STRETCHES = 64


def in_blocks(
    function: Callable[[PyTree, PyTree], Array], shared: PyTree, steps: PyTree, size: int
) -> Array:
    """`function(shared, steps)`, which has the axis of the steps in its inputs and its output.

    Its derivative evaluates each block again, and holds only what that one saves. Where the value
    is not asked for, nothing is evaluated twice.

    **Arguments:**

    - `steps`: arrays with a leading axis of the T steps.
    - `size`: how many numbers a state has.
    """
    # Nothing else computes the same, so XLA has nothing to make one of what is evaluated again.
    once = eqx.filter_checkpoint(function, prevent_cse=False)
    length = len(jax.tree.leaves(steps)[0])
    each = max(1, BLOCK_NUMBERS.get(platform(), BLOCK_NUMBERS["gpu"]) // size // STRETCHES)
    number = length // (STRETCHES * each)
    if number < 2:
        return once(shared, steps)
    end = STRETCHES * number * each

    def cut(leaf: Array) -> Array:
        stretches = leaf[:end].reshape(STRETCHES, number, each, *leaf.shape[1:])
        return jnp.swapaxes(stretches, 0, 1).reshape(number, STRETCHES * each, *leaf.shape[1:])

    def in_order(blocks: Array) -> Array:
        stretches = blocks.reshape(number, STRETCHES, each, *blocks.shape[2:])
        return jnp.swapaxes(stretches, 0, 1).reshape(end, *blocks.shape[2:])

    blocks = jax.lax.map(lambda steps: once(shared, steps), jax.tree.map(cut, steps))
    if end == length:
        return in_order(blocks)
    rest = jax.tree.map(lambda leaf: leaf[end:], steps)
    return jnp.concatenate([in_order(blocks), once(shared, rest)])
