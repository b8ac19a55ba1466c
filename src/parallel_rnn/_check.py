"""What can be wrong with a call, each said in a sentence: the value, the cause, the fix."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ._solver import TOLERANCES, AbstractSolver, Sequential
from ._types import Inputs


def check_state(s0: PyTree) -> PyTree:
    """Return the shapes of the initial state, a PyTree of float arrays of one dtype."""
    leaves = jax.tree.leaves(s0)
    if not leaves:
        raise ValueError("`s0` holds no array. Pass the initial state, for example `jnp.zeros(3)`.")
    for leaf in leaves:
        if leaf.dtype.name not in TOLERANCES:
            raise TypeError(
                f"`s0` has a leaf of type {leaf.dtype}, but a state must consist of real "
                "floating-point numbers, because Newton's method differentiates with respect to "
                "it. Convert it with `jnp.asarray(s0, jnp.float32)`, or pass counters and flags "
                "through `xs`."
            )
    dtypes = sorted({leaf.dtype.name for leaf in leaves})
    if len(dtypes) > 1:
        raise TypeError(
            f"`s0` mixes the dtypes {', '.join(dtypes)}, but a state needs one. Convert its leaves "
            "with `jax.tree.map(lambda a: a.astype(jnp.float32), s0)`."
        )
    return jax.eval_shape(lambda: s0)


def check_length(xs: Inputs | None, length: int | None) -> int:
    """Return T, which `xs` and `length` must agree on."""
    if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
        raise TypeError(
            f"`length` is {length!r}, a {type(length).__name__}; it must be a Python integer, "
            "because the number of steps is part of the compiled program."
        )
    if length is not None and length < 0:
        raise ValueError(f"`length` is {length}; the number of steps cannot be negative.")
    leaves = jax.tree.leaves(xs)
    if not leaves:
        if length is None:
            raise ValueError(
                "`xs` holds no array and `length` is not given, so the number of steps is "
                "unknown. Pass `length=` for a recurrence without inputs."
            )
        return length
    lengths = set()
    for leaf in leaves:
        if leaf.ndim == 0:
            raise ValueError(
                f"`xs` has a leaf without axes ({leaf}); every leaf needs a leading time axis. "
                "Let `f` close over constants instead."
            )
        lengths.add(leaf.shape[0])
    if length is not None:
        lengths.add(length)
    if len(lengths) > 1:
        raise ValueError(
            f"The leading axes of `xs` and `length` disagree about the number of steps: "
            f"{sorted(lengths)}. Every leaf of `xs` needs the time axis first."
        )
    return lengths.pop()


def check_batch(s0: PyTree, xs: Inputs | None, guess: Any, lengths: Any, group: Any) -> None:
    """Refuse series that do not make a batch."""
    guesses = None if isinstance(guess, str) else guess
    leaves = jax.tree.leaves((s0, xs, guesses, lengths))
    sizes = {leaf.shape[0] if jnp.ndim(leaf) > 0 else None for leaf in leaves}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(
            "The leading axes of `s0`, `xs`, `guess` and `lengths` must all be the number of "
            f"series, but they are {sorted(sizes, key=str)}. One series alone goes to `solve`."
        )
    if sizes == {0}:
        raise ValueError("The batch holds no series: the leading axis of `s0` has length 0.")
    if lengths is not None and not jnp.issubdtype(jnp.asarray(lengths).dtype, jnp.integer):
        raise TypeError(
            f"`lengths` has type {jnp.asarray(lengths).dtype}; it must hold integers, the number "
            "of steps of each series that count."
        )
    _check_count("group", group, 1, "1 solves the series one after another")


def check_options(
    solver: Any,
    window: Any,
    max_steps: Any,
    guess: Any,
    fallback: Any,
    trace: Callable | None,
    state_type: PyTree,
    length: int,
) -> None:
    """Refuse options that mean nothing."""
    examples = "a solver such as `QuasiDEER()`, `DEER()` or `Sequential()`"
    check_kind("solver", solver, AbstractSolver, examples)
    if fallback is not None and not isinstance(fallback, Sequential):
        raise TypeError(
            f"`fallback` is {fallback!r}; it must be `Sequential()` or None: taking the steps one "
            "after another is the only method that cannot run out of iterations."
        )
    check_window(window)
    if max_steps is not None:
        _check_count("max_steps", max_steps, 0, "None takes a number that is always enough")
    if trace is not None and window == "auto":
        raise ValueError(
            "`trace` needs an explicit `window`, because the shape of the trace depends on it and "
            '"auto" on the platform. Pass `window=None` to trace the whole sequence at once.'
        )
    if isinstance(guess, str):
        if guess != "zeros":
            raise ValueError(f'`guess` is {guess!r}; the only guess with a name is "zeros".')
    elif guess is not None:
        wanted = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((length, *leaf.shape), leaf.dtype), state_type
        )
        if not _same(found := jax.eval_shape(lambda: guess), wanted):
            raise ValueError(
                f"`guess` is {_show(found)}, but the states are {_show(wanted)}. A guess needs the "
                "structure and dtype of `s0` with a leading axis for the steps."
            )


def check_kind(name: str, value: Any, kind: type, examples: str) -> None:
    """Refuse what is no object of a kind, such as its class."""
    if not isinstance(value, kind):
        hint = f" Write `{value.__name__}()` with brackets." if isinstance(value, type) else ""
        raise TypeError(f"`{name}` is {value!r}; it must be {examples}.{hint}")


def check_window(window: Any) -> None:
    """Refuse what is no number of steps, "auto" or `None`."""
    if window != "auto" and window is not None:
        _check_count("window", window, 1, '"auto" and None (the whole sequence) are allowed too')


def _check_count(name: str, value: Any, least: int, otherwise: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"`{name}` is {value!r}; it must be a Python integer, because it is part of the "
            f"compiled program ({otherwise})."
        )
    if value < least:
        raise ValueError(f"`{name}` is {value}; it must be at least {least} ({otherwise}).")


def check_step(f: Callable, state_type: PyTree, x_type: PyTree) -> None:
    """Refuse an `f` that does not map a state to a state of the same structure, shape and dtype."""
    try:
        found = eqx.filter_eval_shape(f, state_type, x_type)
    except Exception as error:
        if not _fits(f, x_type, state_type, state_type):
            raise
        raise TypeError(
            f"`f(state, x)` fails for a state {_show(state_type)} and an input {_show(x_type)}, "
            f"but `f(x, state)` works: the arguments are swapped. {_SWAP}"
        ) from error
    if _same(found, state_type):
        return
    swapped = _fits(f, x_type, state_type, state_type)
    raise TypeError(
        f"`f(state, x)` returns {_show(found)} for a state {_show(state_type)}. A step must keep "
        "the structure, shape and dtype of the state. "
        + (f"`f(x, state)` does keep them: the arguments are swapped. {_SWAP}" if swapped else "")
    )


_SWAP = (
    "`equinox.nn.GRUCell` is `cell(input, hidden)`; use `parallel_rnn.cells.GRUCell.from_equinox` "
    "or `lambda state, x: cell(x, state)`."
)


def _fits(f: Callable, first: PyTree, second: PyTree, wanted: PyTree) -> bool:
    try:
        return _same(eqx.filter_eval_shape(f, first, second), wanted)
    except Exception:
        return False


def _same(found: PyTree, wanted: PyTree) -> bool:
    if jax.tree.structure(found) != jax.tree.structure(wanted):
        return False
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)


def _show(tree: PyTree) -> str:
    """Shapes and dtypes the way JAX users write them, such as float32[3]."""

    def name(leaf: Any) -> str:
        if not hasattr(leaf, "shape"):
            return type(leaf).__name__
        return f"{leaf.dtype.name}[{','.join(map(str, leaf.shape))}]"

    if jax.tree.structure(tree) == jax.tree.structure(0):
        return name(tree)
    return str(jax.tree.map(name, tree)).replace("'", "")
