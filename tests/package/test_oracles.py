"""Iterates against other implementations: optimistix, and textbook formulas in NumPy."""

import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    BlockDiagonal,
    Dense,
    Diagonal,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    solve,
)

from recurrences import BACKENDS, gru, largest_difference

pytestmark = pytest.mark.usefixtures("barely_optimised")

LENGTH, SIZE = 9, 4
NUM_ITERATES = 5

every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)


@pytest.fixture
def problem():
    """A GRU with its initial state and inputs, and a guess far from the answer."""
    return *gru(SIZE, LENGTH), jax.random.normal(jax.random.key(7), (LENGTH, SIZE))


def iterates(problem, solver, number=NUM_ITERATES):
    """The guess and what follows from it."""
    cell, s0, xs, guess = problem
    options = {"window": None, "guess": guess, "throw": False}
    return solve(
        cell, s0, xs, solver, max_steps=number - 1, trace=lambda step, s, r: s, **options
    ).trace


def all_steps(problem):
    """F and the states before the steps, as functions of the whole trajectory."""
    cell, s0, xs, _ = problem

    def before(states):
        return jnp.concatenate([s0[None], states[:-1]])

    return (lambda states: jax.vmap(cell)(before(states), xs)), before


def repeat(step, guess):
    states = [guess]
    for _ in range(NUM_ITERATES - 1):
        states.append(step(states[-1]))
    return jnp.stack(states)


# One step of optimistix at a time, so that every iterate can be compared.
ONE_STEP = {"max_steps": 1, "throw": False}


@every_backend
def test_deer_is_newton_on_the_whole_trajectory(problem, backend):
    evaluate, _ = all_steps(problem)
    tags = frozenset({lineax.lower_triangular_tag, lineax.unit_diagonal_tag})
    newton = optimistix.Newton(rtol=1e-14, atol=1e-14, linear_solver=lineax.Triangular())

    def step(states):
        found = optimistix.root_find(
            lambda states, _: states - evaluate(states), newton, states, tags=tags, **ONE_STEP
        )
        return found.value

    wanted = repeat(step, problem[-1])
    found = iterates(problem, DEER(linear_scan=backend))
    assert largest_difference(found, wanted) < 1e-10


@every_backend
@pytest.mark.parametrize("method", [Jacobi, Picard])
def test_jacobi_and_picard_are_fixed_point_iterations(problem, backend, method):
    evaluate, before = all_steps(problem)
    s0 = problem[1]

    def map_of_method(states, _):
        if method is Jacobi:
            return evaluate(states)
        return s0[None] + jnp.cumsum(evaluate(states) - before(states), axis=0)

    fixed_point = optimistix.FixedPointIteration(rtol=1e-14, atol=1e-14)

    def step(states):
        return optimistix.fixed_point(map_of_method, fixed_point, states, **ONE_STEP).value

    wanted = repeat(step, problem[-1])
    found = iterates(problem, method(linear_scan=backend))
    assert largest_difference(found, wanted) < 1e-10


# What the damped methods do, in the variables of the paper. `mask` keeps the entries of the
# Jacobian that the transition keeps.

PLACE = np.arange(SIZE) % 2
TRANSITIONS = {
    "dense": (ELK, Dense(), np.ones((SIZE, SIZE))),
    "diagonal": (QuasiELK, Diagonal(), np.eye(SIZE)),
    "blocks": (QuasiELK, BlockDiagonal(2), PLACE[:, None] == PLACE),
}
# Of one shape, so that one program serves both.
DAMPINGS = [np.full(SIZE, 0.3), np.array([0.3, 1e-4, 2.0, 0.05])]

every_transition = pytest.mark.parametrize("transition", TRANSITIONS)


def linearised(problem, states, mask):
    """A_t and f(y_{t-1}, x_t) at the states y."""
    cell, _, xs, _ = problem
    previous = all_steps(problem)[1](states)
    jacobians = np.array(jax.vmap(jax.jacrev(lambda s, x: cell(s, x)))(previous, xs))
    return jacobians * mask, np.array(all_steps(problem)[0](states))


def levenberg_marquardt(problem, states, mask, damping):
    """Minimise 1/2 |M d - r|^2 + 1/2 d' Λ d over the changes of all states at once."""
    A, values = linearised(problem, states, mask)
    M = np.eye(LENGTH * SIZE)
    for t in range(1, LENGTH):
        M[t * SIZE : (t + 1) * SIZE, (t - 1) * SIZE : t * SIZE] = -A[t]
    r = (values - states).ravel()
    weights = np.diag(np.tile(damping, LENGTH))
    return states + np.linalg.solve(M.T @ M + weights, M.T @ r).reshape(LENGTH, SIZE)


def kalman_filter(problem, states, mask, damping):
    """Filter the states as observations of themselves (Gonzalez et al. 2024, section 4.2)."""
    A, values = linearised(problem, states, mask)
    noise, one = np.diag(1 / damping), np.eye(SIZE)
    mean, covariance, means = values[0], one, []
    for t in range(LENGTH):
        if t > 0:
            b = values[t] - A[t] @ states[t - 1]
            mean, covariance = A[t] @ mean + b, A[t] @ covariance @ A[t].T + one
        gain = covariance @ np.linalg.inv(covariance + noise)
        mean = mean + gain @ (states[t] - mean)
        covariance = (one - gain) @ covariance
        means.append(mean)
    return np.array(means)


TEXTBOOK = {"smoother": levenberg_marquardt, "filter": kalman_filter}


@every_backend
@every_transition
@pytest.mark.parametrize("estimate", TEXTBOOK)
def test_damped_iterates_equal_the_textbook(problem, backend, transition, estimate):
    method, kept, mask = TRANSITIONS[transition]
    for damping in DAMPINGS:
        solver = method(damping, estimate, linear_scan=backend, transition=kept)
        wanted = repeat(
            lambda y, lam=damping: TEXTBOOK[estimate](problem, np.array(y), mask, lam), problem[-1]
        )
        assert largest_difference(iterates(problem, solver), wanted) < 1e-10


@pytest.mark.parametrize("estimate", TEXTBOOK)
def test_one_iteration_without_trace_equals_the_textbook(problem, estimate):
    cell, s0, xs, guess = problem
    options = {"window": None, "guess": guess, "throw": False}
    found = solve(cell, s0, xs, ELK(0.3, estimate), max_steps=1, **options).value
    mask = TRANSITIONS["dense"][2]
    wanted = TEXTBOOK[estimate](problem, np.array(guess), mask, DAMPINGS[0])
    assert largest_difference(found, jnp.asarray(wanted)) < 1e-10


@every_backend
@pytest.mark.parametrize("estimate", TEXTBOOK)
@pytest.mark.parametrize(("method", "undamped"), [(ELK, DEER), (QuasiELK, QuasiDEER)])
def test_without_damping_the_iterates_are_newtons(problem, backend, estimate, method, undamped):
    found = iterates(problem, method(0.0, estimate, linear_scan=backend), number=LENGTH)
    wanted = iterates(problem, undamped(linear_scan=backend), number=LENGTH)
    # Two programs may end one iteration apart; what follows the last iterate is NaN.
    counts = [int(np.isfinite(states).all(axis=(1, 2)).sum()) for states in (found, wanted)]
    common = min(counts)
    assert common > 4
    assert max(counts) <= common + 1
    assert largest_difference(found[:common], wanted[:common]) < 1e-10
