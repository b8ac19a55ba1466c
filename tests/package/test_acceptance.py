"""When states are called right: no NaN is lost, no slow state is left where it was guessed."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    ENDINGS,
    RESULTS,
    IteratedAdjoint,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    ScaleELK,
    Sequential,
    SolveError,
    scan,
    solve,
    solve_batch,
)
from parallel_rnn._finite import count_leading, worst
from parallel_rnn._solvers.damping import PATIENCE, Finishing, FixedDamping
from parallel_rnn._solvers.iterate import Point

from recurrences import assert_same_solution, gru, largest_difference, reference

NOT_FINITE = (jnp.nan, jnp.inf, -jnp.inf)
ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "experiments", "benchmarks", "tests")
# Where a maximum is taken, and what is not finite is seen beforehand.
MAXIMA = ("_finite.py", "predictions.py")


# Numbers that are not finite.


@pytest.mark.parametrize("size", [1, 2, 63, 64, 4095, 4096, 5000, 60_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_worst_overlooks_nothing(size, dtype):
    ones = jnp.ones(size, dtype)
    find = jax.jit(worst)
    assert find(ones) == 1
    for position in {0, 1 % size, size // 3, size // 2, size - 1}:
        for bad in (jnp.nan, jnp.inf):
            assert find(ones.at[position].set(bad)) == jnp.inf
        assert find(ones.at[position].set(2)) == 2


def test_worst_of_nothing_is_zero():
    assert worst(jnp.zeros(0)) == 0
    assert (worst(jnp.zeros((3, 0)), axis=1) == jnp.zeros(3)).all()


def test_flags_are_counted_up_to_the_first_that_is_false():
    assert count_leading(jnp.array([True, True, False, True])) == 2
    assert count_leading(jnp.zeros(0, bool)) == 0
    assert count_leading(jnp.ones(5, bool)) == 5


def test_no_maximum_that_loses_nan_is_taken():
    """XLA's maximum over an array does, on a CPU; `_finite` is where it is taken."""
    reductions = {"max", "min", "amax", "amin", "nanmax", "nanmin", "argmax", "argmin"}
    found = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if path.name in MAXIMA:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in reductions:
                if ast.unparse(node.value) == "jnp":
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: jnp.{node.attr}")
    assert found == []


def half(s, x):
    return 0.5 * s + x


@pytest.mark.parametrize(
    "solver",
    [
        QuasiDEER(),
        QuasiDEER(rtol=1e-5, atol=1e-5),
        DEER(),
        Jacobi(),
        Picard(),
        ScaleELK(0.1),
        ELK(),
        QuasiELK(rtol=1e-5),
        Sequential(),
    ],
    ids=lambda solver: f"{type(solver).__name__}-{getattr(solver, 'rtol', None)}",
)
@pytest.mark.parametrize("window", [None, 200])
def test_an_input_that_is_not_finite_is_never_called_right(solver, window):
    for bad in NOT_FINITE:
        for position in (0, 300, 511):
            xs = jnp.ones((512, 8), jnp.float32).at[position, 3].set(bad)
            s0 = jnp.zeros(8, jnp.float32)
            solution = solve(half, s0, xs, solver, window=window, throw=False)
            assert solution.result == RESULTS.nonfinite_input
            assert solution.stats["num_verified"] == position
            assert solution.ending == ENDINGS.failed


def test_scan_and_batches_see_it_too():
    xs = jnp.ones((2, 5000, 4), jnp.float32).at[1, 4000, 0].set(jnp.nan)
    s0 = jnp.zeros((2, 4), jnp.float32)
    solution = solve_batch(half, s0, xs, QuasiDEER(), throw=False)
    assert (solution.result == RESULTS.successful).tolist() == [True, False]
    with pytest.raises(SolveError, match="contain NaN"):
        scan(lambda s, x: (half(s, x), s), s0[1], xs[1])
    lengths = jnp.array([5000, 4000])
    assert (
        solve_batch(half, s0, xs, QuasiDEER(), lengths=lengths).stats["num_verified"] == lengths
    ).all()


def test_an_infinite_input_that_the_recurrence_takes_is_right():
    def bounded(s, x):
        return jnp.tanh(0.5 * s + x)

    xs = jnp.ones((600, 8)).at[300].set(-jnp.inf)
    solution = solve(bounded, jnp.zeros(8), xs, QuasiDEER())
    assert largest_difference(solution.value, reference(bounded, jnp.zeros(8), xs)) < 1e-14


# Slow, small and mixed-size states.


def slow(rate):
    return lambda s, _: s - jnp.asarray(rate, s.dtype) * s


SMALL = {
    "slow": (slow(1e-5), jnp.ones(1, jnp.float32), 20_000, 1e-4),
    "slower than a rounding a step": (slow(8e-7), jnp.ones(1, jnp.float32), 20_000, 1e-3),
    "counting": (lambda s, _: s + 1, jnp.zeros((), jnp.float32), 30_000, 1e-4),
    "decaying from 1e6": (slow(1e-4), jnp.full(1, 1e6, jnp.float32), 20_000, 1e-4),
    "growing": (lambda s, _: s + s / 100, jnp.full(1, 1e-6, jnp.float32), 2_600, 1e-3),
    "small": (lambda s, _: 0.9 * s + 1e-6, jnp.zeros(1, jnp.float32), 1_000, 1e-5),
}
DAMPED_OR_NOT = [QuasiDEER(), DEER(), Jacobi(), Picard(), ELK(), QuasiELK()]


@pytest.mark.device
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("solver", DAMPED_OR_NOT, ids=lambda solver: type(solver).__name__)
def test_states_that_hardly_move_are_moved(name, solver):
    f, s0, length, allowed = SMALL[name]
    solution = solve(f, s0, None, solver, length=length, throw=False)
    wanted = reference(f, s0, None, length)
    assert solution.result == RESULTS.successful
    assert np.abs(solution.value[-1] / wanted[-1] - 1).max() <= allowed


@pytest.mark.parametrize("solver", [QuasiDEER(), DEER(), Picard()])
def test_counting_is_exact(solver):
    f, s0, length, _ = SMALL["counting"]
    assert solve(f, s0, None, solver, length=length).value[-1] == length


@pytest.mark.parametrize("window", [1, 4, 7, 50])
def test_drift_does_not_begin_anew_with_every_window(window):
    # Jacobi moves one step an iteration; what it leaves in a short window is below 8 roundings.
    f, s0 = slow(3e-7), jnp.ones(1, jnp.float32)
    solution = solve(f, s0, None, Jacobi(), length=20_000, window=window, throw=False)
    assert solution.result == RESULTS.successful
    assert abs(solution.value[-1, 0] / reference(f, s0, None, 20_000)[-1, 0] - 1) < 3e-4


def test_a_component_is_right_beside_larger_ones():
    W = jnp.array([[0.1, 1.2], [-1.2, 0.1]], jnp.float32)

    def f(s, x):
        small = jnp.asarray(1e-6, jnp.float32)
        return jnp.concatenate(
            [jnp.tanh(0.3 * s[:2] + x), small * jnp.tanh(W @ (s[2:] / small) + x)]
        )

    s0, xs = jnp.zeros(4, jnp.float32), jax.random.normal(jax.random.key(0), (2000, 2), jnp.float32)
    for solver in (QuasiDEER(), DEER()):
        found, wanted = solve(f, s0, xs, solver).value, reference(f, s0, xs)
        assert (np.abs(found - wanted) <= 1e-5 * np.array([1, 1, 1e-6, 1e-6])).all()


def test_a_state_after_a_reset_is_as_right_as_any():
    def f(s, x):
        return jnp.where(x, jnp.asarray(1e-6, s.dtype), 0.95 * s + jnp.tanh(s))

    resets = jnp.arange(500) % 50 == 49
    s0 = jnp.full(2, 1e4, jnp.float32)
    for solver in (QuasiDEER(), QuasiELK(), Jacobi()):
        found, wanted = solve(f, s0, resets, solver).value, reference(f, s0, resets)
        assert (jnp.abs(found / wanted - 1) < 1e-4).all()


def test_a_jump_of_f_is_no_rounding():
    def f(s, _):
        return jnp.where(s > 1, 0.5 * s, 1.0003 * s)

    s0 = jnp.full(3, 0.9, jnp.float32)
    found = solve(f, s0, None, QuasiDEER(), length=2000, throw=False)
    wanted = reference(f, s0, None, 2000)
    assert found.result != RESULTS.successful or largest_difference(found.value, wanted) < 1e-4


# How a solve ends.


def test_a_guess_is_judged_where_no_step_is_allowed():
    """Also one that another program found, which rounds in another way."""
    cell, s0, xs = gru(3, 200)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (200, 3))
    near = reference(cell, s0, xs) * (1 + signs * np.finfo(float).eps)
    found = solve(cell, s0, xs, guess=near, max_steps=0)
    assert found.stats["roundings"] > 0 and jnp.array_equal(found.value, near)
    off = near.at[100:].add(1e-12)
    found = solve(cell, s0, xs, guess=off, max_steps=0, throw=False)
    assert found.result != RESULTS.successful and found.stats["num_verified"] == 100


def test_stats_tell_why_it_ended():
    cell, s0, xs = gru(4, 100)

    def ending(*arguments, **options):
        found = solve(cell, s0, xs, *arguments, throw=False, **options)
        return found.ending, found

    assert ending(QuasiDEER(rtol=1e-3))[0] == ENDINGS.tolerance
    assert ending(Sequential())[0] == ENDINGS.sequential
    assert ending(QuasiDEER(), max_steps=1, fallback=Sequential())[0] == ENDINGS.sequential
    assert ending(QuasiDEER(), max_steps=1)[0] == ENDINGS.failed
    end, found = ending(QuasiDEER())
    assert end == ENDINGS.rounding
    assert 0 < found.stats["roundings"] <= 8
    assert found.stats["drift"] <= 4
    assert found.stats["residual"] <= 1
    exact, again = ending(guess=reference(cell, s0, xs), window=None)
    assert exact in (ENDINGS.exact, ENDINGS.rounding)
    assert again.stats["num_steps"] <= 1


def test_a_coarser_type_inside_is_named():
    W = (jax.random.normal(jax.random.key(0), (16, 16)) / 3).astype(jnp.bfloat16)

    def f(s, x):
        return jnp.tanh((W @ s.astype(jnp.bfloat16)).astype(jnp.float32) + x)

    xs = jax.random.normal(jax.random.key(1), (1000, 16), jnp.float32)
    s0 = jnp.zeros(16, jnp.float32)
    stopped = solve(f, s0, xs, window=None, throw=False)
    assert stopped.result == RESULTS.tolerance_unreachable
    assert stopped.stats["num_steps"] < 400
    with pytest.raises(SolveError, match=r"roundings off.*bfloat16.*float32"):
        solve(f, s0, xs, window=None)
    # The ways on.
    assert solve(f, s0, xs, QuasiDEER(rtol=1e-1, atol=1e-1)).result == RESULTS.successful
    finished = solve(f, s0, xs, fallback=Sequential(), window=None)
    assert finished.result == RESULTS.successful


@pytest.mark.device
def test_answers_repeat():
    cell, s0, xs = gru(4, 300, "float32")
    first, second = (solve(cell, s0, xs, QuasiDEER()).value for _ in range(2))
    assert (first == second).all()


def test_series_under_vmap_are_judged_each_for_itself():
    cell, s0, xs = gru(3, 200)
    scales = jnp.array([0.1, 1.0, 5.0])
    batch = jax.vmap(lambda scale: solve(cell, s0, scale * xs, window=None, throw=False))(scales)
    for i, scale in enumerate(scales):
        alone = solve(cell, s0, scale * xs, window=None)
        assert_same_solution(jax.tree.map(lambda leaf, i=i: leaf[i], batch), alone)


# Undamped steps to finish with.


def point(states, residual):
    values = states + residual
    return Point(states, values, jnp.ones_like(states), jnp.zeros((), int), jnp.asarray(residual))


def test_an_undamped_step_is_kept_only_while_the_residual_falls():
    """The rule adds 1 to every state, the undamped step 100."""
    start = jnp.ones((5, 1))
    rule = Finishing(FixedDamping(1.0), lambda now: now.states + 100)

    def one(now, damping):
        return jnp.ones_like(now.states)

    now, memory = point(start, 1e6), rule.start(point(start, jnp.inf))
    states, memory = rule.advance(one, now, memory)
    for _ in range(PATIENCE):
        if states[0, 0] - now.states[0, 0] == 100:
            break
        now = point(states, 1e6)
        states, memory = rule.advance(one, now, memory)
    assert memory.trying
    # The residual rose: the states from before the trial come back, and the rule goes on.
    back, memory = rule.advance(one, point(states, 2e6), memory)
    assert (back == now.states).all()
    onwards, memory = rule.advance(one, point(back, 1e6), memory)
    assert (onwards == back + 1).all()
    # Once more, and now it falls.
    now = point(onwards, 1e6)
    states = onwards
    while not memory.trying:
        states, memory = rule.advance(one, now, memory)
        now = point(states, 1e6)
    states, memory = rule.advance(one, point(now.states, 1e5), memory)
    assert memory.trying
    assert (states == now.states + 100).all()


# Gradients.


def test_the_iterated_adjoint_holds_the_promise():
    f, s0 = slow(1e-4), jnp.ones(2, jnp.float32)

    def last(s0, adjoint):
        return jnp.sum(solve(f, s0, None, QuasiDEER(), length=5000, adjoint=adjoint).value[-1])

    def by_scan(s0):
        return jnp.sum(reference(f, s0, None, 5000)[-1])

    found = jax.grad(last)(s0, IteratedAdjoint())
    assert (jnp.abs(found / jax.grad(by_scan)(s0) - 1) < 1e-4).all()


def test_an_iterated_adjoint_loses_no_nan():
    def loss(s0):
        states = solve(half, s0, jnp.ones((5000, 4)), adjoint=IteratedAdjoint()).value
        return jnp.sum(states[3000] * jnp.array([1, 1, jnp.nan, 1]))

    assert jnp.isnan(jax.grad(loss)(jnp.zeros(4))).any()
