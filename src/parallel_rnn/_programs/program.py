"""Functions as programs that hold the arrays they refer to."""

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

import equinox as eqx
import jax
from jax.core import eval_jaxpr
from jax.extend.core import Literal
from jax.interpreters import partial_eval
from jax.sharding import AxisType

# Operations that take a part of an array, or say of which shape it is.
CUTS = {"dynamic_slice", "reshape", "slice", "split", "squeeze"}
# Operations with the name of an axis that ask nobody along it.
ASK_NOBODY = {"axis_index", "pvary"}


class Program(eqx.Module):
    """A function as a program, with the arrays that it closed over, so that gradients reach them.

    `equinox.filter_closure_convert` does the same, but refuses arguments that vary over other axes
    of a mesh than the examples, as they may under `jax.shard_map`.
    """

    program: Any = eqx.field(static=True)
    arrays: list[Any]
    outputs: Any = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        leaves = eval_jaxpr(self.program, [], *self._inputs(args))
        return jax.tree.unflatten(self.outputs, leaves)

    def parameters(self) -> Sequence[Any]:
        """The variables of the program that stand for the leaves of the arguments."""
        return self.program.invars[len(self.arrays) :]

    def depends(self) -> Any:
        """For each leaf of what it returns, whether it depends on the arguments."""
        varying = set(self.parameters())
        for equation in self.program.eqns:
            if any(not isinstance(atom, Literal) and atom in varying for atom in equation.invars):
                varying |= set(equation.outvars)
        flags = [not isinstance(atom, Literal) and atom in varying for atom in self.program.outvars]
        return jax.tree.unflatten(self.outputs, flags)

    def has_effects(self) -> bool:
        """Whether it does more than return numbers, such as print, or ask other devices."""
        return bool(self.program.effects)

    def axes_asked(self) -> set[Any]:
        """The names of the axes along which it asks other series or devices, as `pmean` does."""
        return _axes_asked(self.program)

    def acts(self) -> bool:
        """Whether it has effects, or asks the host, other series or devices for numbers.

        The host may look at what it is asked, as the checks of Equinox do, so it is not to be asked
        of states that no step leads to.
        """
        if self.has_effects() or self.axes_asked():
            return True
        return any("callback" in e.primitive.name for e in equations_of(self.program))

    def has_custom_vjp(self) -> bool:
        """Whether any of it has reverse derivatives only, as a `jax.custom_vjp` has."""
        return any("custom_vjp" in e.primitive.name for e in equations_of(self.program))

    def has_branches(self) -> bool:
        """Whether it is decided while it runs what is computed, as by `jax.lax.cond`."""
        return any(e.primitive.name == "cond" for e in equations_of(self.program))

    def has_explicit_axes(self) -> bool:
        """Whether anything that it returns is sharded along explicit axes of a mesh."""
        kinds: list[Any] = [atom.aval for atom in self.program.outvars]
        meshes = [kind.sharding.mesh for kind in kinds if hasattr(kind, "sharding")]
        return any(AxisType.Explicit in mesh.axis_types for mesh in meshes)

    def matrices_first(self, *args: Any) -> Any:
        """What the function returns, with W^T v in place of v W for a vector and a matrix.

        `vmap` leaves an axis that it adds behind the last one where it is in W^T v. In v W it moves
        it to the front, and what follows is transposed.
        """
        call = _opened(self.program, [], _matrix_first)
        return jax.tree.unflatten(self.outputs, call(*self._inputs(args)))

    def completed(self, known: Sequence[Any], wanted: Sequence[bool], *args: Any) -> list[Any]:
        """Some leaves of what the function returns, of which others are known.

        Nothing is computed that the wanted ones do not need, or that only known ones depend on, and
        nothing is done beside.

        **Arguments:**

        - `known`: the first leaves of what it returns, with `None` for those that are not known.
        - `wanted`: for each leaf, whether it is.
        """
        known = [*known, *[None] * (len(wanted) - len(known))]
        found = _completed(self.program, [], self._inputs(args), known, wanted)
        return [leaf for leaf, own in zip(found, wanted, strict=True) if own]

    def _inputs(self, args: Sequence[Any]) -> list[Any]:
        """What the variables of the program stand for: its arrays come before the arguments."""
        return [*self.arrays, *jax.tree.leaves(args)]


def closed(fn: Callable, *examples: Any) -> Program:
    """The function as a program for arguments of these shapes, with the arrays it refers to.

    Its products have the precision of their type, where the user has chosen no other. A GPU would
    multiply float32 with the ten bits of TF32, and a step that answers a small change with jumps
    lets an iteration converge one step at a time.
    """
    chosen = jax.config.jax_default_matmul_precision
    with jax.default_matmul_precision("highest" if chosen is None else chosen):
        program, shapes = jax.make_jaxpr(fn, return_shape=True)(*examples)
        if _cuts(program.jaxpr, set(program.jaxpr.constvars)):
            leaves = jax.tree.leaves(examples)
            program = jax.make_jaxpr(_opened(program.jaxpr, program.consts))(*leaves)
            program = jax.make_jaxpr(_cut_before(program.jaxpr, program.consts))(*leaves)
    bare = _without_constants(program.jaxpr)
    # Without what nobody needs, such as the outputs of the body of a scan where its states are
    # asked for: what a program holds tells how it rounds, and whom it asks.
    bare, _ = partial_eval.dce_jaxpr(bare, [True] * len(bare.outvars), instantiate=True)
    return Program(bare, program.consts, jax.tree.structure(shapes))


def _without_constants(program: Any) -> Any:
    """The program with its constants as its first arguments.

    It is static, so it must not hold them: they may be values of a trace that ends before it is
    forgotten.
    """
    return program.replace(constvars=[], invars=[*program.constvars, *program.invars])


def _cuts(program: Any, arrays: set[Any]) -> bool:
    """Whether a program, or what `jax.jit` made in it, cuts a part out of some of these arrays."""
    for equation in program.eqns:
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"].jaxpr
            pairs = zip(inner.invars, equation.invars, strict=True)
            known = {atom for atom, operand in pairs if _is_one_of(arrays, operand)}
            if _cuts(inner, known | set(inner.constvars)):
                return True
        elif equation.primitive.name in CUTS and _is_one_of(arrays, equation.invars[0]):
            return True
    return False


def _is_one_of(arrays: set[Any], atom: Any) -> bool:
    return is_variable(atom) and atom in arrays


def _cut_before(program: Any, constants: Sequence[Any]) -> Callable:
    """The program as a function of its arguments, with what it cuts out of its arrays cut already.

    XLA takes what does not change out of a loop, but no parts of arrays: it copies them at every
    step, which takes longer than a product with such a part.
    """
    values = dict(zip(program.constvars, constants, strict=True))
    rest = []
    for equation in program.eqns:
        operands = filter(is_variable, equation.invars)
        if equation.primitive.name in CUTS and all(atom in values for atom in operands):
            found = evaluated(program, equation, values)
            values |= zip(equation.outvars, found, strict=True)
        else:
            rest.append(equation)
    uncut = program.replace(constvars=[*values], eqns=rest)
    return lambda *leaves: eval_jaxpr(uncut, [*values.values()], *leaves)


def equations_of(program: Any) -> Iterator[Any]:
    """The equations of a program, and of all that are called in it."""
    for equation in program.eqns:
        yield equation
        for inner in _programs_in(equation):
            yield from equations_of(inner)


def _programs_in(equation: Any) -> Iterator[Any]:
    """The programs that an equation calls."""
    for inner in jax.tree.leaves(list(equation.params.values())):
        if hasattr(inner, "jaxpr"):
            yield inner.jaxpr
        elif hasattr(inner, "eqns"):
            yield inner


def _axes_asked(program: Any) -> set[Any]:
    """See `Program.axes_asked`. Not all of these operations have an effect, as JAX calls it."""
    asked = set()
    for equation in program.eqns:
        inner = [_axes_asked(called) for called in _programs_in(equation)]
        if inner:
            # Axes that a `jax.shard_map` makes are its own.
            own = [equation.params.get(name, ()) for name in ("manual_axes", "newly_manual_axes")]
            asked |= set().union(*inner) - set().union(*own)
        elif equation.primitive.name not in ASK_NOBODY:
            names = [equation.params.get(name, ()) for name in ("axes", "axis_name")]
            asked |= {name for name in jax.tree.leaves(names) if not isinstance(name, Integral)}
    return asked


def _opened(
    program: Any,
    constants: Sequence[Any],
    replaced: Callable[..., list[Any] | None] = lambda equation, *operands: None,
) -> Callable[..., list[Any]]:
    """The program as a function of its arguments, with the equations of what `jax.jit` made.

    **Arguments:**

    - `replaced`: of an equation and its operands, what it gives in place of what the equation
      does, or `None`.
    """

    def call(*leaves: Any) -> list[Any]:
        values = dict(zip(program.constvars, constants, strict=True))
        values |= zip(program.invars, leaves, strict=True)
        for equation in program.eqns:
            operands = [_value(atom, values) for atom in equation.invars]
            if equation.primitive.name == "jit":
                inner = equation.params["jaxpr"]
                found = _opened(inner.jaxpr, inner.consts, replaced)(*operands)
            else:
                found = replaced(equation, *operands) or evaluated(program, equation, values)
            values |= zip(equation.outvars, found, strict=True)
        return [_value(atom, values) for atom in program.outvars]

    return call


def _matrix_first(equation: Any, *operands: Any) -> list[Any] | None:
    """W^T v in place of v W, where an equation is that."""
    if equation.primitive.name != "dot_general":
        return None
    dims = [atom.aval.ndim for atom in equation.invars]
    if dims != [1, 2] or equation.params["dimension_numbers"] != (((0,), (0,)), ((), ())):
        return None
    vector, matrix = operands
    # Not with the first axis of the matrix summed over: XLA has a faster product for the second.
    numbers = dict(dimension_numbers=(((1,), (0,)), ((), ())))
    precision = equation.params["precision"]
    if isinstance(precision, tuple):
        precision = precision[::-1]
    with equation.ctx.manager:
        params = equation.params | numbers | dict(precision=precision)
        return [jax.lax.dot_general(matrix.T, vector, **params)]


def _value(atom: Any, values: dict[Any, Any]) -> Any:
    return atom.val if isinstance(atom, Literal) else values.get(atom)


def evaluated(program: Any, equation: Any, values: dict[Any, Any]) -> list[Any]:
    """What one equation of a program computes."""
    used = list(filter(is_variable, equation.invars))
    parts: Any = dict(constvars=[], invars=used, outvars=equation.outvars, eqns=[equation])
    return eval_jaxpr(program.replace(**parts), [], *(values[atom] for atom in used))


def _completed(
    program: Any,
    constants: Sequence[Any],
    inputs: Sequence[Any],
    known: Sequence[Any],
    wanted: Sequence[bool],
) -> list[Any]:
    """The outputs of a program that are known or wanted, `None` for the others."""
    values = dict(zip(program.constvars, constants, strict=True))
    values |= zip(program.invars, inputs, strict=True)
    for atom, value in zip(program.outvars, known, strict=True):
        if value is not None and _value(atom, values) is None:
            values[atom] = value
    outputs = [atom for atom, own in zip(program.outvars, wanted, strict=True) if own]
    atoms = set(filter(is_variable, outputs))
    for equation in _needed(program, values, atoms):
        found = [_value(atom, values) for atom in equation.outvars]
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            operands = [_value(atom, values) for atom in equation.invars]
            inside = [atom in atoms for atom in equation.outvars]
            found = _completed(inner.jaxpr, inner.consts, operands, found, inside)
        else:
            found = evaluated(program, equation, values)
        for atom, value in zip(equation.outvars, found, strict=True):
            values.setdefault(atom, value)
    return [_value(atom, values) for atom in program.outvars]


def _needed(program: Any, values: dict[Any, Any], atoms: set[Any]) -> list[Any]:
    """The equations that the atoms depend on, behind what has a value. Adds what they depend on."""
    needed = []
    for equation in reversed(program.eqns):
        if any(atom in atoms and atom not in values for atom in equation.outvars):
            needed.append(equation)
            atoms |= {atom for atom in equation.invars if is_variable(atom)}
    return needed[::-1]


def is_variable(atom: Any) -> bool:
    return not isinstance(atom, Literal)


def without_effects(program: Any) -> Any:
    """The program, and those that are called in it, as if they only returned numbers."""

    def bare(part: Any) -> Any:
        if hasattr(part, "jaxpr"):
            return part.replace(jaxpr=without_effects(part.jaxpr))
        if hasattr(part, "eqns"):
            return without_effects(part)
        return tuple(map(bare, part)) if isinstance(part, tuple) else part

    equations = [
        equation.replace(
            params={name: bare(part) for name, part in equation.params.items()}, effects=set()
        )
        for equation in program.eqns
        if equation.outvars
    ]
    return program.replace(eqns=equations, effects=set())
