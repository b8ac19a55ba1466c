"""An f that asks other series or devices: all of them together are one recurrence."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    AssociativeScan,
    DiagonalAdjoint,
    ImplicitAdjoint,
    IteratedAdjoint,
    Jacobi,
    QuasiDEER,
    Sequential,
    scan,
    solve,
)

from recurrences import largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised", "chunks_of_short_sequences")
LENGTH = 300
WEIGHTS = np.linspace(-1.3, 0.9, 3)
REFUSED = "`f` asks other series or devices, along 'series'"


class Coupled(eqx.Module):
    """Series that see what they are on average."""

    weight: jax.Array

    def __call__(self, s, x):
        return jnp.tanh(self.weight * s + 0.7 * jax.lax.pmean(s, "series") + x)


def inputs():
    return jax.random.normal(jax.random.key(0), (len(WEIGHTS), LENGTH, 1))


def all_series(solved, weights, xs):
    def one(weight, xs):
        return solved(Coupled(weight), jnp.zeros(1), xs)

    return jax.vmap(one, axis_name="series")(weights, xs)


def by_scan(f, s0, xs, solver):
    def step(s, x):
        s = f(s, x)
        return s, s

    return scan(step, s0, xs, solver=solver)[1]


def by_solve(f, s0, xs, solver):
    return solve(f, s0, xs, solver).value


@pytest.mark.parametrize("solver", [None, Sequential()])
@pytest.mark.parametrize("run", [by_solve, by_scan])
def test_steps_in_turn_are_those_of_a_scan(run, solver):
    """Gradients too, which go from each series to all others."""

    def total(solved, weights):
        return jnp.sum(all_series(solved, weights, inputs()) ** 2)

    ours = jax.value_and_grad(partial(total, partial(run, solver=solver)))(WEIGHTS)
    wanted = jax.value_and_grad(partial(total, reference))(WEIGHTS)
    assert largest_difference(ours, wanted) < 1e-10


@pytest.mark.parametrize(
    "options",
    [
        {"solver": QuasiDEER()},
        {"solver": DEER(rtol=1e-3)},
        {"solver": ELK()},
        {"chunk": 20},
        {"window": 50},
        {"guess": "zeros"},
        {"max_steps": LENGTH},
        {"solver": QuasiDEER(), "fallback": Sequential()},
        {"adjoint": IteratedAdjoint()},
        {"adjoint": DiagonalAdjoint()},
        {"adjoint": ImplicitAdjoint(AssociativeScan())},
        {"solver": Sequential(), "adjoint": IteratedAdjoint(chunk=20)},
    ],
    ids=str,
)
def test_an_iteration_is_refused(options):
    with pytest.raises(TypeError, match=REFUSED):
        all_series(lambda *args: solve(*args, **options).value, WEIGHTS, inputs())


def test_what_an_iteration_would_call_right():
    """The first series sees the second count, which an iteration finds one step at a time.

    It is 0 as long as the second is small, so it fits before the second has got anywhere.
    """

    def f(s, is_counting):
        late = jnp.where(jax.lax.pmean(s, "series") > 10, 1.0, 0.0)
        return jnp.where(is_counting, s + 1, late)

    def run(solved):
        is_counting = jnp.stack([jnp.zeros(100, bool), jnp.ones(100, bool)])
        return jax.vmap(partial(solved, f, jnp.zeros(())), axis_name="series")(is_counting)

    wanted = run(reference)
    assert wanted[0, -1] == 1
    assert largest_difference(run(partial(by_solve, solver=None)), wanted) == 0
    with pytest.raises(TypeError, match=REFUSED):
        run(partial(by_solve, solver=Jacobi()))


def swapped(s):
    return jax.lax.ppermute(s, "series", [(0, 1), (1, 2), (2, 0)])


def shuffled(s):
    return jax.lax.pshuffle(s, "series", [2, 0, 1])


def gathered(s):
    return jnp.sum(jax.lax.all_gather(s, "series"), axis=0)


def scattered(s):
    return jax.lax.psum_scatter(jnp.stack([s] * 3), "series")


def within_jit(s):
    return jax.jit(lambda s: jax.lax.pmax(s, "series"))(s)


def within_a_branch(s):
    return jax.lax.cond(s[0] > 0, lambda: jax.lax.psum(s, "series"), lambda: s)


def within_a_loop(s):
    return jax.lax.fori_loop(0, 2, lambda _, s: jax.lax.pmin(s, "series"), s)


def within_a_derivative(s):
    return jax.grad(lambda s: jnp.sum(jax.lax.all_gather(s, "series") ** 2))(s)


ASKING = [swapped, shuffled, gathered, scattered]
ASKING += [within_jit, within_a_branch, within_a_loop, within_a_derivative]


@pytest.mark.parametrize("asking", ASKING)
def test_however_f_asks_it_is_seen(asking):
    """By default too, which would take chunks else."""

    def run(solved):
        def f(s, x):
            return jnp.tanh(0.5 * s + 0.1 * asking(s) + x)

        return jax.vmap(partial(solved, f, jnp.zeros(1)), axis_name="series")(inputs())

    assert largest_difference(run(partial(by_solve, solver=None)), run(reference)) < 1e-12
    with pytest.raises(TypeError, match=REFUSED):
        run(partial(by_solve, solver=QuasiDEER()))


@pytest.mark.parametrize("solver", [None, QuasiDEER()])
def test_an_axis_that_f_makes_is_its_own(solver):
    """So one state that holds those of all devices can be iterated on."""
    mesh = jax.make_mesh((1,), ("series",), axis_types=(jax.sharding.AxisType.Auto,))
    series = jax.sharding.PartitionSpec("series")

    @partial(jax.shard_map, mesh=mesh, in_specs=series, out_specs=series)
    def f(s, x):
        same = jax.lax.ppermute(s, "series", [(0, 0)])
        return jnp.tanh(0.5 * s + 0.3 * jax.lax.pmean(same, "series") + x)

    xs = inputs()[0]
    found = solve(f, jnp.zeros(1), xs, solver).value
    assert largest_difference(found, reference(f, jnp.zeros(1), xs)) < 1e-12


@pytest.mark.parametrize("solver", [None, QuasiDEER()])
def test_to_ask_which_series_it_is_asks_no_other(solver):
    def f(s, x):
        weight = jnp.asarray([0.5, -0.2, 0.1])[jax.lax.axis_index("series")]
        return jnp.tanh(weight * s + x)

    def run(solved):
        return jax.vmap(partial(solved, f, jnp.zeros(1)), axis_name="series")(inputs())

    assert largest_difference(run(partial(by_solve, solver=solver)), run(reference)) < 1e-12


WITHIN = {
    "softmax": lambda s: jnp.sum(jax.vmap(lambda a: jax.nn.softmax(s * a))(s), axis=0),
    "derivative of a maximum": lambda s: jax.jacfwd(lambda s: s.max())(s) * s,
    "sum": lambda s: jax.vmap(jnp.sum)(s[:, None] * s[None]),
}


@pytest.mark.parametrize("name", WITHIN)
def test_an_axis_of_an_array_is_nobody(name):
    """`vmap` within f names it by an integer of NumPy."""

    def f(s, x):
        return jnp.tanh(0.2 * WITHIN[name](s) + x)

    xs = inputs()[0]
    s0 = jnp.asarray([0.1, 0.2, 0.4])
    found = solve(f, s0, xs, Jacobi()).value
    assert largest_difference(found, reference(f, s0, xs)) < 1e-12


@pytest.mark.parametrize("solver", [None, QuasiDEER()])
def test_outputs_of_a_scan_may_ask(solver):
    """The states do not, so each series is a recurrence of its own."""

    def body(s, x):
        s = jnp.tanh(0.7 * s + x)
        return s, jax.lax.pmean(s, "series")

    def of_all(run):
        return jax.vmap(lambda xs: run(body, jnp.zeros(1), xs)[1], axis_name="series")(inputs())

    found, wanted = of_all(partial(scan, solver=solver)), of_all(jax.lax.scan)
    assert largest_difference(found, wanted) < 1e-12
