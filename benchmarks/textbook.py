"""DEER, quasi-DEER, ELK and quasi-ELK as a textbook states them, the baseline of the benchmarks.

Written after the description of the paper's released code: the whole sequence at once, the dense
Jacobian of every step by forward-mode differentiation (for the quasi methods its diagonal is then
cut out), `associative_scan`, and a stop when no state changes by more than 1e-4.

A method is a function (f, s0, xs, states) -> next states, one iteration of s_t = f(s_{t-1}, x_t).
"""

from collections import namedtuple
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from parallel_rnn._finite import worst

TOLERANCE = 1e-4

Method = Callable[[Callable, Array, Array, Array], Array]


# What the methods do with the Jacobians' part that they use, one matrix a step.
Matrices = namedtuple("Matrices", ["part", "identity", "product", "times", "transpose", "solve"])
DENSE = Matrices(
    part=lambda J: J,
    identity=jnp.eye,
    product=jnp.matmul,
    times=lambda A, s: jnp.einsum("tij,tj->ti", A, s),
    transpose=lambda A: jnp.swapaxes(A, 1, 2),
    solve=jnp.linalg.solve,
)
DIAGONAL = Matrices(
    part=lambda J: jnp.diagonal(J, axis1=1, axis2=2),
    identity=jnp.ones,
    product=jnp.multiply,
    times=jnp.multiply,
    transpose=lambda A: A,
    solve=lambda A, B: B / A,
)


def newton(kind: Matrices) -> Method:
    """DEER and quasi-DEER: s_t = A_t s_{t-1} + b_t."""

    def after(first, second):
        (A1, b1), (A2, b2) = first, second
        return kind.product(A2, A1), kind.times(A2, b1) + b2

    def method(f, s0, xs, states):
        return jax.lax.associative_scan(after, _linearised(kind, f, s0, xs, states))[1]

    return method


# ELK filters s_t ~ N(A_t s_{t-1} + b_t, I) with the observations y_t ~ N(s_t, I / damping), y being
# the present iterate. In the notation of Särkkä and García-Fernández (2021), "Temporal
# parallelization of Bayesian smoothers", an element (A, b, C, η, J) holds
#
#     p(s_t | y_t, s_{t-1}) = N(s_t; A s_{t-1} + b, C),  p(y_t | s_{t-1}) ∝ N_I(s_{t-1}; η, J),
#
# the latter in information form, and b of the combined elements 1..t is the filtered mean of s_t.
# With Q = I and R = I / damping, the gain of one observation Q (Q + R)^{-1} and the matrix
# (Q + R)^{-1} are both g I, g = damping / (1 + damping).
def elk(kind: Matrices, damping: float) -> Method:
    """ELK and quasi-ELK with the filtered mean."""
    gain = damping / (1 + damping)

    # Covariances and informations are symmetric: (I + J C)^{-1} is (I + C J)^{-1} transposed.
    def after(first, second):
        (A1, b1, C1, eta1, J1), (A2, b2, C2, eta2, J2) = first, second
        both = kind.identity(C1.shape[-1], dtype=C1.dtype) + kind.product(C1, J2)
        forward = kind.transpose(kind.solve(kind.transpose(both), kind.transpose(A2)))
        backward = kind.transpose(kind.solve(both, A1))
        return (
            kind.product(forward, A1),
            kind.times(forward, b1 + kind.times(C1, eta2)) + b2,
            kind.product(kind.product(forward, C1), kind.transpose(A2)) + C2,
            kind.times(backward, eta2 - kind.times(J2, b1)) + eta1,
            kind.product(kind.product(backward, J2), A1) + J1,
        )

    def method(f, s0, xs, states):
        A, b = _linearised(kind, f, s0, xs, states)
        surprise = gain * (states - b)
        C = (1 - gain) * jnp.broadcast_to(kind.identity(A.shape[-1], dtype=A.dtype), A.shape)
        eta = kind.times(kind.transpose(A), surprise)
        J = gain * kind.product(kind.transpose(A), A)
        elements = ((1 - gain) * A, b + surprise, C, eta, J)
        return jax.lax.associative_scan(after, elements)[1]

    return method


def _linearised(kind, f, s0, xs, states):
    previous = jnp.concatenate([s0[None], states[:-1]])
    # A_1 = 0: the first state is f(s_0, x_1), whatever the guess.
    A = kind.part(jax.vmap(jax.jacfwd(f))(previous, xs)).at[0].set(0)
    return A, jax.vmap(f)(previous, xs) - kind.times(A, previous)


def iterated(going_on: Callable, method: Method, f: Callable, s0: Array, xs: Array) -> tuple:
    """Iterate from zeros while `going_on(states, change, count)`; return these three."""

    def body(carry):
        states, _, count = carry
        following = method(f, s0, xs, states)
        return following, worst(jnp.abs(following - states)), count + 1

    start = jnp.zeros((len(xs), len(s0)), s0.dtype), jnp.asarray(jnp.inf, s0.dtype), 0
    return jax.lax.while_loop(lambda carry: going_on(*carry), body, start)


def unfinished(states: Array, change: Array, count: Array) -> Array:
    """The textbook's stop."""
    return change > TOLERANCE


def sequential(f: Callable, s0: Array, xs: Array) -> Array:
    """The same states by `jax.lax.scan`."""

    def step(s, x):
        s = f(s, x)
        return s, s

    return jax.lax.scan(step, s0, xs)[1]
