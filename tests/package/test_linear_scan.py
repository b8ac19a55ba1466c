"""The linear recurrences: both backends against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import AssociativeScan, SequentialScan

pytestmark = pytest.mark.device
BACKENDS = [AssociativeScan(), SequentialScan()]


def problem(dense: bool, length: int):
    key_a, key_b = jax.random.split(jax.random.key(0))
    shape = (length, 3, 3) if dense else (length, 3)
    return jax.random.normal(key_a, shape), jax.random.normal(key_b, (length, 3))


def loop(A, b):
    s, states = np.zeros(3), []
    for t in range(len(b)):
        s = (A[t] @ s if A.ndim == 3 else A[t] * s) + b[t]
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
@pytest.mark.parametrize("num_verified", [0, 5, 36])
def test_newton_step(backend, dense, num_verified):
    A, values = problem(dense, 37)
    states = jax.random.normal(jax.random.key(1), (37, 3))
    wanted = np.array(states)
    wanted[num_verified] = values[num_verified]
    for t in range(num_verified + 1, 37):
        change = wanted[t - 1] - np.array(states[t - 1])
        wanted[t] = values[t] + (A[t] @ change if dense else A[t] * change)
    # What stands before the first step that is not verified must not be used.
    A = A.at[: num_verified + 1].set(jnp.nan)
    found = backend.newton_step(A, values, states, jnp.asarray(num_verified))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert (found[num_verified] == values[num_verified]).all()


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("dense", [True, False])
def test_a_newton_step_that_overflows_starts_again_from_zero(backend, dense):
    A, values = problem(dense, 37)
    states = jnp.zeros((37, 3))
    found = backend.newton_step(1e300 * A, values, states, jnp.asarray(2))
    assert jnp.isfinite(found).all()
    np.testing.assert_array_equal(found[2], values[2])
    np.testing.assert_array_equal(found[10:], 0)
