"""`solve` finds the states that `jax.lax.scan` finds, however it is asked to."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    RESULTS,
    AssociativeScan,
    BlockDiagonal,
    QuasiDEER,
    QuasiELK,
    Sequential,
    SequentialScan,
    SolveError,
    solve,
    solve_batch,
)

from recurrences import (
    BACKENDS,
    UNDAMPED,
    Pair,
    assert_same_solution,
    coupled_logistic,
    cubic,
    gru,
    largest_difference,
    pair,
    reference,
    step_by_step,
    temporary_bytes,
)

NEWTON = [DEER, QuasiDEER]
SOLVERS = [Sequential(), *(method(linear_scan=b) for method in NEWTON for b in BACKENDS)]
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}

# Every method that promises T iterations, with both backends.
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: type(b).__name__)
every_undamped = pytest.mark.parametrize("method", UNDAMPED)


def name(thing):
    parts = [type(thing).__name__, type(getattr(thing, "recurrence", None)).__name__]
    return "-".join(part for part in parts if part != "NoneType")


def left_open():
    """No solver is asked for."""


@pytest.mark.device
@pytest.mark.parametrize("method", [left_open, Sequential, *NEWTON])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("length", "size"), [(1, 1), (1, 64), (2, 3), (100, 32), (1000, 4), (10_000, 1), (10_000, 64)]
)
def test_default_options_equal_lax_scan(method, dtype, length, size):
    cell, s0, xs = gru(size, length, dtype)
    states = solve(cell, s0, xs, method()).value
    assert largest_difference(states, reference(cell, s0, xs)) < TOLERANCE[dtype]


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
@pytest.mark.parametrize("window", [None, 1, 7, 50, 1000])
def test_windows_of_any_length(solver, window):
    cell, s0, xs = gru(5, 123)
    solution = solve(cell, s0, xs, solver, window=window)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-10
    assert solution.stats["num_windows"] == -(-123 // min(window or 123, 123))
    assert solution.stats["num_verified"] == 123


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_f_without_closed_forms(solver):
    cell, s0, xs = gru(11, 60)
    solution = solve(lambda s, x: cell(s, x), s0, xs, solver)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-10


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
@pytest.mark.parametrize("window", [None, 9])
def test_pytree_states_and_inputs(solver, window):
    f, s0, xs = pair(40)
    solution = solve(f, s0, xs, solver, window=window)
    assert largest_difference(solution.value, reference(f, s0, xs)) < 1e-10


class NestedClosedForms(eqx.Module):
    """`Pair` with its Jacobian and diagonal nested like its state."""

    f: Pair

    def __call__(self, state, x):
        return self.f(state, x)

    def value_and_jacobian(self, state, x):
        return self.f(state, x), jax.jacrev(self.f)(state, x)

    def value_and_diag(self, state, x):
        nested = jax.jacrev(self.f)(state, x)
        diag = {
            leaf: jnp.diagonal(nested[leaf][leaf].reshape(2 * (state[leaf].size,)))
            for leaf in state
        }
        return self.f(state, x), {leaf: diag[leaf].reshape(state[leaf].shape) for leaf in state}


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_closed_forms_of_pytree_states(solver):
    f, s0, xs = pair(40)
    plain = solve(f, s0, xs, solver, window=None)
    nested = solve(NestedClosedForms(f), s0, xs, solver, window=None)
    assert_same_solution(nested, plain, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_batch_by_vmap(solver):
    cell, _, _ = gru(4, 1)
    s0 = jax.random.normal(jax.random.key(1), (5, 4))
    # Series of different difficulty, so that they need different numbers of iterations.
    scales = jnp.array([0.0, 0.1, 1.0, 3.0, 10.0])[:, None, None]
    xs = scales * jax.random.normal(jax.random.key(2), (5, 70, 4))
    found = jax.vmap(lambda s, x: solve(cell, s, x, solver, window=30).value)(s0, xs)
    wanted = jax.vmap(lambda s, x: reference(cell, s, x))(s0, xs)
    assert largest_difference(found, wanted) < 1e-10


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_batched_state_without_vmap(solver):
    cell, _, xs = gru(3, 30)
    batch = jax.random.normal(jax.random.key(1), (4, 3))
    f = jax.vmap(cell, in_axes=(0, None))
    solution = solve(f, batch, xs, solver)
    assert largest_difference(solution.value, reference(f, batch, xs)) < 1e-10


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_no_steps_give_an_empty_answer(solver):
    f, s0, xs = pair(0)
    solution = solve(f, s0, xs, solver)
    assert jax.tree.map(jnp.shape, solution.value) == {"fast": (0, 3, 1), "slow": (0, 2)}
    assert solution.result == RESULTS.successful


@pytest.mark.parametrize(
    "solver",
    [*SOLVERS[::2], ELK(), ELK(estimate="smoother"), QuasiELK()],
    ids=lambda solver: f"{name(solver)}",
)
def test_states_without_numbers_give_an_answer_without_numbers(solver):
    solution = solve(lambda s, x: s + x, jnp.zeros(0), jnp.zeros((3, 0)), solver)
    assert solution.value.shape == (3, 0)
    assert solution.stats["num_verified"] == 3


@pytest.mark.parametrize("number", [0, 2.5, True, np.float32(2.5), np.float64(2.5), np.int8(3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_f_may_return_plain_numbers(number, dtype):
    s0 = {"h": jnp.zeros(2, dtype), "n": jnp.ones((), dtype)}
    xs = jnp.ones((4, 2), dtype)
    found = solve(lambda s, x: {"h": 0.5 * s["h"] + s["n"] * x, "n": number}, s0, xs, DEER()).value
    as_array = jnp.asarray(number, dtype)
    wanted = reference(lambda s, x: {"h": 0.5 * s["h"] + s["n"] * x, "n": as_array}, s0, xs)
    assert largest_difference(found, wanted) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("estimate", ["filter", "smoother"])
def test_damping_of_wide_states_in_half_precision(dtype, estimate):
    cell, s0, xs = gru(12, 20, dtype)
    states = solve(cell, s0, xs, ELK(1e-2, estimate)).value
    eps = float(jnp.finfo(dtype).eps)
    assert largest_difference(states, reference(cell, s0, xs)) < 20 * eps


@pytest.mark.parametrize("window", [None, 9])
def test_reversed(window):
    f, s0, xs = pair(40)
    found = solve(f, s0, xs, DEER(), window=window, reverse=True)
    wanted = jax.lax.scan(lambda s, x: (f(s, x), f(s, x)), s0, xs, reverse=True)[1]
    assert largest_difference(found.value, wanted) < 1e-10
    again = solve(f, s0, xs, DEER(), window=window, reverse=True, guess=wanted)
    assert 2 * again.stats["num_steps"] < found.stats["num_steps"]


def test_complex_states_of_one_part_each_have_blocks_of_two(promoting):
    decay = 0.9 * jnp.exp(1j * jnp.arange(3.0)).astype("complex64")
    xs = jax.random.normal(jax.random.key(0), (100, 3), "float32")

    def f(s, x):  # each number depends on itself alone, through a holomorphic function
        return decay * jnp.tanh(s + 0.1 * x)

    s0 = jnp.full(3, 0.1j, "complex64")
    options = {"window": None, "trace": lambda step, states, residual: states[-1]}
    found = solve(f, s0, xs, QuasiDEER(transition=BlockDiagonal(2)), **options)
    wanted = reference(f, s0, xs)
    assert found.value.dtype == found.trace.dtype == "complex64"
    assert largest_difference(found.value, wanted) < 1e-5
    assert found.stats["num_steps"] < 12
    again = solve(f, s0, xs, guess=wanted)
    assert again.stats["num_steps"] <= 2


def test_a_complex_step_with_closed_forms_is_differentiated_as_it_is(promoting):
    class Cell(eqx.Module):
        def __call__(self, s, x):
            return 0.5 * jnp.conj(s) + x

        def value_and_diag(self, s, x):
            raise AssertionError("not to be called")

    s0, xs = jnp.ones(2, complex), jnp.ones((9, 2))
    assert largest_difference(solve(Cell(), s0, xs).value, reference(Cell(), s0, xs)) < 1e-12


class Called:
    """What the dataclasses below share."""

    weight: Any

    def __call__(self, state, x):
        return jnp.tanh(self.weight * state + x)

    def value_and_diag(self, state, x):
        value = self(state, x)
        return value, self.weight * (1 - value**2)


@dataclasses.dataclass
class Plain(Called):
    """A cell that cannot be hashed."""

    weight: Any


class Around(eqx.Module):
    inner: Plain

    def __call__(self, state, x):
        return self.inner(state, x)


@pytest.mark.parametrize(
    "make",
    [
        Plain,
        dataclasses.make_dataclass("Frozen", ["weight"], bases=(Called,), frozen=True),
        lambda w: Around(Plain(w)),
        lambda w: Plain(w).__call__,
        lambda w: functools.partial(Plain(w)),
        lambda w: jax.jit(Plain(w).__call__),
    ],
    ids=["dataclass", "frozen", "inside a module", "method", "partial", "jitted"],
)
def test_callables_of_every_kind(make):
    s0, xs = jnp.zeros(2), jax.random.normal(jax.random.key(0), (6, 2))

    def total(weight, solve_all):
        return jnp.sum(solve_all(make(weight), s0, xs) ** 2)

    weight = jnp.array([0.3, 0.4])
    wanted = jax.value_and_grad(total)(weight, reference)
    for ours in (
        lambda f, s0, xs: solve(f, s0, xs).value,
        lambda f, s0, xs: solve_batch(f, s0[None], xs[None]).value[0],
    ):
        assert largest_difference(jax.value_and_grad(total)(weight, ours), wanted) < 1e-10


@pytest.mark.device
def test_products_of_f_are_precise_unless_the_user_has_chosen():
    """Ten bits in a product, TF32, cost QuasiDEER and DEER as many iterations as steps here."""
    weight = 0.1 * jax.random.normal(jax.random.key(0), (64, 64), "float32")
    s0, xs = jnp.zeros(64, "float32"), jax.random.normal(jax.random.key(1), (1000, 64), "float32")
    seen = set()

    def f(s, x):
        seen.add(jax.config.jax_default_matmul_precision)
        return jnp.tanh(weight @ s + x)

    with jax.default_matmul_precision(None):
        solution = solve(f, s0, xs, DEER(), window=None, throw=False)
    assert solution.result == RESULTS.successful
    assert solution.stats["num_steps"] < 20
    assert "highest" in seen
    seen.clear()
    with jax.default_matmul_precision("tensorfloat32"):
        solve(f, s0, xs, DEER(), throw=False, max_steps=1)
    assert seen == {"tensorfloat32"}


def test_the_same_dataclass_compiles_once():
    traces = 0

    @dataclasses.dataclass
    class Counting:
        weight: Any

        def __call__(self, state, x):
            nonlocal traces
            traces += 1
            return self.weight * state + x

    cell = Counting(jnp.full(2, 0.5))
    solve(cell, jnp.zeros(2), jnp.ones((4, 2)))
    first = traces
    solve(cell, jnp.zeros(2), 2 * jnp.ones((4, 2)))
    assert traces == first


@dataclasses.dataclass
class Changing:
    weight: Any

    def __call__(self, state, x):
        return self.weight * state + x


class Unhashable:
    __hash__: Any = None

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, state, x):
        return self.weight * state + x


@pytest.mark.parametrize("kind", [Changing, Unhashable])
@pytest.mark.parametrize("as_array", [jnp.asarray, np.asarray, float])
def test_a_cell_that_changes_in_place_is_solved_as_it_is(kind, as_array):
    cell, s0, xs = kind(as_array(0.5)), jnp.zeros(2), jnp.ones((9, 2))
    for weight in (0.5, 0.9):
        cell.weight = as_array(weight)
        assert (
            largest_difference(solve(cell, s0, xs, QuasiDEER()).value, reference(cell, s0, xs))
            < 1e-12
        )
    cell.weight = np.full(2, 0.5)
    for weight in (0.5, 0.9):
        cell.weight[:] = weight  # within the array
        assert largest_difference(solve(cell, s0, xs).value, reference(cell, s0, xs)) < 1e-12


def test_the_arrays_of_a_dataclass_have_gradients():
    def total(weight, find):
        return jnp.sum(find(Changing(weight), jnp.zeros(2), jnp.ones((9, 2))))

    found = jax.grad(total)(jnp.asarray(0.5), lambda f, s0, xs: solve(f, s0, xs).value)
    assert largest_difference(found, jax.grad(total)(jnp.asarray(0.5), reference)) < 1e-10


PIECES = (7, 100, 1, 42)


@pytest.mark.parametrize("solver", [DEER(), QuasiDEER(), ELK(1e-2)], ids=name)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_pieces_of_a_stream_equal_the_whole(solver, dtype):
    cell, s0, xs = gru(4, sum(PIECES), dtype)
    whole = solve(cell, s0, xs, solver).value
    states, start = [], 0
    for length in PIECES:
        piece = xs[start : start + length]
        before = states[-1][-1] if states else s0
        # A warm guess: what came before went on.
        guess = jnp.broadcast_to(before, (length, *before.shape))
        states.append(solve(cell, before, piece, solver, guess=guess).value)
        start += length
    joined = jnp.concatenate(states)
    assert largest_difference(joined, whole) < TOLERANCE[dtype]
    assert largest_difference(joined, reference(cell, s0, xs)) < TOLERANCE[dtype]


def test_a_stream_that_sees_its_past_again_starts_from_what_it_knows():
    cell, s0, xs = gru(4, 90)
    first = solve(cell, s0, xs[:60], window=None).value
    # The same window of the stream, 10 steps later: 50 states are known already.
    guess = jnp.concatenate([first[10:], jnp.broadcast_to(first[-1], (10, 4))])
    warm = solve(cell, first[9], xs[10:70], window=None, guess=guess)
    cold = solve(cell, first[9], xs[10:70], window=None)
    assert largest_difference(warm.value, reference(cell, s0, xs[:70])[10:]) < 1e-10
    assert warm.stats["num_steps"] <= cold.stats["num_steps"]


def test_a_slow_stream_does_not_drift_apart_from_the_whole():
    """Where errors of each piece would add up, the promise of the default holds for all."""
    f = lambda s, _: s - 1e-4 * s  # noqa: E731
    s0 = jnp.ones(2, "float32")
    whole = reference(f, s0, None, 10_000)
    s, found = s0, []
    for length in (3000, 500, 6500):
        found.append(solve(f, s, None, length=length).value)
        s = found[-1][-1]
    # As far as roundings of the steps take it that do not add up in one direction.
    allowed = 4 * np.sqrt(10_000) * np.finfo("float32").eps
    assert largest_difference(jnp.concatenate(found), whole) < allowed


def test_no_inputs():
    length: Any = np.int64(50)  # as a number that was computed is
    solution = solve(lambda s, _: jnp.cos(s), jnp.array([0.3]), None, DEER(), length=length)
    wanted = reference(lambda s, _: jnp.cos(s), jnp.array([0.3]), None, 50)
    assert largest_difference(solution.value, wanted) < 1e-10


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_dtype_is_kept(solver, dtype):
    cell, s0, xs = gru(3, 20, dtype)
    solution = solve(cell, s0, xs, solver)
    assert solution.value.dtype == dtype
    assert solution.stats["residual"].dtype == dtype


@pytest.mark.parametrize("guess", [None, "zeros", "answer", "noise"])
@pytest.mark.parametrize("window", [None, 16])
def test_any_guess_leads_to_the_answer(guess, window):
    cell, s0, xs = gru(4, 50)
    wanted = reference(cell, s0, xs)
    given = {"answer": wanted, "noise": 100 * jax.random.normal(jax.random.key(3), (50, 4))}
    solution = solve(cell, s0, xs, DEER(), guess=given.get(guess, guess), window=window)
    assert largest_difference(solution.value, wanted) < 1e-10
    if guess == "answer":
        # One iteration mends what some processors round in another way for all steps at once.
        assert solution.stats["num_steps"] <= solution.stats["num_windows"]


def waves(height, length, dtype):
    return jnp.asarray(height * np.sin(np.add.outer(np.arange(length), np.arange(2))), dtype)


def check_ends_within_t_iterations(method, backend, f, s0, xs, guess):
    """Tolerances of 0 ask for a fixed point in floating point, to the last bit."""
    length = len(xs)
    solver = UNDAMPED[method](rtol=0.0, atol=0.0, linear_scan=backend)
    solution = solve(f, s0, xs, solver, window=None, guess=guess, throw=False)
    assert solution.result == RESULTS.successful
    assert 10 < solution.stats["num_steps"] <= length
    step = step_by_step(f, s0, solution.value, xs)
    assert largest_difference(step, solution.value) <= 4 * jnp.finfo(s0.dtype).eps


@every_undamped
@pytest.mark.parametrize(
    ("backend", "dtype"), [(AssociativeScan(), "float32"), (SequentialScan(), "float64")]
)
def test_ends_within_t_iterations_although_products_of_jacobians_overflow(method, backend, dtype):
    xs = waves(0.01, 1500, dtype)
    s0 = jnp.asarray([0.3, 0.6], dtype)
    check_ends_within_t_iterations(method, backend, coupled_logistic, s0, xs, None)


@every_backend
@every_undamped
def test_ends_within_t_iterations_although_iterates_overflow(method, backend):
    xs = waves(0.001, 150, "float32")
    guess = 1e20 * jax.random.normal(jax.random.key(0), (150, 2), "float32")
    s0 = jnp.asarray([0.3, 0.6], "float32")
    check_ends_within_t_iterations(method, backend, cubic, s0, xs, guess)


@every_backend
@every_undamped
def test_after_i_iterations_the_first_i_states_are_exact(method, backend):
    length = 60
    xs = jnp.zeros((length, 2))
    s0 = jnp.array([0.3, 0.6])
    wanted = reference(coupled_logistic, s0, xs)
    solver = UNDAMPED[method](linear_scan=backend)
    solution = solve(coupled_logistic, s0, xs, solver, window=None, trace=lambda step, s, r: s)
    for i in range(int(solution.stats["num_steps"]) + 1):
        # The chaotic map doubles a rounding error in each step.
        allowed = 1e-15 * 4.0 ** np.arange(min(i, 12))[:, None]
        assert (np.abs(solution.trace[i, :12] - wanted[:12])[: len(allowed)] <= allowed).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
@pytest.mark.parametrize("window", [None, 13])
def test_trace_changes_nothing_and_ends_with_the_answer(solver, window):
    cell, s0, xs = gru(4, 40)
    plain = solve(cell, s0, xs, solver, window=window)
    traced = solve(
        cell, s0, xs, solver, window=window, trace=lambda step, s, r: (step, jnp.sum(s), r)
    )
    assert_same_solution(traced, plain)
    step, total, residual = traced.trace
    if window is None:
        last = int(traced.stats["num_steps"])
        assert step[last] == last
        np.testing.assert_allclose(total[last], jnp.sum(traced.value), rtol=1e-12)
        assert residual[last] == traced.stats["residual"]
        assert jnp.isnan(residual[last + 1 :]).all()
    else:
        assert step.shape[0] == 4
        finals = [row[jnp.isfinite(row)][-1] for row in total[:3]]
        wanted = [jnp.sum(traced.value[13 * i : 13 * (i + 1)]) for i in range(3)]
        np.testing.assert_allclose(finals, wanted, rtol=1e-12)


def test_trace_sees_states_as_the_user_shaped_them():
    f, s0, xs = pair(12)
    solution = solve(f, s0, xs, DEER(), window=None, trace=lambda step, s, r: s["fast"][-1])
    last = int(solution.stats["num_steps"])
    assert largest_difference(solution.trace[last], solution.value["fast"][-1]) < 1e-14


@pytest.mark.parametrize("solver", SOLVERS[1:], ids=name)
def test_the_residual_is_that_of_the_returned_states(solver):
    cell, s0, xs = gru(4, 40)
    solver = eqx.tree_at(
        lambda s: (s.rtol, s.atol), solver, (0.0, 1e-3), is_leaf=lambda leaf: leaf is None
    )
    solution = solve(cell, s0, xs, solver, window=None)
    step = step_by_step(cell, s0, solution.value, xs)
    wanted = np.max(np.abs(solution.value - step)) / 1e-3
    np.testing.assert_allclose(solution.stats["residual"], wanted, rtol=1e-6)
    assert 1e-6 < solution.stats["residual"] <= 1


def explode(state, x):
    return jnp.exp(state) + x


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
@pytest.mark.parametrize("window", [None, 4])
def test_a_recurrence_that_leaves_the_range(solver, window):
    xs = jnp.zeros((20, 1))
    solution = solve(explode, jnp.ones(1), xs, solver, window=window, throw=False)
    finite = int(jnp.sum(jnp.isfinite(reference(explode, jnp.ones(1), xs))))
    assert solution.result == RESULTS.nonfinite_state
    assert solution.stats["num_verified"] == finite
    with pytest.raises(SolveError, match=f"Step {finite + 1} is the first"):
        solve(explode, jnp.ones(1), xs, solver, window=window)


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_nan_in_the_inputs(solver, bad):
    cell, s0, xs = gru(3, 20)
    xs = xs.at[7, 1].set(bad)
    if jnp.isinf(bad):  # A GRU saturates at infinite inputs: its states stay finite.
        cell = lambda state, x: 0.5 * state + x  # noqa: E731
    solution = solve(cell, s0, xs, solver, throw=False)
    assert solution.result == RESULTS.nonfinite_input
    assert solution.stats["num_verified"] == 7
    with pytest.raises(SolveError, match="inputs contain NaN"):
        solve(cell, s0, xs, solver)


@pytest.mark.parametrize("solver", SOLVERS[1:], ids=name)
@pytest.mark.parametrize("window", [None, 20])
def test_too_few_steps(solver, window):
    cell, s0, xs = gru(3, 50)
    solution = solve(cell, s0, xs, solver, window=window, max_steps=1, throw=False)
    assert solution.result == RESULTS.max_steps_reached
    verified = int(solution.stats["num_verified"])
    assert 0 < verified < 50
    right = reference(cell, s0, xs)[:verified]
    assert largest_difference(solution.value[:verified], right) < 1e-10
    with pytest.raises(SolveError, match="max_steps"):
        solve(cell, s0, xs, solver, window=window, max_steps=1)


def test_failure_raises_under_jit():
    cell, s0, xs = gru(3, 50)
    with pytest.raises(Exception, match="max_steps"):
        jax.block_until_ready(
            jax.jit(lambda xs: solve(cell, s0, xs, DEER(), max_steps=1).value)(xs)
        )


@pytest.mark.parametrize("solver", [None, Sequential(), QuasiDEER()], ids=str)
def test_raising_holds_no_states(solver):
    cell, s0, xs = gru(16, 2000, "float32")

    def needed(throw):
        return temporary_bytes(lambda xs: solve(cell, s0, xs, solver, throw=throw).value, xs)

    assert needed(throw=True) < needed(throw=False) + s0.nbytes * len(xs) / 4


def test_new_weights_inputs_and_tolerances_compile_nothing():
    traces = 0

    class Counting(eqx.Module):
        weight: jax.Array

        def __call__(self, state, x):
            nonlocal traces
            traces += 1
            return jnp.tanh(self.weight * state + x)

    def run(value):
        f = Counting(jnp.full(3, value))
        solve(f, jnp.zeros(3), jnp.full((8, 3), value), DEER(atol=jnp.asarray(1e-9 * value)))
        return traces

    assert run(0.1) == run(0.2) == run(0.3)


@pytest.mark.parametrize("method", [DEER, QuasiDEER])
def test_memory_with_a_window_does_not_grow_with_the_length(method):
    def with_length(length):
        cell, s0, xs = gru(8, length, "float32")

        def run(s0, xs):
            return solve(cell, s0, xs, method(), window=100, throw=False).value

        return temporary_bytes(run, s0, xs)

    assert with_length(100_050) <= with_length(1000) + 1024
