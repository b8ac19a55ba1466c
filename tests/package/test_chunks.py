"""Chunks: the same states as sequential evaluation, whatever f remembers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import (
    ELK,
    ENDINGS,
    RESULTS,
    ImplicitAdjoint,
    IteratedAdjoint,
    Jacobi,
    QuasiDEER,
    Sequential,
    UnrolledAdjoint,
    scan,
    solve,
    solve_batch,
)
from parallel_rnn._programs.program import closed
from parallel_rnn.cells import LEMCell, SLSTMCell

from recurrences import (
    UNDAMPED,
    assert_same_solution,
    cell_table,
    gru,
    largest_difference,
    pair,
    reference,
    run_alone,
    temporary_bytes,
)

pytestmark = pytest.mark.device
LENGTH = 123


def slow_average(s, x):
    """Remembers a guess for hundreds of steps."""
    return s + 0.01 * (jnp.tanh(x) - s)


@pytest.mark.parametrize("chunk", [2, 7, 64, LENGTH, LENGTH + 1])
def test_chunks_of_any_length(chunk):
    cell, s0, xs = gru(4, LENGTH)
    solution = solve(cell, s0, xs, chunk=chunk)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-14
    assert solution.stats["num_steps"] <= -(-LENGTH // chunk)
    assert solution.stats["num_verified"] == LENGTH
    if chunk >= LENGTH:
        assert solution.ending == ENDINGS.sequential


@pytest.mark.parametrize("method", UNDAMPED)
def test_every_undamped_method(method):
    cell, s0, xs = gru(4, LENGTH)
    solution = solve(cell, s0, xs, UNDAMPED[method](), chunk=10)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-14


@pytest.mark.parametrize("name", cell_table(2, "float32", jax.random.key(0)))
def test_every_cell(name):
    cell, s0 = cell_table(4, "float32", jax.random.key(0))[name]
    xs = jax.random.normal(jax.random.key(1), (LENGTH, 4), "float32")
    value = solve(cell, s0, xs, chunk=20).value
    assert largest_difference(value, reference(cell, s0, xs)) < 1e-5


def test_one_step_is_the_iteration_on_single_steps():
    cell, s0, xs = gru(4, 50)

    def states(step, states, residual):
        del step, residual
        return states

    chunks, steps = (
        solve(cell, s0, xs, window=None, chunk=chunk, trace=states) for chunk in (1, None)
    )
    assert_same_solution(chunks, steps)
    common = 1 + min(int(solution.stats["num_steps"]) for solution in (chunks, steps))
    assert common > 5
    assert largest_difference(chunks.trace[:common], steps.trace[:common]) < 1e-14


@pytest.mark.parametrize("chunk", [10, 200])
def test_a_sweep_and_a_step_are_enough_where_f_forgets(chunk):
    """Also where chunks are shorter than what f remembers."""
    cell, s0, xs = gru(4, 2000, "float32")
    solution = solve(cell, s0, xs, chunk=chunk)
    assert solution.stats["num_steps"] == 1
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-6


@pytest.mark.parametrize("solver", [Jacobi(), QuasiDEER()])
def test_what_remembers_takes_more_sweeps(solver):
    xs = jax.random.normal(jax.random.key(0), (1000, 2))
    s0 = jnp.asarray([5.0, -3.0])
    solution = solve(slow_average, s0, xs, solver, chunk=100)
    assert largest_difference(solution.value, reference(slow_average, s0, xs)) < 1e-14
    assert 1 < solution.stats["num_steps"] <= 10


def test_a_jacobian_saves_sweeps():
    xs = jax.random.normal(jax.random.key(0), (2000, 2))
    s0 = jnp.asarray([5.0, -3.0])
    sweeps = [
        solve(slow_average, s0, xs, solver, chunk=50).stats["num_steps"]
        for solver in (Jacobi(rtol=1e-9, atol=1e-9), QuasiDEER(rtol=1e-9, atol=1e-9))
    ]
    assert sweeps[1] <= 3 < 10 < sweeps[0]


class RoundsOtherwise(eqx.Module):
    """Its closed form gives the diagonal, and a value that is off by many roundings."""

    def __call__(self, s, x):
        return slow_average(s, x)

    def value_and_diag(self, s, x):
        off = 1 + 100 * jnp.finfo(s.dtype).eps
        return off * slow_average(s, x), jnp.full_like(s, 0.99)


@pytest.mark.parametrize("kind", [LEMCell, SLSTMCell])
@pytest.mark.parametrize("chunk", [16, 60])
def test_as_many_sweeps_as_chunks_are_enough_for_what_amplifies_roundings(kind, chunk):
    """Sweeps may round in different ways, so what is right must not be swept again."""
    cell = kind(4, 16, key=jax.random.key(0), dtype=jnp.dtype("float32"))
    cell = jax.tree.map(lambda leaf: 6 * leaf if eqx.is_inexact_array(leaf) else leaf, cell)
    xs = jax.random.normal(jax.random.key(0), (480, 4), "float32")
    solution = solve(cell, cell.initial_state(), xs, QuasiDEER(), chunk=chunk)
    assert solution.stats["num_steps"] <= 480 // chunk
    assert solution.stats["num_verified"] == 480


def test_states_within_a_chunk_are_those_of_its_steps():
    """Whatever comes with a Jacobian: joints are judged by the steps."""
    xs = jax.random.normal(jax.random.key(0), (1000, 2))
    s0 = jnp.asarray([5.0, -3.0])
    solution = solve(RoundsOtherwise(), s0, xs, chunk=100)
    assert solution.stats["num_steps"] > 1
    assert largest_difference(solution.value, reference(slow_average, s0, xs)) < 1e-14


def test_the_bound_on_sweeps_and_the_fallback():
    xs = jax.random.normal(jax.random.key(0), (1000, 2))
    s0 = jnp.asarray([5.0, -3.0])
    cut = solve(slow_average, s0, xs, Jacobi(), chunk=20, max_steps=3, throw=False)
    assert cut.result == RESULTS.max_steps_reached
    verified = int(cut.stats["num_verified"])
    wanted = reference(slow_average, s0, xs)
    assert 60 <= verified < 1000
    assert largest_difference(cut.value[:verified], wanted[:verified]) < 1e-14
    whole = solve(slow_average, s0, xs, Jacobi(), chunk=20, max_steps=3, fallback=Sequential())
    assert largest_difference(whole.value, wanted) < 1e-14
    assert whole.stats["num_fallback"] == 1000 - verified


def test_a_nan_that_is_reset_within_a_chunk():
    """The chunks after it are right, and so are all joints; the answer is not."""

    def f(s, x):
        return jnp.where(x == 2, 0.0, jnp.where(x == 1, jnp.nan, 0.5 * s + 1))

    xs = jnp.zeros(400).at[130].set(1).at[140].set(2)
    solution = solve(f, jnp.zeros(1), xs, chunk=100, throw=False)
    assert solution.result == RESULTS.nonfinite_state
    assert solution.stats["num_verified"] == 130


def test_what_overflows_is_told():
    solution = solve(
        lambda s, x: 2 * s + x, jnp.ones(1, jnp.float32), jnp.ones((300, 1), jnp.float32),
        chunk=20, throw=False,
    )  # fmt: skip
    assert solution.result == RESULTS.nonfinite_state
    assert 120 <= solution.stats["num_verified"] < 128


def test_numbers_near_the_smallest_at_a_joint():
    """They are off by no more than that number, and grow to what the start says."""
    changes = {10: 2.0, 30: 1e-20, 31: 1e-18, 60: 1e18, 61: 1e20}
    xs = jnp.ones(75, jnp.float32)
    for step, factor in changes.items():
        xs = xs.at[step].set(factor)
    s0 = jnp.asarray([3.0], jnp.float32)
    value = solve(lambda s, x: s * x, s0, xs, Jacobi(), chunk=25).value
    assert largest_difference(value, reference(lambda s, x: s * x, s0, xs)) < 1e-5


@pytest.mark.parametrize("adjoint", [ImplicitAdjoint(), IteratedAdjoint()])
def test_gradients(adjoint):
    f, s0, xs = pair(50)

    def loss(states):
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(states))

    def ours(f, s0):
        return loss(solve(f, s0, xs, chunk=12, adjoint=adjoint).value)

    found = jax.grad(ours, (0, 1))(f, s0)
    wanted = jax.grad(lambda f, s0: loss(reference(f, s0, xs)), (0, 1))(f, s0)
    assert largest_difference(found, wanted) < 1e-9


def test_lengths_order_guess_and_vmap():
    cell, _, _ = gru(3, 5)
    s0 = jnp.zeros((3, 3))
    xs = jax.random.normal(jax.random.key(5), (3, 50, 3))
    lengths = [0, 33, 50]
    options: dict[str, Any]
    for options in ({"group": 3}, {"reverse": True}):
        found = solve_batch(cell, s0, xs, lengths=lengths, chunk=12, **options).value
        plain = solve_batch(cell, s0, xs, lengths=lengths, **options).value
        assert largest_difference(found, plain) < 1e-14
    at_once = jax.vmap(lambda s, x: solve(cell, s, x, chunk=12, throw=False).value)(s0, xs)
    wanted = jax.vmap(lambda s, x: reference(cell, s, x))(s0, xs)
    assert largest_difference(at_once, wanted) < 1e-14
    guessed = solve(cell, s0[0], xs[0], chunk=12, guess=wanted[0])
    assert guessed.ending in (ENDINGS.exact, ENDINGS.rounding)
    assert guessed.stats["num_steps"] == 1


def test_scan_and_no_inputs():
    cell, s0, xs = gru(3, 50)

    def body(carry, x):
        s, count = carry
        return (cell(s, x), count + 1), (s.sum(), count)

    found = scan(body, (s0, 0), xs, chunk=12)
    wanted = jax.lax.scan(body, (s0, jnp.asarray(0)), xs)
    assert largest_difference(found, wanted) < 1e-13
    free = solve(lambda s, _: 0.9 * jnp.sin(s), jnp.ones(2), None, length=50, chunk=7).value
    assert free.shape == (50, 2)


def test_the_trace_is_one_of_sweeps():
    xs = jax.random.normal(jax.random.key(0), (100, 2))

    def residual_alone(step, states, residual):
        assert states.shape == (100, 2)
        return {"step": step, "residual": residual}

    solution = solve(slow_average, jnp.ones(2), xs, chunk=20, trace=residual_alone)
    num_steps = int(solution.stats["num_steps"])
    residuals = solution.trace["residual"]
    assert residuals.shape == (6,)
    assert jnp.isinf(residuals[0])
    assert residuals[num_steps] <= 1
    assert jnp.all(jnp.isnan(residuals[num_steps + 1 :]))


def test_no_chunk_waits_for_the_joints_of_others():
    """With so many joints there is hardly a step at which all fit: rounding is at work."""
    cell, s0, xs = gru(32, 24_000, "float32")
    solution = solve(cell, s0, xs, chunk=48)
    assert solution.stats["num_steps"] == 1
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 2e-6


@pytest.mark.parametrize(("start", "grid"), [(1e4, 1.0), (1.0, 2.0**-13)])
def test_a_count_is_no_rounding(start, grid):
    """Where f jumps, a small change of the state may change a step by more than all roundings."""

    def count(s, x):
        return grid * jnp.floor(s / grid + x + jnp.float32(0.1))

    xs = (jnp.arange(2000) % 50 == 10).astype(jnp.float32)
    s0 = jnp.asarray(start, jnp.float32)
    solution = solve(count, s0, xs, chunk=50)
    assert jnp.all(solution.value == reference(count, s0, xs))


@pytest.mark.parametrize("axes", [(0, 0), (None, 1), (0, None)])
def test_series_of_a_batch_that_take_different_sweeps(axes):
    def decaying(s, x):
        return s["rate"] * s["sum"] + x

    def f(s, x):
        return {"rate": s["rate"], "sum": decaying(s, x)}

    rates, starts = jnp.asarray([0.1, 0.9, 0.999]), jnp.asarray([1.0, -2.0, 0.5])
    xs = jax.random.normal(jax.random.key(6), (3, 120))
    s0 = {"rate": rates, "sum": starts} if axes[0] == 0 else {"rate": rates[1], "sum": starts[0]}
    xs = {0: xs, 1: xs.T, None: xs[0]}[axes[1]]

    def one(s, x):
        found = solve(f, s, x, Jacobi(), chunk=10, throw=False)
        return found.value["sum"], found.stats["num_steps"], found.result == RESULTS.successful

    def nested(s, x):
        return jax.vmap(one, (None, 0))(s, jnp.stack([x, -x]))

    def wanted(s, x):
        return jnp.stack([reference(f, s, x)["sum"], reference(f, s, -x)["sum"]])

    values, num_steps, successful = jax.vmap(nested, axes)(s0, xs)
    assert jnp.all(successful)
    assert largest_difference(values, jax.vmap(wanted, axes)(s0, xs)) < 1e-12
    assert axes[0] is None or num_steps[0, 0] < num_steps[2, 0]


def test_a_gpu_needs_no_memory_but_that_of_the_states(monkeypatch):
    """Inputs and states stay where they are, and loops over a batch copy neither."""
    monkeypatch.setattr("parallel_rnn._chunks.side_by_side.platform", lambda: "gpu")
    cell, s0, xs = gru(16, 5000, "float32")
    batch = jnp.stack([xs] * 4)
    solved = jax.vmap(lambda xs: solve(cell, s0, xs, chunk=50, throw=False).value)
    assert temporary_bytes(solved, batch) < 1.5 * batch.nbytes


@pytest.mark.parametrize("chunk", [7, 20])
def test_parts_of_every_kind(chunk):
    """Complex numbers, one number, and a part that has none, as a model without some layer has."""

    def f(s, x):
        new = jnp.tanh(0.5 * s["real"] + x)
        count = 0.3 * s["count"] + jnp.sum(new)
        spins = s["spins"] * jax.lax.complex(jnp.cos(new[:2]), jnp.sin(new[:2])) / 2 + 1
        return {"real": new, "count": count, "spins": spins, "none": s["none"]}

    s0 = {"real": jnp.ones(3), "count": jnp.asarray(0.2), "spins": jnp.ones(2, complex)}
    s0, xs = {**s0, "none": jnp.zeros((0, 3))}, gru(3, 60)[2]
    at = (s0, jnp.stack([xs, -xs]))
    found = jax.vmap(lambda s0, xs: solve(f, s0, xs, chunk=chunk).value, (None, 0))(*at)
    wanted = jax.vmap(lambda s0, xs: reference(f, s0, xs), (None, 0))(*at)
    assert largest_difference(found, wanted) < 1e-12


def test_chunks_of_one_sequence_on_many_devices():
    run_alone("sharded.py", num_devices=8)


def transposed(step, s, x):
    """How many arrays of all chunks a step transposes."""
    program: Any = jax.make_jaxpr(jax.vmap(step, (-1, 0), -1))(s, x)
    moved = [e for e in program.eqns if e.primitive.name == "transpose"]
    return sum(len(x) in equation.invars[0].aval.shape for equation in moved)


def test_products_of_a_vector_and_a_matrix_leave_chunks_last():
    """What Flax and one's own functions write as x @ W is not transposed, nor another number."""
    w, u = (jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate([(3, 3), (5, 3)]))
    s, x = jnp.linspace(-1, 1, 21).reshape(3, 7), jnp.linspace(-1, 1, 35).reshape(7, 5)

    def f(s, x):
        return jnp.tanh(s @ w + jax.jit(lambda x: jax.lax.dot(x, u, precision="high"))(x))

    step = closed(f, s[:, 0], x[0])
    assert transposed(step, s, x) > 0
    assert transposed(step.matrices_first, s, x) == 0
    found = jax.vmap(step.matrices_first, (-1, 0), -1)(s, x)
    assert largest_difference(found, jax.vmap(f, (-1, 0), -1)(s, x)) < 1e-15


def test_memory_is_that_of_the_states():
    cell, s0, xs = gru(16, 10_000, "float32")
    states = 16 * 10_000 * 4
    needed = temporary_bytes(
        lambda s0, xs: solve(cell, s0, xs, chunk=500, throw=False).value, s0, xs
    )
    assert needed < 4 * states


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "`chunk` is 0"),
        ({"chunk": 2.5}, "`chunk` is 2.5"),
        ({"chunk": 5, "solver": ELK()}, "chunks are joined by an undamped method"),
        ({"chunk": 5, "window": 5}, "leave one of the two out"),
        ({"chunk": 5, "adjoint": UnrolledAdjoint()}, "Pass `adjoint=ImplicitAdjoint"),
    ],
)
def test_what_does_not_go_with_chunks(options, message):
    cell, s0, xs = gru(3, 10)
    with pytest.raises((TypeError, ValueError), match=message):
        solve(cell, s0, xs, **options)
