"""The default on a GPU: a sweep of chunks, and quasi-DEER on single steps where it is not enough.

All of it but the speed is tested on whatever device there is.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import (
    DEER,
    ENDINGS,
    RESULTS,
    ImplicitAdjoint,
    IteratedAdjoint,
    QuasiDEER,
    Sequential,
    UnrolledAdjoint,
    scan,
    solve,
    solve_batch,
)
from parallel_rnn._automatic.auto_chunks import (
    CHUNK_ON_GPU,
    LONGEST_CHUNK_ON_GPU,
    SWEEPS,
    SweptFirst,
    chunk_on_gpu,
    solver_of,
)
from parallel_rnn._automatic.worth import SHORTEST_ON_GPU
from parallel_rnn._calls.solve import Options, one_input
from parallel_rnn._recurrence.flat import flatten_recurrence
from parallel_rnn._solvers.window import WINDOW_BYTES
from parallel_rnn.cells import LSTMCell

from recurrences import gru, largest_difference, reference

SHORTEST = 100
LENGTH = 3 * LONGEST_CHUNK_ON_GPU + 5


@pytest.fixture(autouse=True, scope="module")
def on_a_gpu(barely_optimised):
    """Everything is computed as on a GPU, and chunks are swept from fewer steps on."""
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu")
        patch.setattr("parallel_rnn._automatic.worth.SHORTEST_ON_GPU", SHORTEST)
        yield


def chosen(options, length, f=None, s0=None, xs=None):
    if f is None:
        f, s0, xs = gru(2, 1)
    return solver_of(options, length, flatten_recurrence(f, s0, one_input(xs)), is_padded=False)


def slow(s, x):
    """Remembers some 700 steps."""
    return s + 0.05 * (jnp.tanh(s[::-1] + x) - s)


def forgetful(s, element):
    """Forgets at once while the input says so, else within some 700 steps."""
    x, forgets = element
    return jnp.where(forgets, jnp.tanh(x), slow(s, x))


def elements(num_forgotten):
    xs = jax.random.normal(jax.random.key(0), (LENGTH, 2))
    return xs, jnp.arange(LENGTH) < num_forgotten


@pytest.mark.device
def test_where_f_forgets_a_sweep_is_all():
    cell, s0, xs = gru(4, LENGTH)
    solution = solve(cell, s0, xs)
    assert solution.stats["num_steps"] == 1
    assert solution.stats["num_verified"] == LENGTH
    assert solution.ending in (ENDINGS.rounding, ENDINGS.exact)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-14


@pytest.mark.parametrize("num_forgotten", [0, LENGTH // 2])
def test_where_f_remembers_iterations_start_from_the_sweep(num_forgotten):
    s0, xs = jnp.asarray([3.0, -2.0]), elements(num_forgotten)
    solution = solve(forgetful, s0, xs)
    alone = solve(forgetful, s0, xs, QuasiDEER())
    assert 1 < solution.stats["num_steps"] <= SWEEPS + alone.stats["num_steps"]
    assert solution.ending == ENDINGS.rounding
    assert largest_difference(solution.value, reference(forgetful, s0, xs)) < 1e-13


@pytest.mark.device
def test_a_batch_iterates_where_some_series_remembers():
    s0 = jnp.asarray([3.0, -2.0])

    def solution(elements):
        return solve(forgetful, s0, elements)

    def together(*numbers):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(elements, numbers))

    found = jax.vmap(solution)(together(LENGTH, LENGTH))
    assert jnp.all(found.stats["num_steps"] == 1)
    mixed = together(LENGTH, 0, 200)
    found = jax.vmap(solution)(mixed)
    # Quasi-DEER looks at the states of the first series, and finds little or nothing to do.
    assert found.stats["num_steps"][0] <= 3 < found.stats["num_steps"][1]
    wanted = jax.vmap(lambda xs: reference(forgetful, s0, xs))(mixed)
    assert largest_difference(found.value, wanted) < 1e-13


def test_lengths_order_and_the_outputs_of_a_scan():
    """Of an f that remembers, so that the iteration takes over the padding and the order too."""
    _, s0, xs = gru(3, LENGTH)
    f, xs = slow, xs[:, :3]
    lengths = [LENGTH, 170]
    solution = solve_batch(f, jnp.stack([s0, s0]), jnp.stack([xs, -xs]), lengths=lengths)
    assert largest_difference(solution.value[0], reference(f, s0, xs)) < 1e-13
    assert largest_difference(solution.value[1, :170], reference(f, s0, -xs[:170])) < 1e-13
    assert jnp.all(solution.value[1, 170:] == 0)
    assert jnp.all(solution.stats["num_verified"] == jnp.asarray(lengths))
    solution = solve(f, s0, xs, reverse=True)
    assert largest_difference(solution.value[::-1], reference(f, s0, xs[::-1])) < 1e-13

    def body(s, x):
        s = f(s, x)
        return s, s[0]

    assert largest_difference(scan(body, s0, xs), jax.lax.scan(body, s0, xs)) < 1e-13


@pytest.mark.parametrize(
    ("adjoint", "remembers"), [(ImplicitAdjoint(), False), (IteratedAdjoint(), True)], ids=str
)
def test_gradients(adjoint, remembers):
    cell, s0, xs = gru(3, LENGTH)

    def f(cell):
        return lambda s, x: s + 0.1 * (cell(s, x) - s) if remembers else cell(s, x)

    def gradient(solved):
        def loss(args):
            cell, s0, xs = args
            return jnp.sum(solved(f(cell), s0, xs) ** 2) / LENGTH

        return eqx.filter_grad(loss)((cell, s0, xs))

    found = gradient(lambda *args: solve(*args, adjoint=adjoint).value)
    assert largest_difference(found, gradient(reference)) < 1e-12


@pytest.mark.usefixtures("promoting")
def test_states_of_parts_and_complex_numbers():
    cell = LSTMCell(2, 3, key=jax.random.key(0))
    s0, xs = (jnp.zeros(3), jnp.ones(3)), jax.random.normal(jax.random.key(1), (LENGTH, 2))
    assert largest_difference(solve(cell, s0, xs).value, reference(cell, s0, xs)) < 1e-14

    def turning(s, x):
        return s * jax.lax.complex(jnp.cos(x), jnp.sin(x)) / 2 + jnp.tanh(x)

    s0 = jnp.ones(2, complex)
    solution = solve(turning, s0, xs)
    assert solution.stats["num_steps"] == 1
    assert largest_difference(solution.value, reference(turning, s0, xs)) < 1e-14


@pytest.mark.parametrize("remembers", [False, True])
def test_windows_are_swept_one_after_another(monkeypatch, remembers):
    """States that fill the memory which the iteration may take. The last window reaches back."""
    jax.clear_caches()
    monkeypatch.setitem(WINDOW_BYTES, "gpu", 8 * 2 * 300)
    cell, s0, xs = gru(2, LENGTH)
    f = slow if remembers else cell
    xs = xs[:, :2]
    solution = solve(f, s0, xs)
    assert solution.stats["num_windows"] == 2
    assert (solution.stats["num_steps"] > 2) == remembers
    assert solution.stats["num_verified"] == LENGTH
    assert largest_difference(solution.value, reference(f, s0, xs)) < 1e-13


@pytest.mark.parametrize("in_windows", [False, True])
def test_what_is_not_finite_is_told(monkeypatch, in_windows):
    jax.clear_caches()
    if in_windows:
        monkeypatch.setitem(WINDOW_BYTES, "gpu", 8 * 2 * 300)
    s0, xs = jnp.zeros(2), jnp.ones((1500, 2)).at[700].set(jnp.nan)
    solution = solve(slow, s0, xs, throw=False)
    assert solution.result == RESULTS.nonfinite_input
    assert solution.stats["num_verified"] == 700
    if in_windows:  # those after a failure are not swept
        until = solve(slow, s0, xs[:900], throw=False)
        assert solution.stats["num_steps"] == until.stats["num_steps"]
    grows = solve(lambda s, x: 2 * s + jnp.tanh(x), s0, jnp.ones((1500, 2)), throw=False)
    assert grows.result == RESULTS.nonfinite_state
    assert 900 < grows.stats["num_verified"] < 1100


def test_a_sweep_that_leaves_the_numbers_is_no_guess():
    """Chunks that start at another time than the clock's grow beyond all numbers at once."""
    times, xs = jnp.arange(LENGTH, dtype=float), jax.random.normal(jax.random.key(1), (LENGTH,))

    def f(s, element):
        clock, y = s
        time, x = element
        y = y * jnp.exp(0.1 * (jnp.tanh(x) - jnp.log(y))) + (clock - time) ** 2 * (y - 1) ** 3
        return clock + 1, y

    s0 = (jnp.zeros(()), jnp.ones(()))
    solution = solve(f, s0, (times, xs))
    assert solution.stats["num_steps"] < 10
    assert largest_difference(solution.value, reference(f, s0, (times, xs))) < 1e-12


@pytest.mark.parametrize(
    "asked",
    [
        {"solver": DEER()},
        {"solver": QuasiDEER()},
        {"window": None},
        {"chunk": None},
        {"max_steps": 50},
        {"guess": "zeros"},
        {"adjoint": UnrolledAdjoint()},
    ],
    ids=str,
)
def test_what_is_asked_for_is_done(asked):
    assert isinstance(chosen(Options(), LENGTH), SweptFirst)
    options = Options(**asked)
    assert chosen(options, LENGTH) == options.method


def test_where_a_sweep_is_not_worth_its_time(monkeypatch):
    """Short sequences, an f that is linear, and other devices."""
    s0, xs = jnp.zeros(2), jnp.zeros((1, 2))
    assert isinstance(chosen(Options(), SHORTEST, slow, s0, xs), SweptFirst)
    assert chosen(Options(), SHORTEST - 1, slow, s0, xs) == QuasiDEER()
    assert chosen(Options(), LENGTH, lambda s, x: 0.5 * s + x, s0, xs) == QuasiDEER()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert chosen(Options(), LENGTH, slow, s0, xs) == QuasiDEER()


@jax.custom_vjp
def spike(v):
    return jnp.where(v > 1, 1.0, jnp.tanh(v))


spike.defvjp(lambda v: (spike(v), v), lambda v, g: (g / (1 + v**2),))


@pytest.mark.parametrize("length", [10, LENGTH])
def test_what_only_a_scan_can_do_is_scanned(length):
    """To print in order, and the derivatives of an f that has reverse ones only."""
    s0, xs = jnp.zeros(2), jax.random.normal(jax.random.key(0), (length, 2))
    seen = []

    def looks(s, x):
        jax.debug.callback(lambda s: seen.append(float(s[0])), s)
        return slow(s, x)

    assert chosen(Options(), length, looks, s0, xs) == Sequential()
    found = solve(looks, s0, xs).value
    jax.effects_barrier()
    assert seen == pytest.approx([0.0, *found[:-1, 0].tolist()], rel=1e-5)

    def total(run):
        return lambda xs: jnp.sum(run(lambda s, x: 0.5 * spike(s + x), s0, xs) ** 2)

    gradient = jax.grad(total(lambda *args: solve(*args).value))(xs)
    assert largest_difference(gradient, jax.grad(total(reference))(xs)) < 1e-13


@pytest.mark.parametrize(
    ("length", "size"),
    [(64_000, 64), (100_000, 50), (17_984, 64), (SHORTEST_ON_GPU, 50), (10_007, CHUNK_ON_GPU)],
)
def test_chunks_divide_the_sequence_where_they_can(length, size):
    assert chunk_on_gpu(length) == size
