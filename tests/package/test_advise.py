"""`advise` measures a recurrence and recommends a method. No test depends on real times."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    Jacobi,
    Picard,
    QuasiDEER,
    Sequential,
    Solution,
    advise,
    solve,
)
from parallel_rnn._advise import advise as search
from parallel_rnn._advise import pilot
from parallel_rnn._solvers.window import SHORTEST_WINDOW
from parallel_rnn.cells import LSTMCell

from recurrences import gru, largest_difference, pair, reference

NO_TIME = 1e-9


@pytest.fixture
def clock(monkeypatch):
    """Sequential takes 1 ms; an iteration, in all windows, a tenth of it; all else 1 us."""

    def timed(call):
        result = call()
        if not isinstance(result, Solution):
            return 1e-6, result
        per_window = result.stats["num_steps"] / result.stats["num_windows"]
        return (1e-3 if per_window == 0 else 1e-4 * per_window.item()), result

    monkeypatch.setattr(pilot, "timed", timed)


@pytest.fixture
def two_methods(monkeypatch):
    """Fewer methods, so that fewer programs are compiled."""
    monkeypatch.setattr(search, "_likely", lambda pilot, transition: [QuasiDEER(), DEER()])
    monkeypatch.setattr(search, "_others", lambda pilot, transition: [ELK(1e-3)])


def exponent(f, s0, xs, length=None):
    length = len(xs) if length is None else length
    return pilot.take_pilot(f, s0, xs, length, 4096, share=10.0).lyapunov_exponent()


def strong_tanh(size, length):
    """A chaotic network."""
    keys = jax.random.split(jax.random.key(3), 2)
    weight = 5 * jax.random.normal(keys[0], (size, size)) / size**0.5
    xs = 0.1 * jax.random.normal(keys[1], (length, size))
    return lambda s, x: jnp.tanh(weight @ s + x), jnp.zeros(size), xs


@pytest.mark.parametrize("radius", [0.7, 1.2])
def test_exponent_of_a_linear_map(radius):
    # Rotation and stretching: |eigenvalues| radius and radius / 2.
    turn = jnp.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    matrix = radius * jax.scipy.linalg.block_diag(turn, 0.5 * turn)
    found = exponent(lambda s, x: matrix @ s, jnp.ones(4), None, length=400)
    assert found == pytest.approx(math.log(radius), abs=1e-6)


def test_exponent_of_the_logistic_map():
    found = exponent(lambda s, x: 4 * s * (1 - s), jnp.array([0.3]), None, length=2000)
    assert found == pytest.approx(math.log(2), abs=0.05)


def test_exponent_where_no_influence_lasts():
    assert exponent(lambda s, x: x, jnp.ones(2), jnp.ones((50, 2))) == -math.inf


def test_the_recommendation_solves_the_problem(clock, two_methods):
    cell, s0, xs = gru(3, 200)
    advice = advise(cell, s0, xs, pilot=60)
    assert isinstance(advice.solver, DEER)
    assert advice.speedup > 1.1
    assert advice.lyapunov_exponent < 0
    assert advice.damping is None
    assert (advice.pilot, advice.length) == (60, 200)
    solution = solve(cell, s0, xs, advice.solver, window=advice.window)
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-9
    assert solution.stats["num_steps"] == pytest.approx(advice.num_steps, rel=0.3)
    tried = {(type(c.solver), c.window) for c in advice.candidates}
    assert len(tried) == len(advice.candidates) > 3
    for candidate in advice.candidates:
        assert candidate.num_steps > 0
        assert 0 < candidate.contraction < 1
    text = str(advice)
    assert f"Use `solve(f, s0, xs, DEER(), window={advice.window})`" in text
    assert "contracting" in text
    assert "ELK(damping=0.001)" in text


def forgetful(size, length):
    """One sweep of any chunk finds its states."""
    xs = jax.random.normal(jax.random.key(4), (length, size))
    return lambda s, x: jnp.tanh(0.1 * s + x), jnp.zeros(size), xs


def test_chunks_are_advised_where_they_are_fastest(clock, two_methods):
    f, s0, xs = forgetful(2, 4000)
    advice = advise(f, s0, xs, pilot=100)
    assert isinstance(advice.solver, QuasiDEER)
    assert (advice.window, advice.chunk, advice.num_steps) == (None, 200, 1)
    assert "Use `solve(f, s0, xs, QuasiDEER(), chunk=200)`: about 1 sweep in all" in str(advice)
    solution = solve(f, s0, xs, advice.solver, **advice.options)
    assert solution.stats["num_steps"] == advice.num_steps
    assert largest_difference(solution.value, reference(f, s0, xs)) < 1e-9


def test_times_agree_with_ratios_and_say_what_is_inferred(clock, two_methods):
    advice = advise(*forgetful(2, 4000), pilot=100)
    assert " s of 20." in str(advice).splitlines()[0]
    for one in advice.candidates:
        # Sequential() took 1 ms for the 100 steps of the pilot.
        assert one.sequential_seconds == pytest.approx(40e-3)
        assert one.speedup == one.sequential_seconds / one.whole_seconds
        if one.window is not None:
            assert one.measured_steps == 100
            each = one.seconds / math.ceil(100 / one.window)
            assert one.whole_seconds == pytest.approx(each * math.ceil(4000 / one.window))
            assert one.cells(4000, 100)[7].startswith("~")
        else:
            assert one.measured_steps == 4000
            assert one.whole_seconds == one.seconds
            assert one.cells(4000, 100)[6:9] == ("100 us", "100 us", "~40 ms")


def test_chunks_that_need_more_sweeps_are_joined_with_jacobians_and_longer(clock, two_methods):
    turn = jnp.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    xs = jnp.ones((3200, 2))
    advice = advise(lambda s, x: 0.9999 * turn @ s + x, jnp.zeros(2), xs, pilot=100)
    tried = [(type(c.solver), c.chunk) for c in advice.candidates if c.chunk is not None]
    assert tried[:2] == [(QuasiDEER, 200), (DEER, 200)]
    assert len(tried) == 3 and tried[2][1] == 800


def test_all_methods_solve_a_contraction(clock):
    advice = advise(lambda s, x: jnp.tanh(0.1 * s + x), jnp.zeros(1), jnp.ones((20, 1)))
    methods = {type(candidate.solver) for candidate in advice.candidates}
    assert {QuasiDEER, DEER, Jacobi, ELK, Picard} <= methods
    assert all(candidate.speedup > 0 for candidate in advice.candidates)


def test_chaos_stays_sequential(clock, two_methods):
    advice = advise(*strong_tanh(16, 300), pilot=256)
    assert isinstance(advice.solver, Sequential)
    assert (advice.window, advice.num_steps, advice.speedup) == (None, 0, 1.0)
    assert advice.lyapunov_exponent > 0
    assert "chaotic" in str(advice)
    assert "Stay sequential" in str(advice)


def test_too_little_time_stays_sequential():
    advice = advise(lambda s, x: 0.5 * s + x, jnp.zeros(3), jnp.ones((100, 3)), seconds=NO_TIME)
    assert isinstance(advice.solver, Sequential)
    assert all(candidate.speedup == 0 for candidate in advice.candidates)
    assert "not tried, the time was up" in str(advice)
    assert "Stay sequential: nothing else was tried in the time" in str(advice)
    assert advice.lyapunov_exponent == pytest.approx(math.log(0.5))
    assert all(cost > 0 for cost in advice.costs.values())


def test_expensive_iterations_are_not_tried(monkeypatch):
    monkeypatch.setattr(pilot, "timed", lambda call: (1.0, call()))
    advice = advise(lambda s, x: 0.5 * s + x, jnp.zeros(1), jnp.ones((20, 1)), seconds=20)
    assert isinstance(advice.solver, Sequential)
    assert {c.note for c in advice.candidates} == {"not tried, an iteration takes 1 s"}


def test_trees_and_no_inputs():
    f, s0, xs = pair(40)
    assert advise(f, s0, xs, seconds=NO_TIME).pilot == 40
    advice = advise(
        lambda s, x: {"a": 0.9 * s["a"]}, {"a": jnp.ones(2)}, None, length=30, seconds=NO_TIME
    )
    assert advice.lyapunov_exponent == pytest.approx(math.log(0.9))


def test_a_cell_with_blocks_is_tried_with_them():
    cell = LSTMCell(2, 3, key=jax.random.key(0), dtype=jnp.dtype("float64"))
    advice = advise(cell, cell.initial_state(), jnp.ones((20, 2)), seconds=NO_TIME)
    assert "QuasiDEER(transition=BlockDiagonal(2))" in str(advice)


@pytest.mark.parametrize("fits", [False, True])
def test_a_wide_state_without_closed_form_is_tried_with_probes(monkeypatch, fits):
    needed = SHORTEST_WINDOW * DEER().numbers_per_step(100) * 8
    monkeypatch.setattr(pilot, "window_bytes", lambda: needed if fits else needed - 1)
    advice = advise(lambda s, x: 0.5 * s, jnp.zeros(100), jnp.ones((10, 100)), seconds=NO_TIME)
    assert "QuasiDEER(transition=StochasticDiagonal())" in str(advice)
    assert any(isinstance(candidate.solver, DEER) for candidate in advice.candidates) == fits


@pytest.mark.parametrize("length", [0, 1, 9])
def test_a_short_sequence_stays_sequential(length):
    advice = advise(lambda s, x: s + x, jnp.zeros(2), jnp.ones((length, 2)))
    assert isinstance(advice.solver, Sequential)
    assert str(advice) == f"Stay sequential: {length} steps are too few to measure."


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap, jax.grad])
def test_transformations_are_refused(transform):
    def call(scale):
        # The tracer is hidden in f.
        return advise(lambda s, x: scale * s, jnp.ones(2), None, length=20).speedup

    argument = jnp.ones(3) if transform is jax.vmap else jnp.ones(())
    with pytest.raises(TypeError, match="`advise` measures times, so it cannot run under `jit`"):
        transform(call)(argument)


def test_wrong_calls():
    xs = jnp.ones((20, 2))
    with pytest.raises(ValueError, match="`pilot` is 3; it must be at least 10"):
        advise(lambda s, x: s, jnp.zeros(2), xs, pilot=3)
    with pytest.raises(ValueError, match="`seconds` is 0; it must be positive"):
        advise(lambda s, x: s, jnp.zeros(2), xs, seconds=0)
    with pytest.raises(TypeError, match="`s0` has a leaf of type int"):
        advise(lambda s, x: s, jnp.zeros(2, int), xs)
    swapped = eqx.nn.GRUCell(2, 4, key=jax.random.key(0))
    with pytest.raises(TypeError, match="the arguments are swapped"):
        advise(swapped, jnp.zeros(4), xs)


def test_a_recurrence_that_overflows_is_refused():
    with pytest.raises(RuntimeError, match="leaves the floating-point range"):
        advise(lambda s, x: s * s, jnp.full(2, 10.0), None, length=20)
