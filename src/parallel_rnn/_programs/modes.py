"""Which derivatives a function has: forward mode, reverse mode, or both.

Most have both. A `jax.custom_vjp` has no forward mode, a `jax.lax.while_loop` no reverse mode.
"""

import contextlib
from collections.abc import Callable, Iterator

import jax
from jaxtyping import PyTree

# What JAX raises where a derivative does not exist.
NO_DERIVATIVE = (TypeError, ValueError, NotImplementedError)
# How it calls the forward mode in what it then says.
FORWARD_MODE = ("forward", "jvp", "differentiation")


def has_reverse_mode(fn: Callable[[PyTree], PyTree], at: PyTree) -> bool:
    """Whether `fn` of float arrays has reverse derivatives there. It is traced, not computed."""
    try:
        jax.eval_shape(lambda at: _reverse(fn, at), at)
    except NO_DERIVATIVE:
        return False
    return True


def check_forward_mode(fn: Callable[[PyTree], PyTree], at: PyTree) -> None:
    """Refuse what has no forward derivatives."""
    with in_forward_mode():
        jax.eval_shape(lambda at: _forward(fn, at), at)


@contextlib.contextmanager
def in_forward_mode() -> Iterator[None]:
    """Says in one sentence what it means that a forward derivative of `f` does not exist."""
    try:
        yield
    except NO_DERIVATIVE as error:
        if not any(word in str(error).lower() for word in FORWARD_MODE):
            raise  # what is wrong is something else
        raise TypeError(
            f"`f` has no forward derivative (JAX says: {str(error).splitlines()[0]}), but the "
            "solver or the adjoint needs it. Pass `solver=Sequential()` and leave `adjoint` as it "
            "is: it is differentiated as `jax.lax.scan` is. Or write the derivative with "
            "`jax.custom_jvp`, which serves all solvers, in place of `jax.custom_vjp`."
        ) from error


def _forward(fn: Callable, at: PyTree) -> PyTree:
    # Without `vmap`, JAX lets a `jax.custom_vjp` pass until the program is lowered.
    tangents = jax.tree.map(lambda a: a[None], at)
    return jax.vmap(lambda tangent: jax.jvp(fn, (at,), (tangent,))[1])(tangents)


def _reverse(fn: Callable, at: PyTree) -> PyTree:
    values, pull_back = jax.vjp(fn, at)
    return pull_back(values)
