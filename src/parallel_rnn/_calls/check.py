"""What can be wrong with a call, each said in a sentence: the value, the cause, the fix."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from .._chunks.chunks import check_joined
from .._gradients.adjoint import AbstractAdjoint, DirectAdjoint, UnrolledAdjoint
from .._programs.program import Program
from .._recurrence.flat import with_arrays
from .._solvers.solver import TOLERANCES, AbstractSolver, Sequential
from .._types import Inputs
from .._values import as_count, check_count, check_flag, check_kind, check_window


def as_arrays(name: str, tree: PyTree) -> PyTree:
    """The tree with arrays as leaves."""
    return jax.tree.map(lambda leaf: as_array(name, leaf), tree)


def as_array(name: str, value: Any) -> Array:
    """The value, or the list of values, as an array."""
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` holds {value!r}, of type {type(value).__name__}; it must hold arrays or "
            "numbers."
        ) from error


def as_guess(guess: PyTree) -> PyTree:
    """A guess, which may have a name, with arrays as leaves."""
    return guess if isinstance(guess, str) else as_arrays("guess", guess)


def check_state(s0: PyTree) -> PyTree:
    """Return the shapes of the initial state, a PyTree of float arrays of one dtype."""
    if not jax.tree.leaves(s0):
        raise ValueError("`s0` holds no array. Pass the initial state, for example `jnp.zeros(3)`.")
    check_dtypes("s0", s0)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), s0)


def check_dtypes(name: str, state: PyTree) -> None:
    """Refuse leaves that are no floats, or not of one dtype."""
    leaves = jax.tree.leaves(state)
    for leaf in leaves:
        _check_known(name, leaf)
        if not _is_float(leaf):
            raise TypeError(
                f"`{name}` has a leaf of type {leaf.dtype}, but a state must consist of "
                "floating-point numbers, because Newton's method differentiates with respect to "
                f"it. Convert it with `jnp.asarray({name}, jnp.float32)`, or pass counters and "
                "flags through `xs`."
            )
    if len({_of_parts(leaf) for leaf in leaves}) > 1:
        dtypes = sorted({leaf.dtype.name for leaf in leaves})
        raise TypeError(
            f"`{name}` mixes the dtypes {', '.join(dtypes)}, but a state needs one (float32 goes "
            "with complex64, float64 with complex128). Convert its leaves, for example with "
            f"`jax.tree.map(lambda a: a.astype(jnp.float32), {name})`."
        )


def _is_float(leaf: Any) -> bool:
    """Whether a state may consist of such numbers."""
    return _of_parts(leaf) in TOLERANCES


def _of_parts(leaf: Array) -> str:
    """The dtype of a leaf, or of the real and imaginary parts of a complex one."""
    is_inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jnp.finfo(leaf.dtype).dtype.name if is_inexact else leaf.dtype.name


def check_length(xs: Inputs | None, length: int | None) -> int:
    """Return T, which `xs` and `length` must agree on."""
    if length is not None:
        length = as_count(length)
        if isinstance(length, bool) or not isinstance(length, int):
            raise TypeError(
                f"`length` is {length!r}, of type {type(length).__name__}; it must be an integer, "
                "because the number of steps is part of the compiled program."
            )
        if length < 0:
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
                "Make a list of numbers one array by `jnp.asarray`, and let `f` close over "
                "constants."
            )
        _check_known("xs", leaf)
        lengths.add(leaf.shape[0])
    if length is not None:
        lengths.add(length)
    if len(lengths) > 1:
        raise ValueError(
            f"The leading axes of `xs` and `length` disagree about the number of steps: "
            f"{sorted(lengths)}. Every leaf of `xs` needs the time axis first."
        )
    return lengths.pop()


def _check_known(name: str, leaf: Any) -> None:
    """Refuse the symbolic shapes of `jax.export`."""
    if not all(isinstance(size, int) for size in leaf.shape):
        raise TypeError(
            f"`{name}` has a leaf of the shape ({', '.join(map(str, leaf.shape))}), but the "
            "numbers of steps and of states, and what an input holds, are part of the compiled "
            "program, so none of them can be symbolic. Export one program for a longest sequence, "
            "and pad shorter ones with `lengths` of `solve_batch`."
        )


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
    for leaf in jax.tree.leaves(xs):
        if leaf.ndim < 2:
            raise ValueError(
                f"`xs` has a leaf {_show(leaf)}; every leaf needs leading axes B, of the series, "
                "and T, of the steps. Inputs that are the same for all series go to `jax.vmap`."
            )
    if sizes == {0}:
        raise ValueError("The batch holds no series: the leading axis of `s0` has length 0.")
    if not (isinstance(group, str) and group == "auto"):
        check_count("group", group, 1, '1 solves the series one after another, "auto" chooses')
    if group not in (1, "auto") and not all(isinstance(size, int) for size in sizes):
        raise TypeError(
            f"`group` is {group}, but the number of series is {sizes.pop()}, which is symbolic, so "
            "that it is not known how many groups there are. Leave `group` out, or pass 1."
        )


def check_names(function: str, given: dict[str, Any], options: type) -> None:
    """Refuse options that there are none of."""
    known = inspect.signature(options).parameters
    for name in given:
        if name not in known:
            raise TypeError(
                f"`{function}` has no option `{name}`; beside its own it takes {', '.join(known)}."
            )


def check_lengths(lengths: Array, length: int) -> None:
    """Refuse what is no number of steps for each series. The values of tracers are not known."""
    if lengths.ndim != 1 or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(
            f"`lengths` is {_show(lengths)}; it must hold integers, one for each series: how many "
            "of its steps count."
        )
    if isinstance(lengths, Tracer):
        return
    wrong = [n for n in np.asarray(lengths).tolist() if not 0 <= n <= length]
    if wrong:
        raise ValueError(
            f"`lengths` holds {wrong[0]}, but a series has {length} steps; each entry must be "
            f"between 0 and {length}."
        )


def check_options(options: Any) -> None:
    """Refuse options of `solve` that mean nothing."""
    examples = "a solver such as `QuasiDEER()`, `DEER()` or `Sequential()`"
    check_kind("solver", options.method, AbstractSolver, examples)
    examples = "an adjoint such as `ImplicitAdjoint()` or `IteratedAdjoint()`"
    check_kind("adjoint", options.adjoint, AbstractAdjoint, examples)
    if options.fallback is not None and not isinstance(options.fallback, Sequential):
        raise TypeError(
            f"`fallback` is {options.fallback!r}; it must be `Sequential()` or None: taking the "
            "steps one after another is the only method that cannot run out of iterations."
        )
    check_window(options.window)
    _check_chunk(options)
    if options.max_steps is not None:
        meaning = "None takes a number that is enough for every undamped solver"
        check_count("max_steps", options.max_steps, 0, meaning)
    if options.trace is not None:
        check_function(options.trace, ("step", "states", "residual"), "arrays", "trace")
    has_length = options.window != "auto" or options.chunk not in (None, 1, "auto")
    if options.trace is not None and not has_length:
        raise ValueError(
            "`trace` needs an explicit `window`, because the shape of the trace depends on it and "
            '"auto" on the platform. Pass `window=None` to trace the whole sequence at once.'
        )
    check_flag("reverse", options.reverse)


def _check_chunk(options: Any) -> None:
    """Refuse what is no number of steps or `None`, and what does not go with chunks."""
    chunk = options.chunk
    if chunk is None or (isinstance(chunk, str) and chunk == "auto"):
        return
    check_count(
        "chunk", chunk, 1, '"auto" and None, which solves for single steps, are allowed too'
    )
    check_joined(options.method, options.chunk)
    if isinstance(options.window, int):
        raise ValueError(
            f"`chunk` is {chunk} and `window` is {options.window}. Chunks lie side by side over "
            "the whole sequence, windows one after another; leave one of the two out."
        )
    if isinstance(options.adjoint, UnrolledAdjoint):
        raise TypeError(
            f"`chunk` is {chunk}, but `UnrolledAdjoint` goes back through the iterations on single "
            "steps. Pass `adjoint=ImplicitAdjoint()`, which is exact."
        )


def check_asked(step: Program, solver: AbstractSolver, adjoint: AbstractAdjoint) -> None:
    """Refuse to iterate where f asks other series or devices, which only steps in turn allow."""
    axes = ", ".join(sorted(map(repr, step.axes_asked())))
    if not axes:
        return
    cause = (
        f"`f` asks other series or devices, along {axes}, so all of them together are one "
        "recurrence. An iteration on one of them would judge its states by others that are not "
        "right yet, and devices that end after another number of iterations would wait for ever."
    )
    mend = (
        "or solve for all at once, with one state that holds theirs. What does not depend on the "
        "state, ask for before."
    )
    if not isinstance(solver, Sequential):
        raise TypeError(
            f"{cause} Pass `Sequential()` as the solver, or leave `solver`, `window`, `chunk` and "
            f"what else asks for an iteration ({solver!r}) out; {mend}"
        )
    if not isinstance(adjoint, DirectAdjoint | UnrolledAdjoint):
        raise TypeError(
            f"{cause} So it is with their derivatives, and `adjoint` is {adjoint!r}. Leave it out, "
            f"which takes those of `jax.lax.scan`; {mend}"
        )


def check_guess(guess: Any, name: str, state_type: PyTree, length: int) -> None:
    """Refuse a guess that is no trajectory of the states; `name` is that of the first one."""
    if isinstance(guess, str) and guess != "zeros":
        raise ValueError(f'`guess` is {guess!r}; the only guess with a name is "zeros".')
    if guess is None or isinstance(guess, str):
        return
    wanted = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((length, *leaf.shape), leaf.dtype), state_type
    )
    if not _same(found := jax.eval_shape(lambda: guess), wanted):
        raise ValueError(
            f"`guess` is {_show(found)}, but the states are {_show(wanted)}. A guess needs the "
            f"structure and dtype of `{name}` with a leading axis for the steps."
        )


def check_function(f: Any, arguments: tuple[str, ...], returned: str, name: str = "f") -> None:
    """Refuse what cannot be called with these arguments."""
    call = f"{name}({', '.join(arguments)})"
    if isinstance(f, type) or not callable(f):
        hint = " Make an object of the class first." if isinstance(f, type) else ""
        shown = _show(f) if eqx.is_array(f) else repr(f)
        raise TypeError(f"`{name}` is {shown}; it must be a function `{call} -> {returned}`.{hint}")
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(
            f"`{name}` takes the arguments {signature}, but it is called as `{call}`: {error}. "
            f"Wrap it in a function `lambda {', '.join(arguments)}: ...`."
        ) from error


def check_step(f: Callable, state_type: PyTree, x_type: PyTree, name: str = "state") -> None:
    """Refuse an `f` that does not map a state to a state of the same structure, shape and dtype.

    `name` is what the user calls a state.
    """
    check_function(f, (name, "x"), name)
    found = step_type(f, state_type, x_type, name)
    if not _same(found, state_type):
        sentences = [
            f"`f({name}, x)` returns {_show(found)} for a {name} {_show(state_type)}. A step must "
            f"keep the structure, shape and dtype of the {name}.",
            _likely_cause(f, state_type, x_type) or _likely_mend(found, state_type, name),
        ]
        raise TypeError(" ".join(filter(None, sentences)))


def step_type(f: Callable, state_type: PyTree, x_type: PyTree, name: str) -> PyTree:
    """The type of what `f` returns."""
    try:
        return _type_of_call(f, state_type, x_type)
    except Exception as error:
        fails = (
            f"`f({name}, x)` fails for a {name} {_show(state_type)} and an input {_show(x_type)}"
        )
        if why := _likely_cause(f, state_type, x_type):
            raise TypeError(f"{fails}. {why}") from error
        mend = (
            f"Change `{GIVEN[name]}` or `xs` if these are not what `f` takes; the first axis of "
            "`xs` counts the steps."
        )
        if type(error) in MISFITS:
            raise type(error)(f"{fails}. {mend} It says: {error}") from error
        error.add_note(f"{fails}. {mend}")
        raise


def _likely_cause(f: Callable, state_type: PyTree, x_type: PyTree) -> str:
    """What another call of `f` that does work tells, empty where none does."""
    if _fits(f, x_type, state_type, state_type):
        return f"With x first it works: the arguments are swapped. {_SWAP}"
    x = _of_one_series(x_type)
    # A state of one axis has no series: each of its numbers alone suits many functions.
    one_axis = any(leaf.ndim < 2 for leaf in jax.tree.leaves(state_type))
    state = None if one_axis else _of_one_series(state_type)
    if state is not None and _fits(f, state, x_type, state):
        return (
            f"With a state {_show(state)} it works: the first axis of the state seems to count "
            "series. `solve` takes one series, `solve_batch` takes many, whose inputs have leading "
            "axes B and T; `jax.vmap` runs many from the same inputs."
        )
    if jax.tree.leaves(x_type) and x is not None:
        if _fits(f, state_type, x, state_type) or (state is not None and _fits(f, state, x, state)):
            return (
                f"With an input {_show(x)} it works: the first axis of `xs` seems to count series. "
                "`solve` takes one series, `solve_batch` takes many: their states, with a leading "
                "axis of length B, and inputs with leading axes B and T."
            )
    return ""


def _of_one_series(tree: PyTree) -> PyTree | None:
    """The types without their leading axis, `None` where there is no such axis."""
    if any(leaf.ndim == 0 for leaf in jax.tree.leaves(tree)):
        return None
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), tree)


def _likely_mend(found: PyTree, state_type: PyTree, name: str) -> str:
    """What makes another return the state that it should, empty where nothing is known."""
    if isinstance(found, tuple) and len(found) == 2 and _same(found[0], state_type):
        return "Return the state alone, or use `parallel_rnn.scan`, which takes outputs too."
    if jax.tree.structure(found) == jax.tree.structure(state_type):
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(state_type), strict=True)
        for new, old in pairs:
            if getattr(new, "shape", None) == old.shape and new.dtype != old.dtype:
                other = f"Make `{GIVEN[name]}` {new.dtype}, or have" if _is_float(new) else "Have"
                return f"{other} `f` return {old.dtype}."
    return ""


# The argument that holds the first state, by what the user calls a state.
GIVEN = {"state": "s0", "carry": "init"}
# What arrays that do not fit together raise. Other errors are of f alone, and keep their words.
MISFITS = (IndexError, TypeError, ValueError)
_SWAP = (
    "Cells of Equinox are `cell(input, state)`: use `parallel_rnn.cells.from_equinox(cell)`, with "
    "(c, h) as the state of an LSTM, or `lambda state, x: cell(x, state)`."
)


def _type_of_call(f: Callable, first: PyTree, second: PyTree) -> PyTree:
    dtype = next((leaf.dtype for leaf in jax.tree.leaves(first)), None)
    return eqx.filter_eval_shape(lambda s, x: with_arrays(f(s, x), dtype), first, second)


def check_unroll(unroll: Any) -> None:
    """Refuse what `jax.lax.scan` does not take for `unroll`."""
    if not isinstance(unroll, bool):
        check_count("unroll", unroll, 0, "True, for all steps, and False are allowed too")


def check_pair(returned: Any) -> None:
    """Refuse what the body of a scan must not return."""
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise TypeError(
            f"`f(carry, x)` returns {_show(returned)}, but it must return a pair: the next carry "
            "and an output. Write `return carry, None` where there is no output."
        )


def _fits(f: Callable, first: PyTree, second: PyTree, wanted: PyTree) -> bool:
    try:
        return _same(_type_of_call(f, first, second), wanted)
    except Exception:
        return False


def _same(found: PyTree, wanted: PyTree) -> bool:
    if jax.tree.structure(found) != jax.tree.structure(wanted):
        return False
    return jax.tree.map(_show, found) == jax.tree.map(_show, wanted)


def _show(tree: PyTree) -> str:
    """Shapes and dtypes the way JAX users write them, such as float32[3]."""

    def name(leaf: Any) -> str:
        if not hasattr(leaf, "shape"):
            return type(leaf).__name__
        return f"{leaf.dtype.name}[{','.join(map(str, leaf.shape))}]"

    if jax.tree.structure(tree) == jax.tree.structure(0):
        return name(tree)
    return str(jax.tree.map(name, tree)).replace("'", "")
