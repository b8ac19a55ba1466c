"""The baselines of the benchmarks compute what the textbook says."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "textbook.py"
DAMPING = 0.3


@pytest.fixture(scope="module")
def textbook():
    spec = importlib.util.spec_from_file_location("textbook", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def problem():
    """A recurrence of three coupled numbers, its start and inputs, and an iterate far off."""
    keys = jax.random.split(jax.random.key(0), 4)
    with jax.enable_x64(True):
        weight = jax.random.normal(keys[0], (3, 3))
        s0, xs = jax.random.normal(keys[1], (3,)), jax.random.normal(keys[2], (13, 3))
        yield lambda s, x: jnp.tanh(weight @ s + x), s0, xs, jax.random.normal(keys[3], (13, 3))


def kalman_loop(problem, diagonal):
    """The filtered means, one step after another."""
    f, s0, xs, states = problem
    eye = np.eye(3)
    mean, P = f(s0, xs[0]), eye
    means = []
    for t in range(len(xs)):
        if t > 0:
            J = np.array(jax.jacfwd(f)(states[t - 1], xs[t]))
            A = np.diag(np.diag(J)) if diagonal else J
            mean = f(states[t - 1], xs[t]) + A @ (mean - states[t - 1])
            P = A @ P @ A.T + eye
        K = P @ np.linalg.inv(P + eye / DAMPING)
        mean, P = mean + K @ (states[t] - mean), (eye - K) @ P
        means.append(mean)
    return np.array(means)


@pytest.mark.parametrize("kind", ["DENSE", "DIAGONAL"])
def test_elk_is_a_kalman_filter(textbook, problem, kind):
    found = textbook.elk(getattr(textbook, kind), DAMPING)(*problem)
    wanted = kalman_loop(problem, kind == "DIAGONAL")
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["DENSE", "DIAGONAL"])
def test_elk_without_damping_is_deer(textbook, problem, kind):
    kind = getattr(textbook, kind)
    found, wanted = textbook.elk(kind, 0.0)(*problem), textbook.newton(kind)(*problem)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("kind", ["DENSE", "DIAGONAL"])
def test_deer_finds_the_states(textbook, problem, kind):
    *recurrence, _ = problem
    method, wanted = textbook.newton(getattr(textbook, kind)), textbook.sequential(*recurrence)
    found, change, count = textbook.iterated(textbook.unfinished, method, *recurrence)
    assert 1 < count <= 13 and change <= textbook.TOLERANCE
    np.testing.assert_allclose(found, wanted, atol=10 * textbook.TOLERANCE)
