"""The default on a CPU: chunks where f forgets, one step after another where it remembers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import (
    DEER,
    ENDINGS,
    RESULTS,
    IteratedAdjoint,
    QuasiDEER,
    Sequential,
    UnrolledAdjoint,
    scan,
    solve,
    solve_batch,
)
from parallel_rnn._automatic.auto_chunks import (
    NUM_CHUNKS,
    SHORTEST_CHUNK,
    WIDE_IN_CHUNKS,
    WIDE_IN_TURN,
    ChunkedIfForgetful,
    num_chunks_of,
    solver_of,
)
from parallel_rnn._automatic.worth import SHORTEST
from parallel_rnn._calls.solve import Options, one_input
from parallel_rnn._chunks.forgetting import MET, steps_to_forget
from parallel_rnn._recurrence.flat import flatten_recurrence
from parallel_rnn._solvers.solver import Window
from parallel_rnn.cells import LSTMCell

from recurrences import gru, largest_difference, reference, temporary_bytes

LENGTH = 2 * SHORTEST_CHUNK + 5

pytestmark = pytest.mark.usefixtures("chunks_of_short_sequences")


def slow_average(s, x):
    return s + 1e-4 * (x - s)


def forgetful_at_first(s, element):
    """Forgets at once while the input says so, else never."""
    x, forgets = element
    return jnp.where(forgets, x, s + 1e-3 * (x - s))


def first_steps(number, length=2000):
    return jnp.linspace(1.0, 2.0, length), jnp.arange(length) < number


def chosen(options, length):
    cell, s0, xs = gru(2, 1)
    return solver_of(options, length, flatten_recurrence(cell, s0, one_input(xs)), is_padded=False)


def test_where_f_forgets_one_sweep_is_enough():
    cell, s0, xs = gru(4, LENGTH, "float32")
    solution = solve(cell, s0, xs)
    assert solution.stats["num_steps"] == 1
    assert solution.ending != ENDINGS.sequential
    assert solution.stats["num_verified"] == LENGTH
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-6


def test_where_f_remembers_steps_are_taken_in_turn():
    xs = jax.random.normal(jax.random.key(0), (LENGTH, 2))
    s0 = jnp.asarray([5.0, -3.0])
    solution = solve(slow_average, s0, xs)
    assert solution.stats["num_steps"] == 0
    assert solution.ending == ENDINGS.sequential
    assert largest_difference(solution.value, reference(slow_average, s0, xs)) == 0


@pytest.mark.parametrize("number", [500, 1000])
def test_where_only_the_first_steps_forget(number):
    """What is tried on the first chunk does not hold of those that follow."""
    elements, s0 = first_steps(number), jnp.zeros(1)
    solution = solve(forgetful_at_first, s0, elements)
    assert solution.stats["num_steps"] == 0
    wanted = reference(forgetful_at_first, s0, elements)
    assert largest_difference(solution.value, wanted) < 1e-12


def test_a_batch_takes_chunks_where_all_series_forget():
    s0 = jnp.zeros(1)
    xs, all_forget = first_steps(2000)

    def solution(forgets):
        return solve(forgetful_at_first, s0, (xs, forgets))

    def wanted(forgets):
        return reference(forgetful_at_first, s0, (xs, forgets))

    alike = jnp.stack([all_forget, all_forget])
    found = jax.vmap(solution)(alike)
    assert jnp.all(found.stats["num_steps"] == 1)
    assert largest_difference(found.value, jax.vmap(wanted)(alike)) < 1e-12
    mixed = jnp.stack([all_forget, ~all_forget, first_steps(500)[1]])
    found = jax.vmap(solution)(mixed)
    assert jnp.all(found.stats["num_steps"] == 0)
    assert largest_difference(found.value, jax.vmap(wanted)(mixed)) < 1e-12


@pytest.mark.parametrize(
    ("sizes", "are_few"), [((15,), True), ((16,), False), ((3, 5), True), ((4, 4), False)]
)
def test_many_series_take_their_steps_without_a_trial(sizes, are_few):
    """Which would need the memory of several times all states."""
    cell, s0, xs = gru(4, LENGTH, "float32")

    def run(xs):
        return solve(cell, s0, xs)

    for size in sizes:
        run, xs = jax.vmap(run), jnp.broadcast_to(xs, (size, *xs.shape))
    assert jnp.all((run(xs).stats["num_steps"] > 0) == are_few)
    needed = temporary_bytes(lambda xs: run(xs).value, xs)
    assert (needed > 3 * xs.nbytes) == are_few


def test_a_batch_may_be_empty():
    cell, s0, xs = gru(4, LENGTH, "float32")
    found = jax.vmap(lambda xs: solve(cell, s0, xs, throw=False).value)(xs[None][:0])
    assert found.shape == (0, LENGTH, 4)


def test_lengths_order_and_the_outputs_of_a_scan():
    cell, s0, xs = gru(3, LENGTH)
    solution = solve_batch(cell, jnp.stack([s0, s0]), jnp.stack([xs, -xs]), lengths=[LENGTH, 100])
    assert largest_difference(solution.value[0], reference(cell, s0, xs)) < 1e-14
    assert largest_difference(solution.value[1, :100], reference(cell, s0, -xs[:100])) < 1e-14
    assert jnp.all(solution.value[1, 100:] == 0)
    solution = solve(cell, s0, xs, reverse=True)
    assert largest_difference(solution.value[::-1], reference(cell, s0, xs[::-1])) < 1e-14

    def body(s, x):
        s = cell(s, x)
        return s, s[0]

    found, wanted = scan(body, s0, xs), jax.lax.scan(body, s0, xs)
    assert largest_difference(found, wanted) < 1e-14


@pytest.mark.parametrize("adjoint", [None, IteratedAdjoint()])
def test_gradients(adjoint):
    cell, s0, xs = gru(3, LENGTH)
    options = {} if adjoint is None else {"adjoint": adjoint}

    def loss(solved):
        return lambda cell, s0, xs: jnp.sum(solved(cell, s0, xs) ** 2) / LENGTH

    def gradient(solved):
        return eqx.filter_grad(lambda args: loss(solved)(*args))((cell, s0, xs))

    found = gradient(lambda *args: solve(*args, **options).value)
    assert largest_difference(found, gradient(reference)) < 1e-12


def test_what_is_not_finite_is_told():
    xs = jnp.ones((LENGTH, 1)).at[LENGTH // 2].set(jnp.nan)
    solution = solve(lambda s, x: 0.1 * s + x, jnp.zeros(1), xs, throw=False)
    assert solution.result == RESULTS.nonfinite_input
    assert solution.stats["num_verified"] == LENGTH // 2
    grows = solve(lambda s, x: 2 * s + x, jnp.zeros(1), jnp.ones((5000, 1)), throw=False)
    assert grows.result == RESULTS.nonfinite_state
    assert 900 < grows.stats["num_verified"] < 1100


def test_nothing_to_forget():
    """A first chunk of zeros tells nothing, so nothing is taken for granted."""
    xs = jnp.zeros((LENGTH, 1)).at[LENGTH // 2 :].set(1.0)
    solution = solve(slow_average, jnp.zeros(1), xs)
    assert solution.ending == ENDINGS.sequential
    assert largest_difference(solution.value, reference(slow_average, jnp.zeros(1), xs)) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"solver": DEER()},
        {"solver": QuasiDEER()},
        {"solver": QuasiDEER(rtol=1e-4, atol=1e-4)},
        {"window": None},
        {"window": 100},
        {"chunk": None},
        {"max_steps": 50},
        {"guess": "zeros"},
        {"adjoint": UnrolledAdjoint()},
    ],
    ids=str,
)
def test_what_is_asked_for_is_done(asked):
    """Only where it is left open how states are found are chunks taken."""
    assert isinstance(chosen(Options(), LENGTH), ChunkedIfForgetful)
    options = Options(**asked)
    assert chosen(options, LENGTH) == options.method


def test_a_batch_of_unknown_size_is_exported():
    size = jax.export.symbolic_shape("b")[0]

    def solved(xs):
        return solve(lambda s, x: 0.5 * s + x, jnp.zeros(1), xs, throw=False).value

    xs = jax.random.normal(jax.random.key(0), (3, LENGTH, 1))
    shape = jax.ShapeDtypeStruct((size, LENGTH, 1), xs.dtype)
    program = jax.export.export(jax.jit(jax.vmap(solved)))(shape)
    assert largest_difference(program.call(xs), jax.vmap(solved)(xs)) < 1e-12


def test_how_long_chunks_are():
    for length, size in [(2 * SHORTEST_CHUNK, SHORTEST_CHUNK), (1000 * NUM_CHUNKS, 1000)]:
        solver = chosen(Options(), length)
        assert isinstance(solver, ChunkedIfForgetful)
        assert solver.chunked.size == size


def test_short_sequences_take_steps_in_turn(monkeypatch):
    """Without a trial, which would take longer than they do."""
    cell, s0, xs = gru(3, 2 * SHORTEST_CHUNK - 1)
    solution = solve(cell, s0, xs)
    assert solution.stats["num_steps"] == 0
    assert solution.ending == ENDINGS.sequential
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-14
    monkeypatch.setattr("parallel_rnn._automatic.worth.SHORTEST", SHORTEST)
    assert isinstance(chosen(Options(), SHORTEST), ChunkedIfForgetful)
    assert isinstance(chosen(Options(), SHORTEST - 1), Sequential)


@pytest.mark.usefixtures("promoting")
def test_a_state_of_several_shapes_is_stepped_as_it_is():
    def f(s, x):
        matrix = jnp.tanh(s["matrix"] + jnp.outer(x, x))
        wave = 0.5j * s["wave"] + jnp.sum(s["matrix"]) + x
        return dict(matrix=matrix, number=0.5 * s["number"] + jnp.real(wave[0]), wave=wave)

    xs = jax.random.normal(jax.random.key(0), (3, SHORTEST_CHUNK, 2))
    s0 = dict(matrix=jnp.eye(2), number=jnp.ones(()), wave=jnp.ones(2) * 1j)
    for solver in (None, Sequential()):
        found = jax.vmap(lambda xs, solver=solver: solve(f, s0, xs, solver).value)(xs)
        wanted = jax.vmap(lambda xs: reference(f, s0, xs))(xs)
        assert largest_difference(found, wanted) < 1e-13


@pytest.mark.parametrize(("size", "length"), [(WIDE_IN_TURN, 10), (WIDE_IN_CHUNKS, LENGTH)])
def test_wide_states_are_differentiated_as_a_scan_is(size, length):
    """Derivatives of any order."""
    cell, s0, xs = gru(size, length)

    def total(cell, s0, xs, run):
        return jnp.sum(run(cell, s0, xs) ** 3)

    derivatives = eqx.filter_value_and_grad(total)
    found = derivatives(cell, s0, xs, lambda *args: solve(*args).value)
    assert largest_difference(found, derivatives(cell, s0, xs, reference)) < 1e-12
    curved = jax.hessian(lambda s: total(cell, s * s0, xs, lambda *args: solve(*args).value))(1.0)
    assert abs(curved - jax.hessian(lambda s: total(cell, s * s0, xs, reference))(1.0)) < 1e-10


@pytest.mark.parametrize(("size", "length"), [(WIDE_IN_TURN, 10), (WIDE_IN_CHUNKS, LENGTH)])
@pytest.mark.parametrize("own", ["cell", "s0", "xs"])
def test_batches_of_wide_states_are_differentiated(size, length, own):
    """Whatever it is that each series has of its own."""
    cell, s0, xs = gru(size, length)
    arguments = dict(cell=cell, s0=s0, xs=xs)
    axes = dict(cell=None, s0=None, xs=None) | {own: eqx.if_array(0)}
    arguments[own] = jax.tree.map(
        lambda leaf: jnp.stack([leaf, 0.9 * leaf]) if eqx.is_array(leaf) else leaf, arguments[own]
    )

    def gradient(run):
        @eqx.filter_grad
        def of_total(arguments):
            run_all = eqx.filter_vmap(lambda a: run(a["cell"], a["s0"], a["xs"]), in_axes=(axes,))
            return jnp.sum(run_all(arguments) ** 2)

        return of_total(arguments)

    found = gradient(lambda *args: solve(*args).value)
    assert largest_difference(found, gradient(reference)) < 1e-12


@pytest.mark.parametrize("size", [2, WIDE_IN_TURN, WIDE_IN_CHUNKS])
def test_batches_of_an_f_with_branches_are_differentiated(size):
    """Which `vmap` turns into choices, whose derivatives JAX cannot transpose in every order."""
    _, s0, xs = gru(size, LENGTH)

    def total(run):
        def f(s, x):
            return jax.lax.cond(x[0] > 0, lambda s: jnp.tanh(s + x), lambda s: s * 0.5, s)

        return lambda xs: jnp.sum(jax.vmap(lambda x: run(f, s0, x))(jnp.stack([xs, -xs])) ** 2)

    found = jax.grad(total(lambda *args: solve(*args).value))(xs)
    assert largest_difference(found, jax.grad(total(reference))(xs)) < 1e-12


def test_infinite_derivatives_of_padding_reach_no_wide_state():
    """The states are finite up to step 3 and infinite from step 4 on."""

    def total(a):
        s0 = 1e30 * jnp.ones((1, WIDE_IN_TURN))
        xs = a * jnp.ones((1, 10, 1))
        return jnp.sum(solve_batch(lambda s, x: s**2 + x[0], s0, xs, lengths=[3]).value)

    assert jnp.isfinite(jax.grad(total)(1.0))


def whole(f, s0, xs):
    """All steps as one window."""
    length, zero = len(jax.tree.leaves(xs)[0]), jnp.zeros((), int)
    recurrence = flatten_recurrence(f, s0, one_input(xs))
    guess = jnp.broadcast_to(s0, (length, s0.size))
    return Window(recurrence, s0, xs, guess, zero, jnp.asarray(length), zero, jnp.zeros_like(s0))


def inferred(f, elements, chunks, starts=((0.0,), (1.0,))):
    window = whole(f, jnp.zeros(1), elements)
    return steps_to_forget(window, 500, jnp.asarray(chunks), jnp.asarray(starts), jnp.asarray(True))


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.003])
def test_how_long_f_remembers_is_inferred(rate):
    found = inferred(lambda s, x: s + rate * (x - s), jnp.zeros((2000, 1)), [0, 2])
    # Numbers of states are relative to the largest, which is that after the first step.
    wanted = jnp.log(MET * jnp.finfo(found.dtype).eps) / jnp.log(1 - rate)
    assert abs(found / wanted - 1) < 0.02


def test_the_slowest_chunk_and_the_slowest_number_count():
    elements = first_steps(1000)
    assert inferred(forgetful_at_first, elements, [0, 1]) < 50
    assert inferred(forgetful_at_first, elements, [0, 1, 3]) > 5000

    def one_is_slow(s, x):
        return jnp.stack([0.1 * s[0] + x[0], 1e-6 * (0.999 * 1e6 * s[1] + x[0])])

    window = whole(one_is_slow, jnp.zeros(2), jnp.ones((2000, 1)))
    starts = jnp.asarray([[0.0, 0.0], [1.0, 1e-6]])
    assert steps_to_forget(window, 500, jnp.asarray([1]), starts, jnp.asarray(True)) > 5000


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_what_does_not_come_nearer_is_never_forgotten(factor):
    assert inferred(lambda s, x: factor * s + x, jnp.zeros((2000, 1)), [0]) == jnp.inf


def test_equal_starts_tell_nothing():
    elements = jnp.zeros((2000, 1))
    assert inferred(lambda s, x: 0.5 * s + x, elements, [0], ((1.0,), (1.0,))) == jnp.inf


@pytest.mark.parametrize(
    ("length", "number"), [(131_072, 128), (100_000, 160), (50_000, 80), (100_003, 128)]
)
def test_the_number_of_chunks_divides_where_it_can(length, number):
    assert num_chunks_of(length) == number


def test_the_parts_of_a_state_are_found_where_the_user_gets_them():
    """Neither chunks nor the steps in turn after them copy c and h of an LSTM."""
    cell = LSTMCell(4, 16, key=jax.random.key(0), dtype=jnp.dtype("float32"))
    s0, xs = (jnp.zeros(16, "float32"),) * 2, jnp.ones((SHORTEST, 4), "float32")
    needed = temporary_bytes(lambda s0, xs: solve(cell, s0, xs).value, s0, xs)
    assert needed < SHORTEST * 32 * 4 / 4
