"""`scan` takes and returns what `jax.lax.scan` does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    Picard,
    QuasiDEER,
    QuasiELK,
    Sequential,
    SolveError,
    scan,
    solve,
    solve_batch,
)

from recurrences import gru, largest_difference, pair, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")

SOLVERS = [DEER(), QuasiDEER()]


def step(f):
    def with_output(carry, x):
        following = f(carry, x)
        leaves = [*jax.tree.leaves(carry), *jax.tree.leaves(following)]
        return following, {"sum": sum(jnp.sum(leaf) for leaf in leaves), "carry": following}

    return with_output


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 45])
def test_equals_lax_scan(solver, reverse, length):
    f, s0, xs = pair(length)
    found = scan(step(f), s0, xs, reverse=reverse, solver=solver, window=20)
    wanted = jax.lax.scan(step(f), s0, xs, reverse=reverse)
    assert largest_difference(found, wanted) < 1e-10


def test_length_without_inputs():
    def f(carry, _):
        return jnp.cos(carry), carry

    found = scan(f, jnp.ones(2), None, 30)
    assert largest_difference(found, jax.lax.scan(f, jnp.ones(2), None, 30)) < 1e-10


def test_no_output():
    cell, s0, xs = gru(3, 10)
    last, ys = scan(lambda carry, x: (cell(carry, x), None), s0, xs)
    assert ys is None
    assert largest_difference(last, reference(cell, s0, xs)[-1]) < 1e-10


def test_a_guess_is_in_the_order_of_the_inputs():
    cell, s0, xs = gru(3, 10)

    def f(carry, x):
        return cell(carry, x), cell(carry, x)

    _, carries = jax.lax.scan(f, s0, xs, reverse=True)
    # With the answer as the guess no step is needed.
    _, found = scan(f, s0, xs, reverse=True, guess=carries, max_steps=0)
    assert largest_difference(found, carries) < 1e-10


def test_numpy_inputs_and_python_numbers():
    last, _ = scan(lambda c, x: (0.5 * c + x, None), 1.0, jnp.arange(4.0).__array__())
    wanted, _ = jax.lax.scan(lambda c, x: (0.5 * c + x, None), 1.0, jnp.arange(4.0))
    assert largest_difference(last, jnp.asarray(wanted)) < 1e-10


def counting(carry, x):
    """Floats that see a counter, a flag and a random key; these see each other and the inputs."""
    state, number, flag, key = carry
    key, used = jax.random.split(key)
    noise = 0.1 * jax.random.normal(used, state.shape)
    state = jnp.tanh(jnp.where(flag, state, -state) * number.astype("float64") + x + noise)
    return (state, number + jnp.int8(1), flag ^ (x[0] > 0), key), (number, flag, state)


def with_counters(scan, state, xs, **options):
    init = (state, jnp.int8(0), jnp.asarray(False), jax.random.key(0))
    (state, number, flag, key), outputs = scan(counting, init, xs, **options)
    return state, number, flag, jax.random.key_data(key), outputs


@pytest.mark.parametrize("options", [{}, {"reverse": True, "unroll": 2, "_split_transpose": True}])
def test_counters_flags_and_keys(options):
    xs = jax.random.normal(jax.random.key(1), (9, 2))
    found = with_counters(scan, jnp.ones(2), xs, **options)
    wanted = with_counters(jax.lax.scan, jnp.ones(2), xs, **options)
    assert largest_difference(found, jax.tree.map(jnp.asarray, wanted)) < 1e-10


def test_counters_flags_and_keys_without_jit():
    xs = jax.random.normal(jax.random.key(1), (5, 2))
    with jax.disable_jit():
        found = with_counters(scan, jnp.ones(2), xs)
    wanted = with_counters(jax.lax.scan, jnp.ones(2), xs)
    assert largest_difference(found, jax.tree.map(jnp.asarray, wanted)) < 1e-10


def test_counters_under_transformations():
    starts, xs = jnp.ones((3, 2)), jax.random.normal(jax.random.key(1), (9, 2))

    def gradients(scan):
        total = lambda state, xs: jnp.sum(with_counters(scan, state, xs)[-1][2])  # noqa: E731
        return jax.jit(jax.vmap(jax.value_and_grad(total, (0, 1)), (0, None)))(starts, xs)

    assert largest_difference(gradients(scan), gradients(jax.lax.scan)) < 1e-8


def unitary(w, carry, x):
    """A unitary network with a complex state, and a float that remembers how large it was."""
    state, level = carry
    z = w @ state + x
    state = z / jnp.sqrt(1 + jnp.abs(z) ** 2)
    return (state, 0.9 * level + jnp.sum(jnp.abs(state))), state.real * level


def loss_of_unitary(scan, w, s0, xs):
    (state, level), outputs = scan(lambda c, x: unitary(w, c, x), (s0, jnp.zeros(())), xs)
    return jnp.sum(jnp.sin(outputs)) + level + jnp.abs(state[0])


@pytest.mark.parametrize(
    "solver",
    [Sequential(), DEER(), QuasiDEER(), ELK(1e-2), QuasiELK(), Picard()],
    ids=lambda s: type(s).__name__,
)
def test_complex_numbers(solver, promoting):
    real, imaginary = jax.random.normal(jax.random.key(0), (2, 3, 3))
    w = 0.9 * jnp.linalg.qr(real + 1j * imaginary)[0]
    at = (w, jnp.full(3, 1j), jax.random.normal(jax.random.key(1), (30, 3)))
    found = jax.value_and_grad(loss_of_unitary, (1, 2, 3))(partial(scan, solver=solver), *at)
    wanted = jax.value_and_grad(loss_of_unitary, (1, 2, 3))(jax.lax.scan, *at)
    assert largest_difference(found, wanted) < 1e-10


def keeping(carry, x):
    """Weights, which are handed on as they are, and a name of the run in another type."""
    weights, state, run = carry
    state = jnp.tanh(weights.astype("float64") @ state + x)
    return (weights, state, run), (state, run)


def test_what_the_body_hands_on_is_no_state():
    weights = 0.3 * jax.random.normal(jax.random.key(0), (4, 4), "float32")
    init = (weights, jnp.ones(4), jnp.asarray(3))
    xs = jax.random.normal(jax.random.key(1), (12, 4))

    def total(weights, state, find):
        (weights, state, _), (states, _) = find(keeping, (weights, state, init[2]), xs)
        return jnp.sum(jnp.sin(states)) + jnp.sum(state) + 2.0 * jnp.sum(weights).astype("float64")

    assert largest_difference(scan(keeping, init, xs), jax.lax.scan(keeping, init, xs)) < 1e-10
    found = jax.grad(total, (0, 1))(*init[:2], partial(scan, solver=DEER()))
    wanted = jax.grad(total, (0, 1))(*init[:2], jax.lax.scan)
    assert largest_difference(found, wanted) < 1e-5
    # It stays the same for all under `vmap`, as for `jax.lax.scan`.
    last = jax.vmap(lambda xs: scan(keeping, init, xs)[0], out_axes=(None, 0, None))(xs[None])
    assert largest_difference(last[0], weights) == 0


BODIES = {
    "a counter alone": (lambda n, _: (n + 2, n), 0),
    "a delay line fed with a number": (lambda c, x: ((c[1], c[2], 0.0), c[0] + x), (1.0, 2.0, 3.0)),
    "a start that takes the type of the next carry": (
        lambda c, x: (0.5 * c + x.astype("float32"), c),
        0,
    ),
    "outputs that are numbers": (lambda c, x: (0.5 * c + x, (1, True, {"a": 2.0})), 0.0),
    "a body that is compiled": (
        jax.jit(lambda c, x: ((0.5 * c[0] + c[1].astype("float64") * x, c[1] + 1), c)),
        (0.0, 0),
    ),
    "a list and a hole": (lambda c, x: ([jnp.cos(c[0]) + x, None], c), [np.ones(()), None]),
    "no numbers in the carry": (
        lambda c, x: ((np.ones((0, 2)), None), x),
        (np.ones((0, 2)), None),
    ),
    "no carry": (lambda c, x: (None, 2 * x), None),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("length", [0, 5])
def test_carries_that_lax_scan_takes(name, length):
    f, init = BODIES[name]
    xs = jnp.linspace(-1, 1, length)
    found, wanted = scan(f, init, xs), jax.lax.scan(f, init, xs)
    assert largest_difference(found, jax.tree.map(jnp.asarray, wanted)) < 1e-10


def test_numbers_in_the_carry_under_vmap_and_their_gradient():
    def last(scan, a):
        return scan(lambda c, x: ((1.5 * c[0] + c[1], 0.5), None), (a, 0.0), jnp.zeros(3))[0][0]

    gradient = jax.vmap(jax.grad(partial(last, scan)))(jnp.arange(3.0))
    assert largest_difference(gradient, jnp.full(3, 3.375)) < 1e-10


def test_a_scan_within_a_scan():
    def outer(scan):
        def inner(c, z):
            return (0.5 * c[0] + z, c[1] + 1), c[0]

        def body(c, x):
            (state, _), outputs = scan(inner, (c, 0), jnp.arange(3.0) * x)
            return jnp.tanh(state), outputs

        return scan(body, jnp.zeros(()), jnp.linspace(-1, 1, 5))

    assert largest_difference(outer(scan), outer(jax.lax.scan)) < 1e-10


def test_a_guess_may_hold_counters():
    f = lambda c, x: ((0.5 * c[0] + x, c[1] + 1), c)  # noqa: E731
    init, xs = (jnp.zeros(2), jnp.asarray(0)), jnp.ones((6, 2))
    _, before = jax.lax.scan(f, init, xs)
    carries = jax.tree.map(
        lambda a, b: jnp.concatenate([b[1:], a[None]]), f(init, xs[0])[0], before
    )
    found = scan(f, init, xs, guess=carries)
    assert largest_difference(found, jax.lax.scan(f, init, xs)) < 1e-10
    with pytest.raises(ValueError, match="structure and dtype of `init`"):
        scan(f, init, xs, guess=carries[0])


def test_compiles_once_for_the_same_function_and_shapes(caplog):
    traces = []

    def f(carry, x):
        traces.append(1)
        return jnp.tanh(0.5 * carry + x), carry

    def step(state, x):
        return f(state, x)[0]

    calls = [
        lambda length: scan(f, jnp.zeros(2), jnp.ones((length, 2)), reverse=True),
        lambda length: solve(step, jnp.zeros(2), jnp.ones((length, 2))),
        lambda length: solve_batch(step, jnp.zeros((1, 2)), jnp.ones((1, length, 2))),
    ]
    for call in calls:
        for length in (3, 4):
            call(length)
            traces.clear()
            caplog.clear()
            with jax.log_compiles():
                for _ in range(4):
                    call(length)
            assert not traces
            assert not [record for record in caplog.records if "ompil" in record.message]
    with jax.log_compiles():
        calls[0](5)
    assert [record for record in caplog.records if "ompil" in record.message]


@pytest.mark.parametrize(
    ("f", "init", "error", "message"),
    [
        (lambda c, x: c + x, 0.0, TypeError, r"`f\(carry, x\)` returns float64\[\].* a pair"),
        (lambda c, x: None, 0.0, TypeError, r"`f\(carry, x\)` returns None"),
        (lambda c, x: (c, c, c), 0.0, TypeError, r"`f\(carry, x\)` returns \(float64\[\], "),
        (lambda c, x: (c[None], c), 0.0, TypeError, r"`f\(.*returns float64\[1\]"),
        (lambda c, x: (0, c), 0.0, TypeError, r"returns int64\[\] for a carry float64\[\]"),
        (
            lambda c, x: ({"h": c["h"] + x, "n": c["n"] + (c["h"] > 0).astype(int)}, None),
            {"h": 0.0, "n": 0},
            TypeError,
            r"`init\['n'\]` has type int64, and `f` computes",
        ),
        (
            lambda c, x: ((c[0] + x, jax.random.fold_in(c[1], (c[0] * 9).astype(int))), None),
            (0.0, jax.random.key(0)),
            TypeError,
            r"`init\[1\]` has type key<fry>",
        ),
        (lambda c, x: (-c, x), np.zeros(2, "float8_e4m3fn"), TypeError, "`init` has a leaf of"),
        (
            lambda c, x: ((-c[0], -c[1]), x),
            (np.zeros(2, "float32"), np.zeros(2)),
            TypeError,
            "`init` mixes the dtypes",
        ),
    ],
)
def test_what_cannot_be_carried(f, init, error, message):
    with pytest.raises(error, match=message):
        scan(f, init, jnp.ones(3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"throw": False}, ValueError, r"`throw` \(False\) have no place"),
        ({"trace": lambda *_: 0, "window": 2}, ValueError, "call `solve`"),
        ({"unroll": -1}, ValueError, "`unroll` is -1; it must be at least 0"),
        ({"unroll": "all"}, TypeError, "`unroll` is 'all'"),
        ({"steps": 3}, TypeError, r"scan\(\) got an unexpected keyword argument 'steps'"),
        ({"guess": "ones"}, ValueError, "`guess` is 'ones'"),
    ],
)
def test_options_that_mean_nothing(options, error, message):
    with pytest.raises(error, match=message):
        scan(lambda c, x: (0.5 * c + x, None), jnp.zeros(2), jnp.ones((3, 2)), **options)


def test_a_failure_is_raised():
    f = lambda c, x: (jnp.exp(c) + x, c)  # noqa: E731
    with pytest.raises(SolveError, match="leaves the floating-point range"):
        scan(f, 1.0, jnp.ones(20))
    with pytest.raises(RuntimeError, match="leaves the floating-point range"):
        jax.block_until_ready(jax.jit(lambda: scan(f, 1.0, jnp.ones(20)))())


@pytest.mark.parametrize("jitted", [False, True])
def test_an_output_that_follows_from_the_new_carry_takes_no_second_step(jitted):
    """A step has one `sinh`; so a program that has no more of them for its outputs takes none."""

    def with_output(output):
        def body(carry, x):
            h = jnp.sinh(0.5 * carry["h"] + x)
            return {"h": h, "n": carry["n"] + 1}, output(h, carry)

        return jax.jit(body) if jitted else body

    init, xs = {"h": jnp.zeros(2), "n": 0}, jnp.linspace(0.0, 0.5, 40).reshape(20, 2)

    def num_steps(body):
        return str(jax.make_jaxpr(lambda init, xs: scan(body, init, xs))(init, xs)).count(" sinh ")

    least = num_steps(with_output(lambda h, carry: None))
    for output in (
        lambda h, carry: h,
        lambda h, carry: (jnp.sum(h * carry["h"]), carry["n"]),
        lambda h, carry: {"h": h, "again": h},
    ):
        body = with_output(output)
        assert num_steps(body) == least
        assert largest_difference(scan(body, init, xs), jax.lax.scan(body, init, xs)) < 1e-14
    assert num_steps(with_output(lambda h, carry: jnp.sinh(h))) > least
