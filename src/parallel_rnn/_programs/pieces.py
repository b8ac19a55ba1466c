"""f beside a state, on the piece of f that the state lies on.

Programs compute functions that are smooth in pieces: comparisons, maxima, absolute values and
rounding to integers choose the piece. On two sides of a kink or a jump f differs by more than
rounding does, however near the states are. So f is computed at a state and at one beside it
together, and what is chosen at the first holds for both.

Some bends are no choice: that of a norm at 0, or a steep softplus. Those stay, and so do maxima
over windows and of what is scattered, and what is not looked into (callbacks, kernels).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jaxtyping import Array, PyTree

from .program import Program, equations_of, evaluated, is_variable


class Pair(NamedTuple):
    """What is computed at the state, and beside it; `None` where that is the same."""

    value: Any
    moved: Any = None

    @property
    def beside(self) -> Any:
        return self.value if self.moved is None else self.moved


def change_on_piece(step: Program) -> Callable[[Array, Array, PyTree], Array] | None:
    """The function (s, moved s, x) -> f(moved s, x) - f(s, x), on the piece of f that s lies on.

    `None` where f has one piece.

    **Arguments:**

    - `step`: f(s, x) of states that are vectors.
    """
    if not any(map(_may_choose, equations_of(step.program))):
        return None

    def change(s: Array, moved: Array, x: PyTree) -> Array:
        inputs = [*map(Pair, step.arrays), Pair(s, moved), *map(Pair, jax.tree.leaves(x))]
        found = _on_piece(step.program, [], inputs)[0]
        return found.beside - found.value

    return change


def _may_choose(equation: Any) -> bool:
    """Whether an equation chooses a piece if all its operands depend on the state."""
    is_choice = equation.primitive.name in CHOICES and _is_number(equation.outvars[0])
    return is_choice or equation.primitive.name in ORDERS or _jumps(equation, equation.invars)


def _jumps(equation: Any, operands: Sequence[Any]) -> bool:
    """Whether an equation rounds to integers, or makes no number of the numbers among these."""
    if equation.primitive.name in JUMPS:
        return _is_number(equation.outvars[0], jnp.floating)  # of a complex sign: it is a direction
    return any(map(_is_number, operands)) and not any(map(_is_number, equation.outvars))


def _is_number(atom: Any, kind: Any = jnp.inexact) -> bool:
    return hasattr(atom.aval, "dtype") and jnp.issubdtype(atom.aval.dtype, kind)


def _on_piece(program: Any, constants: Sequence[Any], inputs: Sequence[Pair]) -> list[Pair]:
    """What a program gives."""
    pairs = dict(zip(program.constvars, map(Pair, constants), strict=True))
    pairs |= zip(program.invars, inputs, strict=True)

    def read(atom: Any) -> Pair:
        return pairs[atom] if is_variable(atom) else Pair(atom.val)

    for equation in program.eqns:
        found = _computed(program, equation, [read(atom) for atom in equation.invars])
        pairs |= zip(equation.outvars, found, strict=True)
    return [read(atom) for atom in program.outvars]


def _computed(program: Any, equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    """What one equation of a program gives."""

    def at(values: Sequence[Any]) -> list[Any]:
        named = zip(equation.invars, values, strict=True)
        return evaluated(program, equation, {a: value for a, value in named if is_variable(a)})

    name = equation.primitive.name
    pairs = zip(equation.invars, operands, strict=True)
    differing = [atom for atom, operand in pairs if operand.moved is not None]
    if differing and name in ORDERS:
        return ORDERS[name](equation, operands)
    if differing and name in PROGRAMS and not equation.params.get("branches_platforms"):
        return PROGRAMS[name](equation, operands)
    values = at([operand.value for operand in operands])
    if not differing or _jumps(equation, differing):
        return list(map(Pair, values))
    if name in CHOICES and _is_number(equation.outvars[0]):
        return [Pair(values[0], CHOICES[name](equation, values[0], *operands))]
    return list(map(Pair, values, at([operand.beside for operand in operands])))


def _absolute(equation: Any, value: Array, x: Pair) -> Array:
    """|x|: the sign is kept."""
    if jnp.iscomplexobj(x.value):
        return jnp.abs(x.beside)
    return jnp.where(x.value < 0, -x.beside, x.beside)


def _chosen(equation: Any, value: Array, *operands: Pair) -> Array:
    """The smallest or largest of some numbers, or the one in the middle: the first that it is."""
    *others, found = operands
    found = found.beside
    for operand in others[::-1]:
        found = jnp.where(operand.value == value, operand.beside, found)
    return found


def _extreme(equation: Any, value: Array, x: Pair) -> Array:
    """The smallest or largest along axes: the mean of those that it is."""
    axes = equation.params["axes"]
    is_it = x.value == jnp.expand_dims(value, axes)
    number = jnp.sum(is_it, axis=axes, dtype=value.dtype)
    return jnp.sum(jnp.where(is_it, x.beside, 0), axis=axes) / number


def _remainder(equation: Any, value: Array, a: Pair, b: Pair) -> Array:
    """a - q b: the integer q is kept."""
    found = value + (a.beside - a.value)
    if b.moved is None:
        return found
    return found - jnp.round((a.value - value) / b.value) * (b.moved - b.value)


def _sorted(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    """In the order that is that of the state."""
    both = [*(pair.value for pair in operands), *(pair.beside for pair in operands)]
    found = jax.lax.sort(both, **equation.params)
    return list(map(Pair, found[: len(operands)], found[len(operands) :]))


def _largest(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    """The largest numbers of a state, and where they are."""
    (x,) = operands
    largest, places = jax.lax.top_k(x.value, equation.params["k"], axis=equation.params["axis"])
    beside = jnp.take_along_axis(x.beside, places, equation.params["axis"])
    return [Pair(largest, beside), Pair(places)]


def _angle(equation: Any, angle: Array, y: Pair, x: Pair) -> Array:
    """The angle of (x, y), without the turn that it may jump by."""
    beside = jnp.arctan2(y.beside, x.beside)
    turn = 2 * np.pi
    return beside - turn * jnp.round((beside - angle) / turn)


def _called(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    """What only calls a program, with its own operands."""
    params = equation.params
    program = params["call_jaxpr"] if "call_jaxpr" in params else params["jaxpr"]
    return _on_piece(getattr(program, "jaxpr", program), getattr(program, "consts", []), operands)


def _everywhere(pairs: Sequence[Pair]) -> list[Pair]:
    """With what is beside the state, also where it is the same: a loop may change that."""
    return [Pair(pair.value, pair.beside) for pair in pairs]


def _branched(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    index, *rest = operands

    def branch(program: Any) -> Callable[[Sequence[Pair]], list[Pair]]:
        return lambda rest: _everywhere(_on_piece(program.jaxpr, program.consts, rest))

    return jax.lax.switch(index.value, list(map(branch, equation.params["branches"])), rest)


def _scanned(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    body = equation.params["jaxpr"]
    # Operands are what all turns share, then the carry, then what each turn has of its own; results
    # are the carry and what each turn gives. What turns have has one axis more outside.
    num_own = _num_larger(equation.invars, body.jaxpr.invars)
    num_carry = len(equation.outvars) - _num_larger(equation.outvars, body.jaxpr.outvars)
    num_shared = len(operands) - num_own - num_carry
    shared, carry = operands[:num_shared], operands[num_shared : num_shared + num_carry]
    own = list(operands[num_shared + num_carry :])

    def turn(carry: list[Pair], own: list[Pair]) -> tuple[list[Pair], list[Pair]]:
        found = _everywhere(_on_piece(body.jaxpr, body.consts, [*shared, *carry, *own]))
        return found[:num_carry], found[num_carry:]

    how = {name: equation.params[name] for name in ("length", "reverse", "unroll")}
    carry, made = jax.lax.scan(turn, _everywhere(carry), own, **how)
    return [*carry, *made]


def _num_larger(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    """How many of these have more axes outside of the body of a loop than inside."""
    pairs = zip(outside, inside, strict=True)
    return sum(len(out.aval.shape) > len(own.aval.shape) for out, own in pairs)


def _looped(equation: Any, operands: Sequence[Pair]) -> list[Pair]:
    ends, body = equation.params["cond_jaxpr"], equation.params["body_jaxpr"]
    num_asked, num_shared = equation.params["cond_nconsts"], equation.params["body_nconsts"]
    asked = [operand.value for operand in operands[:num_asked]]
    shared = operands[num_asked : num_asked + num_shared]

    def going(carry: list[Pair]) -> Array:
        return eval_jaxpr(ends.jaxpr, ends.consts, *asked, *(pair.value for pair in carry))[0]

    def turn(carry: list[Pair]) -> list[Pair]:
        new = _everywhere(_on_piece(body.jaxpr, body.consts, [*shared, *carry]))
        # `vmap` makes one loop of many, each of which ends for itself.
        keep = partial(_where, going(carry))
        return jax.tree.map(keep, new, carry)

    start = _everywhere(operands[num_asked + num_shared :])
    return jax.lax.while_loop(lambda carry: jnp.any(going(carry)), turn, start)


def _where(flags: Array, new: Array, old: Array) -> Array:
    """The new numbers where the flags, for the first axes of the arrays, are true."""
    if flags.ndim == 0:
        return new
    return jnp.where(jnp.expand_dims(flags, range(flags.ndim, new.ndim)), new, old)


# Operations with jumps that make numbers of numbers.
JUMPS = {"ceil", "floor", "round", "sign"}
# Of what else chooses a piece: what it gives beside the state, of the equation, of what it gives
# at the state, and of its operands.
CHOICES: dict[str, Callable[..., Array]] = {
    "abs": _absolute,
    "atan2": _angle,
    "clamp": _chosen,
    "max": _chosen,
    "min": _chosen,
    "reduce_max": _extreme,
    "reduce_min": _extreme,
    "rem": _remainder,
}
# What gives more than one result: all that it gives, of the equation and its operands.
ORDERS: dict[str, Callable[..., list[Pair]]] = {"sort": _sorted, "top_k": _largest}
# The same of what runs programs.
PROGRAMS: dict[str, Callable[..., list[Pair]]] = {
    "closed_call": _called,  # the name of `eval_jaxpr` in JAX 0.10
    "cond": _branched,
    "custom_jvp_call": _called,
    "custom_vjp_call": _called,
    "eval_jaxpr": _called,
    "jit": _called,
    "remat2": _called,
    "scan": _scanned,
    "while": _looped,
}
