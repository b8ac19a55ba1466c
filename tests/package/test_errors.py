"""A wrong call is refused with a sentence that names the thing."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import parallel_rnn
from parallel_rnn import (
    DEER,
    ELK,
    RESULTS,
    AdaptiveDamping,
    BlockDiagonal,
    ClipELK,
    DiagonalAdjoint,
    ImplicitAdjoint,
    IteratedAdjoint,
    Jacobi,
    QuasiDEER,
    QuasiELK,
    Scaled,
    ScaleELK,
    Sequential,
    SequentialScan,
    SolveError,
    StochasticDiagonal,
    advise,
    scan,
    solve,
    solve_batch,
)
from parallel_rnn._renamed import takes_old_name

from recurrences import assert_same_solution, gru, largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")

XS = [[0.0, 0.0, 0.0]] * 5


def wrong(value: Any) -> Any:
    """A value of a type that the check of types would refuse."""
    return value


def step(state, x):
    return 0.5 * state + x


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": -1}, ValueError, "`length` is -1"),
        ({"length": 2.5}, TypeError, "`length` is 2.5, of type float"),
        ({"length": 4}, ValueError, r"disagree about the number of steps: \[4, 5\]"),
        ({"window": 0}, ValueError, "`window` is 0"),
        ({"window": -3}, ValueError, "`window` is -3"),
        ({"window": 2.0}, TypeError, "`window` is 2.0"),
        ({"window": True}, TypeError, "`window` is True"),
        ({"window": "all"}, TypeError, "`window` is 'all'"),
        ({"max_steps": -1}, ValueError, "`max_steps` is -1"),
        ({"max_steps": 1.5}, TypeError, "`max_steps` is 1.5"),
        ({"guess": "ones"}, ValueError, "`guess` is 'ones'"),
        ({"guess": 0.0}, ValueError, r"`guess` is float64\[\], but the states are float64\[5,3\]"),
        ({"solver": DEER}, TypeError, r"Write `DEER\(\)` with brackets"),
        ({"solver": "deer"}, TypeError, "`solver` is 'deer'"),
        ({"adjoint": IteratedAdjoint}, TypeError, r"Write `IteratedAdjoint\(\)` with brackets"),
        ({"adjoint": None}, TypeError, "`adjoint` is None; it must be an adjoint such as"),
        ({"solver": AdaptiveDamping()}, TypeError, r"`solver` is AdaptiveDamping"),
        (
            {"fallback": DEER()},
            TypeError,
            r"is DEER\(.*must be `Sequential\(\)` or None",
        ),
        ({"fallback": Sequential}, TypeError, r"`fallback` is <class"),
        ({"fallback": True}, TypeError, r"`fallback` is True"),
        ({"trace": lambda step, s, r: r}, ValueError, "`trace` needs an explicit `window`"),
        (
            {"trace": lambda step, s, r: r, "chunk": 1},
            ValueError,
            "`trace` needs an explicit `window`",
        ),
    ],
)
def test_options(options, error, message):
    with pytest.raises(error, match=message):
        solve(step, jnp.zeros(3), jnp.asarray(XS), **options)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda s, x: jnp.concatenate([s, x]), r"returns float64\[6\] for a NAME float64\[3\]"),
        (lambda s, x: (s + x).astype("float32"), r"returns float32\[3\] for a NAME float64\[3\]"),
        (lambda s, x: (s, x), r"returns \(float64\[3\], float64\[3\]\)"),
        (lambda s, x: jnp.sum(s), r"returns float64\[\] for a NAME float64\[3\]"),
        (lambda s, x: None, "returns None for a NAME"),
        (lambda s, x: 1.0, r"returns float64\[\] for a NAME float64\[3\]"),
        (lambda s, x: "a", r"returns str for a NAME float64\[3\]"),
    ],
)
def test_f_must_keep_the_state(f, message):
    with pytest.raises(TypeError, match=message.replace("NAME", "state")):
        solve(f, jnp.zeros(3), jnp.asarray(XS))
    with pytest.raises(TypeError, match=message.replace("NAME", "carry")):
        scan(lambda s, x: (f(s, x), None), jnp.zeros(3), jnp.asarray(XS))


def test_a_step_that_sums_its_state_is_not_taken_for_one_of_a_batch():
    with pytest.raises(TypeError, match="keep the structure, shape and dtype") as error:
        solve(lambda s, x: jnp.sum(s), jnp.zeros(3), jnp.asarray(XS))
    assert "solve_batch" not in str(error.value)


@pytest.mark.parametrize("function", [solve, solve_batch])
def test_trace_and_throw_that_mean_nothing(function: Any):
    with pytest.raises(TypeError, match="`trace` is 3; it must be a function"):
        function(step, jnp.zeros((5, 3)), jnp.zeros((5, 5, 3)), trace=3, window=None)

    def kept(step, states, residual):
        return "done"

    with pytest.raises(TypeError, match=r"`trace.*` holds 'done', of type str"):
        function(step, jnp.zeros((5, 3)), jnp.zeros((5, 5, 3)), trace=kept, window=None)
    with pytest.raises(TypeError, match="`throw` is 'a'; it must be True or False"):
        function(step, jnp.zeros((5, 3)), jnp.zeros((5, 5, 3)), throw="a")


def test_swapped_arguments_that_fail():
    cell = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    with pytest.raises(TypeError, match="the arguments are swapped"):
        solve(cell, jnp.zeros(4), jnp.asarray(XS))


def test_swapped_arguments_that_change_the_shape():
    with pytest.raises(TypeError, match="the arguments are swapped"):
        solve(lambda x, s: s + jnp.sum(x), jnp.zeros(4), jnp.asarray(XS))


def test_an_error_inside_f_is_shown_as_it_is():
    def broken(state, x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as error:
        solve(broken, jnp.zeros(3), jnp.asarray(XS))
    assert "fails for a state float64[3] and an input float64[3]" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("s0", "xs", "words"),
    [
        (np.zeros(4), XS, ["state float64[4]", "input float64[3]", "Change `s0` or `xs`"]),
        (np.zeros(5), XS[0], ["input float64[]", "the first axis of `xs` counts the steps"]),
        ([0.0, 0.0], XS, ["state [float64[], float64[]]", "Change `s0` or `xs`"]),
        (np.zeros((2, 5)), XS, ["With a state float64[5] it works", "`solve_batch`"]),
    ],
    ids=["size", "no time", "a list", "series"],
)
def test_an_f_that_cannot_take_what_it_is_given(s0, xs, words):
    def five(state, x):
        three = jnp.ones((3, 5))
        return three.T @ (three @ state + x[:])

    with pytest.raises((IndexError, TypeError, ValueError)) as error:
        solve(five, s0, jnp.asarray(xs))
    for word in ("`f(state, x)` fails", *words):
        assert word in str(error.value)


def test_an_f_that_cannot_take_the_carry():
    with pytest.raises(TypeError, match=r"for a carry float64\[4\].*Change `init` or `xs`"):
        scan(lambda s, x: (jnp.ones((5, 5)) @ s, None), jnp.zeros(4), jnp.asarray(XS))


def test_an_f_that_returns_an_output_as_well():
    with pytest.raises(TypeError, match=r"Return the state alone, or use `parallel_rnn\.scan`"):
        solve(lambda s, x: (s, x), jnp.zeros(3), jnp.asarray(XS))


def test_an_f_that_computes_in_another_type():
    with pytest.raises(TypeError, match="Make `s0` float32, or have `f` return float64"):
        solve(lambda s, x: s.astype("float32"), jnp.zeros(3), jnp.asarray(XS))
    # No state is of integers.
    with pytest.raises(TypeError, match=r"the state\. Have `f` return float64"):
        solve(lambda s, x: s.astype(int), jnp.zeros(3), jnp.asarray(XS))


def test_a_cell_of_equinox_is_pointed_to_what_turns_it_round():
    cell = eqx.nn.LSTMCell(3, 4, key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"use `parallel_rnn\.cells\.from_equinox\(cell\)`"):
        solve(cell, (jnp.zeros(4), jnp.zeros(4)), jnp.asarray(XS))


@pytest.mark.parametrize(
    ("s0", "message"),
    [
        ([1, 2, 3], "leaf of type int64"),
        ([True], "leaf of type bool"),
    ],
)
def test_states_must_be_floats(s0, message):
    with pytest.raises(TypeError, match=message):
        solve(step, jnp.asarray(s0), jnp.asarray(XS))


def test_states_must_have_one_dtype():
    for kind in ("float32", "complex64"):
        s0 = (jnp.zeros(2, kind), jnp.zeros(2, "float64"))
        with pytest.raises(TypeError, match=f"mixes the dtypes {kind}, float64"):
            solve(lambda s, x: s, s0, jnp.asarray(XS))


def test_a_state_must_hold_something():
    with pytest.raises(ValueError, match="`s0` holds no array"):
        solve(step, None, jnp.asarray(XS))


def test_steps_must_be_known():
    with pytest.raises(ValueError, match="`length` is not given"):
        solve(step, jnp.zeros(3), None)


def test_inputs_need_a_time_axis():
    with pytest.raises(ValueError, match="leaf without axes"):
        solve(step, jnp.zeros(3), (jnp.asarray(XS), 1.0))


def test_inputs_must_agree():
    with pytest.raises(ValueError, match=r"number of steps: \[4, 5\]"):
        solve(lambda s, x: s, jnp.zeros(3), (jnp.asarray(XS), jnp.zeros(4)), QuasiDEER())


@pytest.mark.parametrize("method", [ELK, QuasiELK])
@pytest.mark.parametrize("estimate", ["smoothed", None, 1])
def test_estimates_have_two_names(method, estimate, monkeypatch):
    # The check of types that comes before it is there in the tests only.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f'`estimate` is {estimate!r}; it must be "filter" or'):
        method(0.1, estimate)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ELK(-1.0), ValueError, "`damping` is -1.0; it must be finite and at least 0"),
        (lambda: ELK(jnp.array([0.1, -2])), ValueError, "`damping` is"),
        (lambda: QuasiELK(NAN), ValueError, "`damping` is nan"),
        (lambda: ELK(INFINITY), ValueError, "`damping` is inf"),
        (lambda: ELK("big"), TypeError, "`damping` is 'big'; it must be a real number"),
        (lambda: ELK(None), TypeError, "`damping` is None"),
        (lambda: ELK(True), TypeError, "`damping` is True"),
        (lambda: ELK(1j), TypeError, "`damping` is 1j"),
        (lambda: ELK([[1.0], 2.0]), TypeError, "`damping` is"),
        (lambda: ELK(AdaptiveDamping), TypeError, r"Write `AdaptiveDamping\(\)` with brackets"),
        (lambda: AdaptiveDamping(-1), ValueError, "`initial` is -1"),
        (lambda: AdaptiveDamping(0.0), ValueError, "`initial` is 0.0; it must be positive"),
        (lambda: AdaptiveDamping(1, 2, 1), ValueError, "`largest` is 1; .* at least 2"),
        (lambda: AdaptiveDamping(smallest=None), TypeError, "`smallest` is None"),
        (lambda: ScaleELK(1.5), ValueError, "`k` is 1.5; .* at least 0 and at most 1"),
        (lambda: ScaleELK(-0.1), ValueError, "`k` is -0.1"),
        (lambda: ScaleELK("a"), TypeError, "`k` is 'a'"),
        (lambda: DEER(rtol=-1.0), ValueError, "`rtol` is -1.0"),
        (lambda: Jacobi(atol=NAN), ValueError, "`atol` is nan"),
        (lambda: ELK(atol="a"), TypeError, "`atol` is 'a'"),
        (lambda: DEER(linear_scan=wrong("x")), TypeError, "`linear_scan` is 'x'"),
        (lambda: QuasiDEER(transition=wrong(None)), TypeError, "`transition` is None"),
        (lambda: ClipELK(transition=wrong(BlockDiagonal)), TypeError, "`transition` is <class"),
        (lambda: Scaled(wrong(3), 1.0), TypeError, "`transition` is 3"),
        (lambda: BlockDiagonal(0), ValueError, "`size` is 0"),
        (lambda: StochasticDiagonal(wrong(1.5)), TypeError, "`num_probes` is 1.5"),
        (lambda: StochasticDiagonal(seed=0.5), TypeError, "`seed` is 0.5"),
        (lambda: ImplicitAdjoint(wrong("x")), TypeError, "`linear_scan` is 'x'"),
        (lambda: DiagonalAdjoint(wrong(3)), TypeError, "`linear_scan` is 3"),
        (lambda: IteratedAdjoint(wrong("x")), TypeError, "`solver` is 'x'"),
        (lambda: IteratedAdjoint(chunk=0), ValueError, "`chunk` is 0"),
        (lambda: IteratedAdjoint(QuasiELK(0.1), 5), TypeError, "joined by an undamped method"),
    ],
)
def test_values_out_of_range_are_refused_where_they_are_made(make, error, message, monkeypatch):
    # The check of types that comes before it is there in the tests only.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (ELK(jnp.ones(4)), r"`damping` has the shape \(4,\), but a state has 3 numbers"),
        (DEER(atol=jnp.ones(3)), r"`atol` has the shape \(3,\)"),
        (ScaleELK(jnp.full(3, 0.5)), r"`scale` has the shape \(3,\)"),
    ],
    ids=["damping", "atol", "k"],
)
def test_values_must_fit_the_state(solver, message):
    with pytest.raises(ValueError, match=message):
        solve(step, jnp.zeros(3), jnp.asarray(XS), solver)


def test_values_may_be_tracers():
    def last(value):
        solver = QuasiELK(value, rtol=1e-9 * value, atol=1e-12)
        return solve(step, jnp.zeros(3), jnp.asarray(XS) + 1, solver).value[-1]

    found = jax.jit(jax.vmap(last))(jnp.array([0.1, 0.2]))
    assert largest_difference(found, jnp.full((2, 3), 1.9375)) < 1e-8


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (None, "`f` is None; it must be a function"),
        (eqx.nn.GRUCell, "Make an object of the class first"),
        (lambda s: s, r"takes the arguments \(s\), but it is called as `f\(state, x\)`"),
        (lambda s, x, t: s, "missing a required argument: 't'"),
    ],
)
@pytest.mark.parametrize("call", [solve, solve_batch, advise])
def test_f_must_take_a_state_and_an_input(call, f, message):
    with pytest.raises(TypeError, match=message):
        call(f, jnp.zeros((2, 3)), jnp.zeros((2, 12, 3)))


@pytest.mark.parametrize("call", [solve, solve_batch, advise])
def test_leaves_must_be_arrays(call):
    with pytest.raises(TypeError, match="`s0` holds 'a', of type str"):
        call(step, "a", jnp.zeros((2, 3)))
    with pytest.raises(TypeError, match="`xs` holds <object"):
        call(step, jnp.zeros((2, 3)), object())


@pytest.mark.parametrize("shape", [(12, 3), (3,)])
@pytest.mark.parametrize("call", [solve, advise])
def test_many_series_belong_to_solve_batch(call, shape):
    weight = jnp.ones((2, 3))
    with pytest.raises(TypeError, match="`solve` takes one series, `solve_batch` takes many"):
        call(lambda s, x: jnp.tanh(s + x @ weight), jnp.zeros(shape), jnp.ones((12, 10, 2)))


@pytest.mark.parametrize("length", [1, 50, 101, 500])
def test_default_bound_of_the_iterations(length):
    xs = jnp.zeros((length, 3))
    options = {"window": None, "throw": False}
    damped = solve(step, jnp.zeros(3), xs, ELK(0.1), **options).stats["max_steps"]
    undamped = solve(step, jnp.zeros(3), xs, Jacobi(), **options).stats["max_steps"]
    assert damped == max(1000, 10 * length)
    assert undamped == length


@pytest.mark.parametrize("solver", [DEER(), ELK(0.1)], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("window", [None, 13])
def test_the_fallback_finishes(solver, window):
    cell, s0, xs = gru(4, 60)
    options = {"window": window, "max_steps": 1, "throw": False}
    alone = solve(cell, s0, xs, solver, **options)
    assert alone.result == RESULTS.max_steps_reached
    solution = solve(cell, s0, xs, solver, fallback=Sequential(), **options)
    assert solution.result == RESULTS.successful
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-9
    assert solution.stats["num_verified"] == 60
    # All windows fail, and all are finished: later ones go on from the state of the fallback.
    assert solution.stats["num_steps"] == -(-60 // (window or 60))
    assert 0 < solution.stats["num_fallback"] <= 65
    if window is None:
        assert solution.stats["num_fallback"] == 60 - alone.stats["num_verified"]


def test_the_fallback_rests_where_the_solver_succeeds():
    cell, s0, xs = gru(4, 60)
    plain = solve(cell, s0, xs, DEER(), window=13)
    solution = solve(cell, s0, xs, DEER(), window=13, fallback=Sequential())
    assert solution.stats["num_fallback"] == 0
    assert_same_solution(solution, plain)


def test_the_fallback_finishes_only_the_windows_that_failed():
    def chaotic_in_the_second_window(s, x):
        return jnp.where(x > 0, 3.9 * s * (1 - s), 0.4)

    s0, xs = jnp.array([0.3]), jnp.zeros((30, 1)).at[10:20].set(1)
    options = {"window": 10, "max_steps": 1, "fallback": Sequential()}
    solution = solve(chaotic_in_the_second_window, s0, xs, DEER(), **options)
    assert 0 < solution.stats["num_fallback"] < 10
    wanted = reference(chaotic_in_the_second_window, s0, xs)
    assert largest_difference(solution.value, wanted) < 1e-10


def test_the_fallback_under_vmap_and_its_gradient():
    cell, _, _ = gru(4, 1)
    s0 = jax.random.normal(jax.random.key(1), (3, 4))
    xs = jax.random.normal(jax.random.key(2), (3, 20, 4))
    options = {"max_steps": 2, "window": 7, "fallback": Sequential()}

    def gradients(solve_all):
        total = lambda s, x: jnp.sum(jnp.sin(solve_all(cell, s, x)))  # noqa: E731
        return jax.vmap(jax.value_and_grad(total))(s0, xs)

    found = gradients(lambda f, s, x: solve(f, s, x, DEER(), **options).value)
    assert largest_difference(found, gradients(reference)) < 1e-8


@pytest.mark.parametrize("window", [None, 4])
def test_no_fallback_mends_a_recurrence_that_leaves_the_range(window):
    f = lambda s, x: jnp.exp(s) + x  # noqa: E731
    s0, xs = jnp.ones(1), jnp.zeros((20, 1))
    options = {"window": window, "fallback": Sequential()}
    solution = solve(f, s0, xs, DEER(), throw=False, **options)
    assert solution.result == RESULTS.nonfinite_state
    assert solution.stats["num_verified"] == jnp.sum(jnp.isfinite(reference(f, s0, xs)))
    with pytest.raises(SolveError, match="leaves the floating-point range"):
        solve(f, s0, xs, DEER(), **options)


@pytest.mark.parametrize("estimate", ["filter", "smoother"])
def test_a_tolerance_below_the_rounding_is_said_to_be_unreachable(estimate):
    cell, s0, xs = gru(4, 40, "float32")
    solver = ELK(0.3, estimate, rtol=1e-12, atol=1e-12)
    solution = solve(cell, s0, xs, solver, window=None, throw=False)
    assert solution.result == RESULTS.tolerance_unreachable
    # It stops long before the bound, at an answer as good as the dtype allows.
    assert solution.stats["num_steps"] < 200 < solution.stats["max_steps"]
    assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-4
    with pytest.raises(SolveError, match="down to the rounding"):
        solve(cell, s0, xs, solver, window=None)


def test_an_undamped_solver_meets_any_tolerance_unless_it_may_not_go_on():
    cell, s0, xs = gru(4, 40, "float32")
    solver = DEER(rtol=0.0, atol=1e-12)
    assert solve(cell, s0, xs, solver, window=None).stats["residual"] <= 1
    stopped = solve(cell, s0, xs, solver, window=None, max_steps=6, throw=False)
    assert stopped.result == RESULTS.tolerance_unreachable
    early = solve(cell, s0, xs, solver, window=None, max_steps=1, throw=False)
    assert early.result == RESULTS.max_steps_reached


@pytest.mark.parametrize("method", [ELK, QuasiELK])
@pytest.mark.parametrize("estimate", ["filter", "smoother"])
def test_adaptive_damping_converges(method, estimate):
    cell, s0, xs = gru(4, 40)
    steps = {}
    # The second starts at its upper bound: there every step is taken.
    for initial in (1e-2, 1e3):
        solver = method(AdaptiveDamping(initial=jnp.asarray(initial)), estimate)
        solution = solve(cell, s0, xs, solver, window=None)
        assert largest_difference(solution.value, reference(cell, s0, xs)) < 1e-9
        steps[initial] = solution.stats["num_steps"]
    fixed = solve(cell, s0, xs, method(1.0, estimate), window=None, throw=False)
    assert steps[1e-2] < steps[1e3] < fixed.stats["num_steps"]


@pytest.mark.parametrize("kind", [DEER, ELK, partial(ScaleELK, k=0.5), ImplicitAdjoint])
def test_old_names_work_with_a_warning(kind: Any, monkeypatch):
    # The check of types that comes before it is there in the tests only.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.warns(DeprecationWarning, match="`recurrence` is now called `linear_scan`"):
        found = kind(recurrence=SequentialScan())
    assert found == kind(linear_scan=SequentialScan())
    with pytest.raises(TypeError):
        kind(recurrence=SequentialScan(), linear_scan=SequentialScan())


@takes_old_name("before", "after")
class Renamed(eqx.Module):
    after: Any = None


def test_the_warning_names_the_line_of_the_caller():
    kind: Any = Renamed
    with pytest.warns(DeprecationWarning) as seen:
        kind(before=1)
    assert seen[0].filename == __file__


def test_the_old_name_of_linear_scans_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match="now called `AbstractLinearScan`") as seen:
        assert parallel_rnn.AbstractRecurrence is parallel_rnn.AbstractLinearScan
    assert seen[0].filename == __file__
