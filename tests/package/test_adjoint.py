"""Derivatives of `scan` against those of `jax.lax.scan`: forward, reverse, second order."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from parallel_rnn import (
    DEER,
    AssociativeScan,
    DiagonalAdjoint,
    ImplicitAdjoint,
    IteratedAdjoint,
    QuasiDEER,
    Sequential,
    SequentialScan,
    UnrolledAdjoint,
    scan,
    solve,
)

from recurrences import (
    BACKENDS,
    METHODS,
    gru,
    largest_difference,
    logistic,
    pair,
    reference,
    temporary_bytes,
)

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("barely_optimised")]
OPTIONS = [
    {"solver": solver, "adjoint": ImplicitAdjoint(recurrence, window), "window": window}
    for solver in (DEER(), QuasiDEER(), Sequential())
    for recurrence in (SequentialScan(), AssociativeScan())
    for window in (None, 7)
]


def describe(options):
    return "-".join(
        [
            type(options["solver"]).__name__,
            type(options["adjoint"].linear_scan).__name__,
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


@cache
def solved(solver, adjoint):
    """The loss of a solver and an adjoint as a function of the cell, s0 and xs."""

    def ours(*args, **kwargs):
        return scan(*args, **kwargs, solver=solver, adjoint=adjoint, window=None)

    return lambda *args: loss(ours, *args)


def all_derivatives(total, problem):
    """The value, its JVP, the gradient and a Hessian-vector product, from one program."""

    @jax.jit
    def derivatives(problem, along):
        return jax.jvp(jax.value_and_grad(lambda p: total(*p)), (problem,), (along,))

    return derivatives(problem, direction(problem))


@cache
def wanted_derivatives():
    return all_derivatives(lambda *args: loss(jax.lax.scan, *args), gru(4, 13))


EXACT = {
    "Sequential": (Sequential(), ImplicitAdjoint()),
    **{name: (method(), ImplicitAdjoint()) for name, method in METHODS.items()},
    "iterated-QuasiDEER": (QuasiDEER(), IteratedAdjoint()),
    "iterated-DEER": (DEER(), IteratedAdjoint(DEER())),
    "in-chunks": (DEER(), IteratedAdjoint(chunk=7)),
    "iterated-at-once": (DEER(), IteratedAdjoint(QuasiDEER(linear_scan=AssociativeScan()))),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_solver_has_every_derivative(name):
    found = all_derivatives(solved(*EXACT[name]), gru(4, 13))
    assert largest_difference(found, wanted_derivatives()) < 1e-7


ADJOINTS = [
    *(ImplicitAdjoint(backend) for backend in BACKENDS),
    ImplicitAdjoint(AssociativeScan(), window=4),
    IteratedAdjoint(),
]


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_finite_differences_to_second_order(adjoint):
    cell, s0, xs = gru(3, 4)

    @jax.jit
    def f(s0, xs):
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

    def with_scan(linear_scan):
        def total(s0):
            adjoint = ImplicitAdjoint(linear_scan)
            return jnp.sum(solve(cell, s0, xs, adjoint=adjoint, window=50, throw=False).value)

        return temporary_bytes(jax.grad(total), s0)

    jacobians = 500 * 16 * 16 * 8
    assert with_scan(SequentialScan()) < jacobians
    assert with_scan(AssociativeScan()) > jacobians


@pytest.mark.usefixtures("optimised")
def test_an_adjoint_in_windows_holds_the_jacobians_of_one():
    cell, s0, xs = gru(64, 2000)

    def bytes_of_a_further_step(window):
        adjoint = ImplicitAdjoint(AssociativeScan(), window)

        def total(s0, xs):
            return jnp.sum(solve(cell, s0, xs, Sequential(), adjoint=adjoint).value)

        short, long = (temporary_bytes(jax.grad(total), s0, xs[:n]) for n in (1000, 2000))
        return (long - short) / 1000

    jacobian = 64 * 64 * 8
    assert bytes_of_a_further_step(None) > jacobian
    assert bytes_of_a_further_step(100) < jacobian / 4
    assert bytes_of_a_further_step("auto") < jacobian / 4


@pytest.mark.parametrize("window", [1, 9, 23, 50])
def test_windows_of_the_adjoint_with_pytrees_and_vmap(window):
    adjoint = ImplicitAdjoint(AssociativeScan(), window)
    check_adjoint_with_pytrees_and_vmap(adjoint)


def test_a_matrix_that_is_not_finite_at_the_first_step_spoils_no_window():
    # The root has no derivative at the state 0 from which it starts.
    f = lambda s, x: jnp.sqrt(s) + x  # noqa: E731
    s0, xs = jnp.zeros(1), jnp.linspace(0.5, 1, 20)[:, None]

    def gradient(window):
        adjoint = ImplicitAdjoint(AssociativeScan(), window)
        total = lambda xs: jnp.sum(solve(f, s0, xs, Sequential(), adjoint=adjoint).value)  # noqa: E731
        return jax.grad(total)(xs)

    assert jnp.all(jnp.isfinite(gradient(7)))
    assert largest_difference(gradient(7), gradient(None)) < 1e-12


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [(0, ValueError, "`window` is 0"), (True, TypeError, "`window` is True")],
)
def test_a_window_that_is_no_number_of_steps_is_refused(window, error, message):
    with pytest.raises(error, match=message):
        ImplicitAdjoint(window=window)


def test_iterated_adjoint_with_windows_pytrees_and_vmap():
    check_adjoint_with_pytrees_and_vmap(IteratedAdjoint())


def check_adjoint_with_pytrees_and_vmap(adjoint):
    f, s0, xs = pair(23)
    gains = jnp.array([0.5, 0.8, 1.0])

    def gradients(solve_all):
        def total(f, gain):
            scaled = lambda s, x: jax.tree.map(lambda a: gain * a, f(s, x))  # noqa: E731
            return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(solve_all(scaled, s0, xs)))

        return jax.vmap(lambda gain: eqx.filter_grad(total)(f, gain))(gains)

    def ours(f, s0, xs):
        return solve(f, s0, xs, adjoint=adjoint, window=9).value

    assert largest_difference(gradients(ours), gradients(reference)) < 1e-8


@pytest.mark.usefixtures("optimised")
def test_memory_of_the_iterated_adjoint_does_not_grow_with_the_square_of_the_state():
    def bytes_per_number(adjoint, size):
        cell, s0, xs = gru(size, 500)
        f = lambda s, x: cell(s, x)  # noqa: E731

        def total(s0):
            return jnp.sum(solve(f, s0, xs, adjoint=adjoint, window=50, throw=False).value)

        return temporary_bytes(jax.grad(total), s0) / (500 * size)

    assert bytes_per_number(IteratedAdjoint(), 64) < 1.2 * bytes_per_number(IteratedAdjoint(), 16)
    dense = ImplicitAdjoint(AssociativeScan(), window=None)
    assert bytes_per_number(dense, 64) > 2 * bytes_per_number(dense, 16)


@pytest.mark.parametrize("adjoint", [*ADJOINTS, DiagonalAdjoint()])
def test_gradients_are_as_accurate_when_the_loss_is_scaled(adjoint):
    cell, s0, xs = gru(4, 31, "float32")

    @jax.jit
    def gradient(scale):
        def total(s0):
            return jnp.sum(jnp.sin(solve(cell, s0, xs, adjoint=adjoint).value)) * scale

        return jax.grad(total)(s0) / scale

    plain, small, large = (gradient(jnp.asarray(scale, "float32")) for scale in (1, 1e-12, 1e12))
    assert jnp.any(jnp.abs(plain) > 0.1)
    assert largest_difference(small, plain) < 1e-4
    assert largest_difference(large, plain) < 1e-4


@pytest.mark.parametrize("solver", [DEER(), QuasiDEER()])
def test_unrolled_adjoint_is_exact_where_the_iteration_converged(solver):
    problem = gru(4, 13)
    total = solved(solver, UnrolledAdjoint())
    found = jax.jit(jax.value_and_grad(lambda p: total(*p)))(problem)
    assert largest_difference(found, wanted_derivatives()[0]) < 1e-8


def test_unrolled_adjoint_sees_the_unconverged_iteration():
    cell, s0, xs = gru(4, 13)
    options = {"max_steps": 1, "window": None, "throw": False, "adjoint": UnrolledAdjoint()}
    found = jax.grad(lambda s0: jnp.sum(solve(cell, s0, xs, **options).value ** 2))(s0)
    exact = jax.grad(lambda s0: jnp.sum(reference(cell, s0, xs) ** 2))(s0)
    assert largest_difference(found, exact) > 1e-3


@pytest.mark.parametrize("recurrence", BACKENDS)
def test_diagonal_adjoint_is_the_reverse_recurrence_with_the_diagonal(recurrence):
    cell, s0, xs = gru(4, 31)
    weights = jax.random.normal(jax.random.key(3), (31, 4))

    def total(adjoint):
        return lambda s0: jnp.sum(weights * solve(cell, s0, xs, adjoint=adjoint).value)

    states = reference(cell, s0, xs)
    previous = jnp.concatenate([s0[None], states[:-1]])
    jacobians = np.array(jax.vmap(jax.jacrev(lambda s, x: cell(s, x)))(previous, xs))
    w = np.zeros(4)
    for t in reversed(range(1, 31)):
        w = np.diagonal(jacobians[t]) * (weights[t] + w)
    # The initial state enters the first step, whose derivative is taken in full.
    wanted = jacobians[0].T @ (np.array(weights[0]) + w)
    found = jax.grad(total(DiagonalAdjoint(recurrence)))(s0)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    exact = jax.grad(total(ImplicitAdjoint()))(s0)
    assert np.linalg.norm(found - exact) > 0.01 * np.linalg.norm(exact)


def test_an_iterated_adjoint_that_fails_is_nan():
    """Products of the chaotic map's Jacobians leave the range: there is no finite derivative."""
    s0, xs = jnp.array([0.3]), jnp.zeros((3000, 1))

    def total(s0):
        return solve(logistic, s0, xs, DEER(), adjoint=IteratedAdjoint()).value[-1, 0]

    assert jnp.isnan(jax.grad(total)(s0)).all()
