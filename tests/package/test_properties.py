"""Random recurrences, shapes, dtypes and options: the answer is that of `jax.lax.scan`.

Sizes are drawn from short lists, so that compiled programs serve many examples.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_rnn import ELK, RESULTS, QuasiELK, Sequential, solve

from recurrences import UNDAMPED, largest_difference, reference, step_by_step

LENGTHS = st.sampled_from([0, 1, 2, 7, 40])
SIZES = st.sampled_from([1, 2, 5])
DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**31 - 1)
WINDOWS = st.sampled_from([None, 3, 16])
# Blocks of two need a state of even size.
SOLVERS = st.sampled_from(
    [Sequential(), *(method() for name, method in UNDAMPED.items() if name != "QuasiDEER-blocks")]
)
# Above 1 a network of tanh units can be unstable where it does not saturate.
MODERATE = 1.2
# A trajectory that steps take from rounding apart: relative to this.
TOLERANCE = {"float32": 1e-3, "float64": 1e-8}

quietly = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Network(eqx.Module):
    """A layer of tanh units."""

    weight: jax.Array

    def __call__(self, state, x):
        return jnp.tanh(self.weight @ state + x)


class Polynomial(eqx.Module):
    """A cubic of every entry, which sees its neighbour, cut off at ±2."""

    coefficients: jax.Array

    def __call__(self, state, x):
        a, b, c, d = self.coefficients
        value = a * state + b * jnp.roll(state, 1) + c * state**2 + d * state**3
        return jnp.clip(value + x, -2, 2)


class Problem(NamedTuple):
    f: eqx.Module
    s0: jax.Array
    xs: jax.Array
    guess: jax.Array


def numbers(seed, dtype, *shapes):
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=shape), dtype) for shape in shapes]


@st.composite
def networks(draw, largest_gain):
    """Networks of any gain up to the given one, and guesses that may be far."""
    size, length, dtype = draw(SIZES), draw(LENGTHS), draw(DTYPES)
    shapes = (size, size), (size,), (length, size), (length, size)
    weight, s0, xs, guess = numbers(draw(SEEDS), dtype, *shapes)
    weight = weight * jnp.asarray(draw(st.floats(0, largest_gain)) / np.sqrt(size), dtype)
    return Problem(Network(weight), s0, xs, jnp.asarray(draw(st.floats(0, 100)), dtype) * guess)


@st.composite
def polynomials(draw):
    """Anything from still to chaotic."""
    size, length, dtype = draw(SIZES), draw(LENGTHS), draw(DTYPES)
    shapes = (4,), (size,), (length, size), (length, size)
    coefficients, s0, xs, guess = numbers(draw(SEEDS), dtype, *shapes)
    return Problem(Polynomial(coefficients), jnp.clip(s0, -2, 2), xs, guess)


def close_to_reference(value, problem):
    wanted = reference(problem.f, problem.s0, problem.xs)
    return largest_difference(value, wanted[: len(value)]) < TOLERANCE[str(problem.s0.dtype)]


def every_step_holds(states, problem):
    """Chaos lets only single steps be compared, and a steep step takes its rounding with it."""
    step = step_by_step(problem.f, problem.s0, states, problem.xs)
    assert step.dtype == problem.s0.dtype
    return largest_difference(step, states) < TOLERANCE[str(problem.s0.dtype)] / 10


@quietly
@given(networks(MODERATE), SOLVERS, WINDOWS)
def test_networks(problem, solver, window):
    solution = solve(problem.f, problem.s0, problem.xs, solver, window=window)
    assert close_to_reference(solution.value, problem)
    assert solution.stats["num_verified"] == len(problem.xs)


@quietly
@given(polynomials(), SOLVERS, WINDOWS)
def test_polynomials(problem, solver, window):
    solution = solve(problem.f, problem.s0, problem.xs, solver, window=window)
    assert every_step_holds(solution.value, problem)
    bound = len(problem.xs) if window is None else window * solution.stats["num_windows"]
    assert solution.stats["num_steps"] <= bound


@quietly
@given(networks(MODERATE), SOLVERS)
def test_guesses(problem, solver):
    solution = solve(problem.f, problem.s0, problem.xs, solver, guess=problem.guess)
    assert close_to_reference(solution.value, problem)


DAMPINGS = st.floats(-6, 0.5).map(lambda exponent: 10.0**exponent)
METHODS = st.sampled_from([ELK, QuasiELK])
ESTIMATES = st.sampled_from(["filter", "smoother"])


def damped(method, estimate, damping, problem):
    """One damping for each entry of the state, around the number drawn."""
    spread = jnp.linspace(0.5, 2, problem.s0.size, dtype=problem.s0.dtype)
    return method(jnp.asarray(damping, problem.s0.dtype) * spread, estimate)


@quietly
@given(networks(0.5), METHODS, ESTIMATES, DAMPINGS)
def test_dampings_of_contracting_networks(problem, method, estimate, damping):
    solver = damped(method, estimate, damping, problem)
    solution = solve(problem.f, problem.s0, problem.xs, solver, throw=False)
    assert solution.result == RESULTS.successful
    assert close_to_reference(solution.value, problem)


@quietly
@given(networks(3), METHODS, ESTIMATES, DAMPINGS)
def test_a_damped_solver_never_claims_a_wrong_answer(problem, method, estimate, damping):
    solver = damped(method, estimate, damping, problem)
    solution = solve(
        problem.f, problem.s0, problem.xs, solver, window=None, max_steps=60, throw=False
    )
    verified = int(solution.stats["num_verified"])
    success = bool(solution.result == RESULTS.successful)
    assert success == (verified == len(problem.xs))
    assert success == bool(solution.stats["residual"] <= 1)
    right = problem._replace(xs=problem.xs[:verified])
    assert every_step_holds(solution.value[:verified], right)
