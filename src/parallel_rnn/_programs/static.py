"""What `jit` cannot hash, made fit for it, such as a plain dataclass or an array of NumPy."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree


class _Fields(eqx.Module):
    """A dataclass as its fields, whose arrays are inputs of the program."""

    kind: type = eqx.field(static=True)
    fields: dict[str, Any]


class _Content:
    """An array of NumPy, which is part of the program, told from others by what it holds."""

    def __init__(self, array: np.ndarray):
        self.array = array.copy()  # the user may write into it

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.dtype, self.array.tobytes()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and (
            self.array.dtype == other.array.dtype
            and np.array_equal(self.array, other.array, equal_nan=self.array.dtype.kind in "fc")
        )


class _Object:
    """Any other object. Nobody can tell whether it is still the same, so each call compiles."""

    def __init__(self, held: Any):
        self.held = held


def hashable(tree: PyTree) -> PyTree:
    """The tree with all leaves that cannot be hashed wrapped."""
    return jax.tree.map(_wrap, tree)


def unwrapped(tree: PyTree) -> PyTree:
    """What `hashable` was given."""
    return jax.tree.map(_unwrap, tree, is_leaf=lambda node: isinstance(node, _Fields))


def _wrap(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return _Content(leaf)
    if _is_hashable(leaf):
        return leaf
    if dataclasses.is_dataclass(leaf):
        return _Fields(type(leaf), hashable(_attributes(leaf)))
    return _Object(leaf)


def _unwrap(node: Any) -> Any:
    if isinstance(node, _Content):
        return node.array
    if isinstance(node, _Object):
        return node.held
    if not isinstance(node, _Fields):
        return node
    made = object.__new__(node.kind)
    for name, value in unwrapped(node.fields).items():
        object.__setattr__(made, name, value)
    return made


def _attributes(value: Any) -> dict[str, Any]:
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _is_hashable(leaf: Any) -> bool:
    if eqx.is_array(leaf):
        return True  # no static part of a program
    try:
        hash(leaf)
    except TypeError:
        return False
    return True
