"""What `jit` cannot hash, made fit for it."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree


class ByIdentity:
    """An object that is told from others by identity, as `jax.lax.scan` tells its functions."""

    def __init__(self, held: Any):
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and self.held is other.held


def hashable(tree: PyTree) -> PyTree:
    """The tree with all leaves that cannot be hashed wrapped, such as a plain dataclass."""
    return jax.tree.map(lambda leaf: leaf if _is_hashable(leaf) else ByIdentity(leaf), tree)


def unwrapped(tree: PyTree) -> PyTree:
    """What `hashable` was given."""
    return jax.tree.map(lambda leaf: leaf.held if isinstance(leaf, ByIdentity) else leaf, tree)


def _is_hashable(leaf: Any) -> bool:
    if eqx.is_array(leaf):
        return True  # no static part of a program
    try:
        hash(leaf)
    except TypeError:
        return False
    return True
