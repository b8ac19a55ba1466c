"""DEER and quasi-DEER as a textbook states them, the baseline of the benchmarks.

Written after the description of the paper's released code: the whole sequence at once, the dense
Jacobian of every step by forward-mode differentiation (for quasi-DEER its diagonal is then cut
out), `associative_scan`, and a stop when no state changes by more than 1e-4.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

TOLERANCE = 1e-4


def deer(f: Callable, s0: Array, xs: Array) -> Array:
    """States s_1..s_T of s_t = f(s_{t-1}, x_t) by Newton's method."""

    def after(first, second):
        (A1, b1), (A2, b2) = first, second
        return A2 @ A1, jnp.einsum("tij,tj->ti", A2, b1) + b2

    return _iterate(f, s0, xs, lambda J: J, lambda J, s: jnp.einsum("tij,tj->ti", J, s), after)


def quasi_deer(f: Callable, s0: Array, xs: Array) -> Array:
    """The same with the diagonal of the Jacobian."""

    def after(first, second):
        (A1, b1), (A2, b2) = first, second
        return A2 * A1, A2 * b1 + b2

    def diagonal(J):
        return jnp.diagonal(J, axis1=1, axis2=2)

    return _iterate(f, s0, xs, diagonal, jnp.multiply, after)


def sequential(f: Callable, s0: Array, xs: Array) -> Array:
    """The same by `jax.lax.scan`."""

    def step(s, x):
        s = f(s, x)
        return s, s

    return jax.lax.scan(step, s0, xs)[1]


def _iterate(f, s0, xs, part, apply, after):
    def step(carry):
        states, _ = carry
        previous = jnp.concatenate([s0[None], states[:-1]])
        A = part(jax.vmap(jax.jacfwd(f))(previous, xs))
        b = jax.vmap(f)(previous, xs) - apply(A, previous)
        b = b.at[0].add(apply(A[:1], s0[None])[0])
        following = jax.lax.associative_scan(after, (A, b))[1]
        return following, jnp.max(jnp.abs(following - states))

    def changing(carry):
        return carry[1] > TOLERANCE

    guess = jnp.zeros((len(xs), len(s0)), s0.dtype)
    return jax.lax.while_loop(changing, step, (guess, jnp.asarray(jnp.inf, s0.dtype)))[0]
