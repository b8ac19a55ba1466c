"""Functions as programs that hold the arrays they refer to."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.core import eval_jaxpr


class Program(eqx.Module):
    """A function as a program, with the arrays that it closed over, so that gradients reach them.

    `equinox.filter_closure_convert` does the same, but refuses arguments that vary over other axes
    of a mesh than the examples, as they may under `jax.shard_map`.
    """

    program: Any = eqx.field(static=True)
    arrays: list[Any]
    outputs: Any = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        leaves = eval_jaxpr(self.program, self.arrays, *jax.tree.leaves(args))
        return jax.tree.unflatten(self.outputs, leaves)


def closed(fn: Callable, *examples: Any) -> Program:
    """The function as a program for arguments of these shapes, with the arrays it refers to.

    Its products have the precision of their type, where the user has chosen no other. A GPU would
    multiply float32 with the ten bits of TF32, and a step that answers a small change with jumps
    lets an iteration converge one step at a time.
    """
    chosen = jax.config.jax_default_matmul_precision
    with jax.default_matmul_precision("highest" if chosen is None else chosen):
        program, shapes = jax.make_jaxpr(fn, return_shape=True)(*examples)
    return Program(program.jaxpr, program.consts, jax.tree.structure(shapes))
