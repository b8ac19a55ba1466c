"""`solve_batch` against `jax.lax.scan` of every series, with padding and without."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import QuasiDEER, QuasiELK, Sequential, SolveError, solve, solve_batch
from parallel_rnn._automatic.worth import MANY
from parallel_rnn.cells import GRUCell

from recurrences import gru, largest_difference, reference

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("barely_optimised")]
LENGTH = 40
LENGTHS = np.array([40, 0, 1, 17, 39])
COUNTS = (np.arange(LENGTH) < LENGTHS[:, None])[..., None]


def batch():
    """Series of different difficulty, so that they need different numbers of iterations."""
    cell, _, _ = gru(4, 1)
    s0 = jax.random.normal(jax.random.key(1), (5, 4))
    scales = jnp.array([0.0, 0.1, 1.0, 3.0, 10.0])[:, None, None]
    return cell, s0, scales * jax.random.normal(jax.random.key(2), (5, LENGTH, 4))


def all_by_scan(cell, s0, xs):
    return jax.vmap(lambda s, x: reference(cell, s, x))(s0, xs)


@pytest.mark.parametrize("solver", [QuasiDEER(), QuasiELK(0.1), Sequential()])
@pytest.mark.parametrize(("group", "window"), [(1, "auto"), (2, 16), (5, None)])
def test_padding_is_ignored(solver, group, window):
    cell, s0, xs = batch()
    options = {"lengths": LENGTHS, "group": group, "window": window}
    padded = jnp.where(COUNTS, xs, jnp.nan)

    def ours(xs):
        states = solve_batch(cell, s0, xs, solver, **options).value
        return jnp.sum(jnp.sin(states)), states

    def theirs(xs):
        states = jnp.where(COUNTS, all_by_scan(cell, s0, xs), 0)
        return jnp.sum(jnp.sin(states)), states

    gradient, states = jax.grad(ours, has_aux=True)(padded)
    wanted_gradient, wanted = jax.grad(theirs, has_aux=True)(xs)
    assert largest_difference(states, wanted) < 1e-10
    assert largest_difference(gradient, wanted_gradient) < 1e-8
    verified = solve_batch(cell, s0, padded, solver, **options).stats["num_verified"]
    np.testing.assert_array_equal(verified, LENGTHS)


def test_every_series_takes_its_own_iterations():
    cell, s0, xs = batch()
    solution = solve_batch(cell, s0, xs, QuasiDEER())
    assert largest_difference(solution.value, all_by_scan(cell, s0, xs)) < 1e-10
    alone = [
        int(solve(cell, s, x, QuasiDEER()).stats["num_steps"]) for s, x in zip(s0, xs, strict=True)
    ]
    # Another program may round f in another way, and end an iteration earlier or later.
    assert np.abs(np.array(solution.stats["num_steps"]) - alone).max() <= 1
    assert len(set(alone)) > 2


class Counting(eqx.Module):
    """A tanh network of independent units that counts its evaluations."""

    weight: jax.Array
    evaluated: list = eqx.field(static=True)

    def __call__(self, state, x):
        return jnp.tanh(self.weight * state + x)

    def value_and_diag(self, state, x):
        jax.debug.callback(lambda s: self.evaluated.append(s), state[0])
        value = self(state, x)
        return value, self.weight * (1 - value * value)


def test_a_slow_series_does_not_make_the_others_iterate():
    cell = Counting(jnp.full(2, 0.9), [])
    s0 = jnp.zeros((3, 2))
    xs = jnp.array([0.0, 0.1, 5.0])[:, None, None] * jax.random.normal(jax.random.key(0), (3, 9, 2))
    # Under the default tolerance measurements evaluate f as well.
    solver = QuasiDEER(rtol=1e-10, atol=1e-10)
    steps = solve_batch(cell, s0, xs, solver).stats["num_steps"]
    jax.effects_barrier()
    # Every iteration evaluates all nine steps, and so does the look at the last iterate.
    assert len(cell.evaluated) == 9 * int(jnp.sum(steps + 1))
    assert len(set(steps.tolist())) > 1


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a GPU iterates by default")
@pytest.mark.parametrize(
    ("vmap_method", "num_series", "at_once"),
    [("broadcast_all", MANY, MANY), ("broadcast_all", MANY - 1, 1), (None, MANY, 1)],
)
def test_many_series_take_their_steps_together(vmap_method, num_series, at_once):
    """Where `f` takes a batch, which a call to the host need not."""
    sizes = set()

    def host(s):
        sizes.add(s.size)
        return np.cos(s)

    def f(s, x):
        kind = jax.ShapeDtypeStruct(s.shape, s.dtype)
        return 0.5 * jax.pure_callback(host, kind, s, vmap_method=vmap_method) + x

    # The thread that calls the host knows no float64.
    xs = jax.random.normal(jax.random.key(0), (num_series, 6, 1), jnp.float32)
    s0 = jnp.zeros((num_series, 1), jnp.float32)
    wanted = all_by_scan(lambda s, x: 0.5 * jnp.cos(s) + x, s0, xs)
    for solver in (None, Sequential()):
        assert largest_difference(solve_batch(f, s0, xs, solver).value, wanted) < 1e-6
    assert sizes == {at_once}


@jax.custom_vjp
def square(v):
    return v * v


square.defvjp(lambda v: (v * v, v), lambda v, g: (2 * v * g,))


@pytest.mark.parametrize("options", [{}, {"solver": Sequential()}, {"reverse": True}, {"group": 2}])
def test_padding_of_a_custom_vjp_may_overflow(options):
    """It has the derivatives of a scan only, which goes through padding."""
    s0, xs = jnp.full((2, 2), 3.0), jnp.ones((2, 100, 2))
    lengths = [3, 2]

    def ours(w):
        f = lambda s, x: square(w * s) + x  # noqa: E731
        return jnp.sum(solve_batch(f, s0, xs, lengths=lengths, **options).value)

    def theirs(w):
        f = lambda s, x: (w * s) ** 2 + x  # noqa: E731
        series = zip(s0, xs, lengths, strict=True)
        return sum(jnp.sum(reference(f, s, x[:n])) for s, x, n in series)

    found, wanted = jax.value_and_grad(ours)(1.0), jax.value_and_grad(theirs)(1.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize("window", [7, 50])
def test_windows_that_reach_back_go_on_from_the_last_state(window):
    xs = jnp.cos(jnp.arange(10.0))[None, :, None]
    s0 = jnp.zeros((1, 1))
    f = lambda s, x: 0.3 * square(s) + x  # noqa: E731
    found = solve_batch(f, s0, xs, Sequential(), window=window, lengths=[10]).value
    assert largest_difference(found, all_by_scan(f, s0, xs)) < 1e-14


def test_checks_in_f_are_not_made_of_padding():
    def f(s, x):
        return eqx.error_if(s + x, s[0] > 3.5, "beyond the end")

    found = solve_batch(f, jnp.zeros((1, 1)), jnp.ones((1, 8, 1)), lengths=[3]).value
    assert found[0, :, 0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]


def test_guesses_belong_to_their_series():
    cell, s0, xs = batch()
    answer = all_by_scan(cell, s0, xs)
    assert (solve_batch(cell, s0, xs, guess=answer).stats["num_steps"] == 0).all()
    assert largest_difference(solve_batch(cell, s0, xs, guess="zeros").value, answer) < 1e-10


@pytest.mark.parametrize(("group", "window"), [(1, 16), (5, None)])
def test_each_series_is_reversed_within_its_own_length(group, window):
    cell, s0, xs = batch()
    padded = jnp.where(COUNTS, xs, jnp.nan)
    options = {"lengths": LENGTHS.tolist(), "group": group, "window": window, "reverse": True}

    def ours(xs):
        states = solve_batch(cell, s0, xs, **options).value
        return jnp.sum(jnp.sin(states)), states

    def theirs(xs):
        total, all_states = 0.0, []
        for s, x, n in zip(s0, xs, LENGTHS.tolist(), strict=True):
            states = jax.lax.scan(lambda s, x: (cell(s, x),) * 2, s, x[:n], reverse=True)[1]
            total += jnp.sum(jnp.sin(states))
            all_states.append(jnp.zeros((LENGTH, 4)).at[:n].set(states))
        return total, jnp.stack(all_states)

    gradient, states = jax.grad(ours, has_aux=True)(padded)
    wanted_gradient, wanted = jax.grad(theirs, has_aux=True)(xs)
    assert largest_difference(states, wanted) < 1e-10
    assert largest_difference(gradient, wanted_gradient) < 1e-8
    # A guess is in the order of the answer. One iteration mends what some processors round in
    # another way for all steps of a window than for one after another.
    again = solve_batch(cell, s0, padded, guess=wanted, **options)
    assert (again.stats["num_steps"] <= again.stats["num_windows"]).all()
    turned = solve_batch(cell, s0, padded, guess=wanted[:, ::-1], **options)
    assert (turned.stats["num_steps"] > turned.stats["num_windows"]).any()


def test_lengths_under_jit_count_within_the_series():
    cell, s0, xs = batch()
    run = jax.jit(lambda lengths: solve_batch(cell, s0, xs, lengths=lengths).stats["num_verified"])
    assert run(jnp.array([-1, 0, 3, 40, 99])).tolist() == [0, 0, 3, 40, 40]


@pytest.mark.parametrize("reverse", [False, True])
def test_inputs_without_a_zero(reverse):
    keys = jax.random.split(jax.random.key(0), (3, 6))

    def f(s, x):
        key, flag = x
        kept = jnp.where(jax.random.bernoulli(key, 0.9, s.shape), s, 0)
        return jnp.tanh(kept + jnp.where(flag, 1.0, 2.0))

    flags = jnp.arange(18).reshape(3, 6) % 3 == 0
    lengths = [6, 4, 0]
    found = solve_batch(f, jnp.zeros((3, 2)), (keys, flags), lengths=lengths, reverse=reverse).value
    for i, n in enumerate(lengths):
        xs = (keys[i, :n], flags[i, :n])
        wanted = jax.lax.scan(lambda s, x: (f(s, x), f(s, x)), jnp.zeros(2), xs, reverse=reverse)[1]
        assert largest_difference(found[i, :n], wanted) < 1e-12
        assert (found[i, n:] == 0).all()


def test_no_inputs():
    s0 = jnp.array([[0.1], [0.2]])
    solution = solve_batch(lambda s, _: jnp.cos(s), s0, None, QuasiDEER(), length=30)
    wanted = jax.vmap(lambda s: reference(lambda s, _: jnp.cos(s), s, None, 30))(s0)
    assert largest_difference(solution.value, wanted) < 1e-10


def test_the_first_series_that_failed_is_named():
    cell, s0, xs = batch()
    with pytest.raises(SolveError, match=r"2 of 5 series failed. The first is series 2:\n.*NaN"):
        solve_batch(cell, s0, xs.at[2:4, 7].set(jnp.nan))
    solution = solve_batch(cell, s0, xs.at[2, 7].set(jnp.nan), QuasiDEER(), throw=False)
    assert solution.stats["num_verified"].tolist() == [40, 40, 7, 40, 40]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"s0": jnp.zeros((3, 4))}, ValueError, r"\[3, 5\]"),
        ({"lengths": jnp.zeros(5)}, TypeError, "must hold integers"),
        ({"lengths": 3}, ValueError, "number of series"),
        ({"lengths": [7, 7, -1, 7, 7]}, ValueError, "`lengths` holds -1, but a series has 7 steps"),
        ({"lengths": [7, 7, 8, 7, 7]}, ValueError, "`lengths` holds 8, .* between 0 and 7"),
        ({"lengths": [[1]] * 5}, TypeError, r"`lengths` is int64\[5,1\]"),
        ({"lengths": [True] * 5}, TypeError, "must hold integers"),
        ({"reverse": "yes"}, TypeError, "`reverse` is 'yes'"),
        ({"windows": 3}, TypeError, "`solve_batch` has no option `windows`"),
        ({"group": 0}, ValueError, "`group` is 0"),
        ({"group": "all"}, TypeError, "`group` is 'all'"),
        ({"group": np.array([1, 2])}, TypeError, "`group` is array"),
        ({"xs": jnp.zeros(5)}, ValueError, r"`xs` has a leaf float\d+\[5\]; .* axes B, .* and T"),
        ({"s0": jnp.zeros((0, 4)), "xs": jnp.zeros((0, 7, 4))}, ValueError, "no series"),
        ({"solver": QuasiDEER}, TypeError, "with brackets"),
    ],
)
def test_wrong_arguments(change, error, message):
    cell = GRUCell(4, 4, key=jax.random.key(0))
    with pytest.raises(error, match=message):
        solve_batch(cell, **({"s0": jnp.zeros((5, 4)), "xs": jnp.zeros((5, 7, 4))} | change))
