"""The linear recurrences: both backends against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import AssociativeScan, SequentialScan

BACKENDS = [AssociativeScan(), SequentialScan()]


def problem(dense: bool, length: int):
    key_a, key_b = jax.random.split(jax.random.key(0))
    shape = (length, 3, 3) if dense else (length, 3)
    return jax.random.normal(key_a, shape), jax.random.normal(key_b, (length, 3))


def loop(A, b, begin=0):
    s, states = np.zeros(3), []
    for t in range(len(b)):
        moved = A[t] @ s if A.ndim == 3 else A[t] * s
        s = b[t] if t <= begin else moved + b[t]
        states.append(s)
    return np.array(states)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("length", [1, 2, 37])
def test_equals_a_loop(backend, dense, length):
    A, b = problem(dense, length)
    np.testing.assert_allclose(backend(A, b), loop(np.array(A), np.array(b)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("dense", [True, False])
def test_reverse_is_forward_on_the_flipped_problem(backend, dense):
    A, b = problem(dense, 23)
    flipped = loop(np.array(A)[::-1], np.array(b)[::-1])[::-1]
    np.testing.assert_allclose(backend(A, b, reverse=True), flipped, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("begin", [0, 5, 36])
def test_nothing_before_begin_is_used(backend, dense, begin):
    A, b = problem(dense, 37)
    wanted = loop(np.array(A), np.array(b), begin)
    A = A.at[: begin + 1].set(jnp.nan)
    found = backend(A, b, begin=jnp.asarray(begin))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
