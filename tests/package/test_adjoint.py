"""Derivatives of `scan` against those of `jax.lax.scan`: forward, reverse, second order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

from parallel_rnn import (
    DEER,
    AssociativeScan,
    ImplicitAdjoint,
    QuasiDEER,
    Sequential,
    SequentialScan,
    scan,
    solve,
)

from recurrences import gru, largest_difference, pair, reference, temporary_bytes

OPTIONS = [
    {"solver": solver, "adjoint": ImplicitAdjoint(recurrence), "window": window}
    for solver in (DEER(), QuasiDEER(), Sequential())
    for recurrence in (SequentialScan(), AssociativeScan())
    for window in (None, 7)
]


def describe(options):
    return "-".join(
        [
            type(options["solver"]).__name__,
            type(options["adjoint"].recurrence).__name__,
            str(options["window"]),
        ]
    )


def loss(scan_function, cell, s0, xs):
    """Depends on the last carry and on outputs that see the carry before and after a step."""

    def step(carry, x):
        following = cell(carry, x)
        return following, jnp.sin(carry) * following * x

    last, ys = scan_function(step, s0, xs)
    return jnp.sum(last**2) + jnp.sum(jnp.cumsum(ys, axis=0) ** 2)


@pytest.fixture
def problem():
    # Every unit feeds every other: an adjoint that drops off-diagonal entries fails.
    return gru(4, 31)


@pytest.fixture(params=OPTIONS, ids=describe)
def losses(request):
    def ours(*args, **kwargs):
        return scan(*args, **kwargs, **request.param)

    return (lambda *args: loss(ours, *args)), (lambda *args: loss(jax.lax.scan, *args))


def direction(problem):
    leaves, structure = jax.tree.flatten(problem)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    noise = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, noise)


def test_gradient(losses, problem):
    ours, theirs = (jax.grad(f, argnums=(0, 1, 2))(*problem) for f in losses)
    assert largest_difference(ours, theirs) < 1e-8


def test_jvp(losses, problem):
    ours, theirs = (jax.jvp(f, problem, direction(problem)) for f in losses)
    assert largest_difference(ours, theirs) < 1e-8


def test_vjp_of_all_states(problem):
    def states(solver):
        return lambda f, s0, xs: solve(f, s0, xs, solver).value

    weights = jax.random.normal(jax.random.key(3), (31, 4))
    wanted = jax.vjp(reference, *problem)[1](weights)
    for solver in (DEER(), QuasiDEER()):
        found = jax.vjp(states(solver), *problem)[1](weights)
        assert largest_difference(found, wanted) < 1e-8


def test_hessian_vector_product(losses, problem):
    def product(f):
        gradient = jax.grad(f, argnums=(0, 1, 2))
        return jax.jvp(gradient, problem, direction(problem))[1]

    ours, theirs = map(product, losses)
    assert largest_difference(ours, theirs) < 1e-8


@pytest.mark.parametrize("recurrence", [SequentialScan(), AssociativeScan()])
def test_finite_differences_to_second_order(recurrence):
    cell, s0, xs = gru(3, 4)

    def f(s0, xs):
        adjoint = ImplicitAdjoint(recurrence)
        return jnp.sum(jnp.sin(solve(cell, s0, xs, adjoint=adjoint).value))

    check_grads(f, (s0, xs), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver", [DEER(), QuasiDEER()], ids=lambda s: type(s).__name__)
def test_pytrees_closures_jit_and_vmap(solver):
    f, s0, xs = pair(12)

    def total(parameters, gain, solve_all):
        # `gain` reaches the step only through a closure.
        states = solve_all(lambda s, x: jax.tree.map(lambda a: gain * a, parameters(s, x)), s0, xs)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(states))

    gains = jnp.array([0.5, 0.8, 1.0])

    def gradients(solve_all):
        one = eqx.filter_grad(lambda both: total(both[0], both[1], solve_all))
        return jax.jit(jax.vmap(lambda gain: one((f, gain))))(gains)

    ours = gradients(lambda f, s0, xs: solve(f, s0, xs, solver).value)
    assert largest_difference(ours, gradients(reference)) < 1e-8


def test_the_guess_and_the_solver_have_no_derivative():
    cell, s0, xs = gru(3, 20)
    guess = reference(cell, s0, xs)

    def total(guess, atol):
        return jnp.sum(solve(cell, s0, xs, DEER(atol=atol), guess=guess).value)

    gradients = jax.grad(total, argnums=(0, 1))(guess + 0.1, jnp.asarray(1e-9))
    assert all(jnp.all(g == 0) for g in gradients)


def test_sequential_adjoint_forms_no_jacobian():
    cell, s0, xs = gru(16, 500)

    def with_recurrence(recurrence):
        def total(s0):
            adjoint = ImplicitAdjoint(recurrence)
            return jnp.sum(solve(cell, s0, xs, adjoint=adjoint, window=50, throw=False).value)

        return temporary_bytes(jax.grad(total), s0)

    jacobians = 500 * 16 * 16 * 8
    assert with_recurrence(SequentialScan()) < jacobians
    assert with_recurrence(AssociativeScan()) > jacobians
