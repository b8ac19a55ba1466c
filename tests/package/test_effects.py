"""What f does beside returning a state, it does as often and in the order that a scan does it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import Sequential, scan, solve
from parallel_rnn._automatic.worth import HIDDEN_IN_PART

from recurrences import largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised", "chunks_of_short_sequences")
LENGTH = 1000


def seen_by(run, *args):
    """The numbers that `f` reports while `run(report, *args)` is computed."""
    seen = []

    def report(number):
        jax.debug.callback(lambda number: seen.append(float(number)), number)

    jax.block_until_ready(run(report, *args))
    jax.effects_barrier()
    return seen


@pytest.mark.parametrize("solver", [None, Sequential()])
def test_each_step_is_taken_once_in_order(solver):
    def run(report, steps):
        def f(s, x):
            report(x)
            return jnp.cos(s) + 0 * x

        return solve(f, jnp.ones(1), steps, solver).value

    steps = jnp.arange(LENGTH, dtype=float)
    assert seen_by(run, steps) == steps.tolist()


class Reporting(eqx.Module):
    """A cell whose projection is worth doing beforehand, and reports."""

    weight: jax.Array
    report: Callable

    def project(self, x):
        self.report(x[0])
        return self.weight @ x

    def recurrent(self, s, z):
        return jnp.cos(s + z)

    def __call__(self, s, x):
        return self.recurrent(s, self.project(x))


def test_projections_are_made_once_in_order():
    weight = jnp.ones((9, 1 + HIDDEN_IN_PART // 9))

    def run(report, xs):
        return solve(Reporting(weight, report), jnp.ones(9), xs).value

    xs = jnp.broadcast_to(jnp.arange(float(LENGTH))[:, None], (LENGTH, weight.shape[1]))
    assert seen_by(run, xs) == xs[:, 0].tolist()


@pytest.mark.parametrize("carries_counter", [False, True])
def test_a_scan_reports_the_carries_of_its_steps(carries_counter):
    def run(report, by):
        def body(carry, x):
            s, n = carry
            report(s)
            return (jnp.cos(s) + x, n + 1 if carries_counter else n), n

        return by(body, (jnp.ones(()), jnp.zeros((), int)), jnp.arange(5.0))

    assert seen_by(run, scan) == seen_by(run, jax.lax.scan)


BODIES = {
    "the state": lambda passed, s, n: ((passed(s), n), n),
    "an output": lambda passed, s, n: ((s, n), passed(s)),
    "a counter": lambda passed, s, n: ((s, passed(n)), n),
    "an output beside a counter": lambda passed, s, n: ((s, n + 1), passed(s)),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_scan_reports_once_from_within_a_call(name):
    def run(report, by):
        @jax.jit
        def passed(number):
            report(number)
            return number + 1

        def body(carry, x):
            s, n = carry
            return BODIES[name](passed, jnp.cos(s) + x, n)

        return by(body, (jnp.ones(()), jnp.zeros((), int)), jnp.arange(5.0))

    assert seen_by(run, scan) == seen_by(run, jax.lax.scan)


@pytest.mark.parametrize("size", [3, 20])
def test_a_gradient_takes_no_step_again(size):
    def run(report, s0):
        def f(s, x):
            report(x)
            return jnp.cos(s) + x

        return jax.grad(lambda s0: jnp.sum(solve(f, s0, jnp.arange(6.0)).value))(s0)

    assert seen_by(run, jnp.ones(size)) == list(range(6))


def test_no_state_is_looked_at_that_no_step_leads_to():
    """Checks in f hold along the orbit, and not from the starts that chunks guess."""
    xs = jnp.linspace(0, 1000, LENGTH)[:, None]

    def f(s, x):
        off = jnp.any(jnp.abs(s - 0.5 * x) > 10)
        return 0.5 * x + 0 * eqx.error_if(s, off, "off the orbit")

    assert largest_difference(solve(f, jnp.zeros(1), xs).value, reference(f, jnp.zeros(1), xs)) == 0
