"""Names for the things that pass between modules, and what a cell may offer beside its call."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Float, Inexact, PyTree

State: TypeAlias = PyTree[Inexact[Array, "..."]]
Inputs: TypeAlias = PyTree[Array]

# Some states, apart in their parts: an array for each leaf of the state, and for the imaginary part
# of one that is complex. Side by side on the last axis they are the states as vectors.
Parts: TypeAlias = list[Float[Array, "... _"]]

# The Jacobians of all steps: dense, diagonal, or n blocks of size b with n b = D.
Jacobians: TypeAlias = Float[Array, "T D D"] | Float[Array, "T D"] | Float[Array, "T b b n"]

# trace(step, states, residual): what to keep of every iterate.
Trace: TypeAlias = Callable[[Array, State, Array], PyTree]


@runtime_checkable
class HasDiagonal(Protocol):
    """A cell that knows the diagonal of its Jacobian in closed form."""

    def value_and_diag(self, state: Any, x: Any) -> tuple[Any, Any]:
        """Return `f(state, x)` and the diagonal of ∂f/∂state, both shaped like `state`."""
        ...


@runtime_checkable
class HasJacobian(Protocol):
    """A cell that knows its Jacobian in closed form."""

    def value_and_jacobian(self, state: Any, x: Any) -> tuple[Any, Any]:
        """Return `f(state, x)` and ∂f/∂state, nested as `jax.jacfwd` nests it."""
        ...


@runtime_checkable
class HasBlocks(Protocol):
    """A cell that knows the blocks on the diagonal of its Jacobian in closed form.

    The state has b parts of n numbers each: the rows of a (b, n) array, or b leaves of a PyTree.
    Block u couples the numbers at place u of every part, as (c_u, h_u) in an LSTM.
    """

    def value_and_blocks(self, state: Any, x: Any) -> tuple[Any, Any]:
        """Return `f(state, x)` and the blocks (b, b, n).

        Entry [i, j, u] is the derivative of number u of part i by number u of part j.
        """
        ...


@runtime_checkable
class HasProjection(Protocol):
    """A cell that splits into a part that sees only the input and a part that sees the state.

    `cell(state, x)` equals `cell.recurrent(state, cell.project(x))`. Iterations change the
    states but not the inputs, so a solver projects all inputs once, beforehand; in chunks it
    projects them as the steps are taken. `recurrent` may offer the closed forms above, with the
    projected input as its second argument.
    """

    recurrent: Any

    def project(self, x: Any) -> Any: ...
