"""What JAX does to a function, done to `scan`, `solve` and `solve_batch` as to `jax.lax.scan`."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import eval_jaxpr

from parallel_rnn import (
    IteratedAdjoint,
    Jacobi,
    QuasiDEER,
    Sequential,
    scan,
    solve,
    solve_batch,
)

from recurrences import run_alone

pytestmark = pytest.mark.usefixtures("barely_optimised")

T, D = 8, 2
ITERATED = QuasiDEER()
W = np.array([[0.3, -0.5], [0.4, 0.2]])
START = np.array([0.1, -0.2])
INPUTS = np.linspace(-1.0, 1.5, T * D).reshape(T, D)


def cell(w, s, x):
    return jnp.tanh(w @ s + x)


def by_lax(w, s0, xs, f=cell):
    def body(s, x):
        s = f(w, s, x)
        return s, s

    return jax.lax.scan(body, s0, xs)[1]


def by_solve(w, s0, xs, f=cell, solver: Any = ITERATED, **options):
    return solve(partial(f, w), s0, xs, solver, **options).value


def by_scan(w, s0, xs, f=cell, **options):
    def body(s, x):
        s = f(w, s, x)
        return s, s

    return scan(body, s0, xs, **options)[1]


def by_batch(w, s0, xs, f=cell, solver: Any = ITERATED, **options):
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (s0, xs))
    return solve_batch(partial(f, w), *both, solver=solver, **options).value[1]


OURS = {"solve": by_solve, "scan": by_scan, "solve_batch": by_batch}


def total(run, w, s0, xs):
    return jnp.sum(jnp.sin(run(w, s0, xs)))


def directional(run, *at):
    def last(w):
        return run(w, *at[1:])[-1]

    return jax.jvp(last, at[:1], (jnp.ones_like(at[0]),))[1]


def over_each(run, w, s0, xs):
    """`vmap` over every argument, one in the other: (2, 2, 2, T, D)."""
    each = jax.vmap(jax.vmap(jax.vmap(run, (None, None, 0)), (None, 0, None)), (0, None, None))
    return each(*(jnp.stack([a, 0.5 * a]) for a in (w, s0, xs)))


def grad_of_vmap(run, *at):
    return jax.jit(jax.value_and_grad(partial(total, partial(over_each, run))))(*at)


def within_while(run, w, s0, xs):
    def turn(state):
        count, s = state
        return count + 1, run(w, s, xs)[-1]

    return jax.lax.while_loop(lambda state: state[0] < 3, turn, (0, s0))[1]


def within_scan(run, w, s0, xs):
    def turn(s, _):
        s = run(w, s, xs)[-1]
        return s, s

    return jax.lax.scan(turn, s0, length=3)[1]


def donated(run, *at):
    return jax.jit(partial(run, at[0]), donate_argnums=(0,))(jnp.array(at[1]), at[2])


def in_threads(run, *at):
    def call(_):
        with jax.enable_x64(True):
            return run(*at)

    with ThreadPoolExecutor(4) as pool:
        return jnp.stack(list(pool.map(call, range(4))))


def exported(run, *at):
    return jax.export.export(jax.jit(run))(*at).call(*at)


def evaluated_jaxpr(run, *at):
    program = jax.make_jaxpr(run)(*at)
    return eval_jaxpr(program.jaxpr, program.consts, *at)[0]


def shapes_only(run, *at):
    shape = jax.eval_shape(run, *at)
    return jnp.zeros(shape.shape, shape.dtype)


def without_nans(run, *at):
    with jax.debug_nans(True):
        return run(*at)


def one_by_one(run, *at):
    with jax.disable_jit():
        return run(at[0], at[1], at[2][:3])


TRANSFORMATIONS = {
    "jit": lambda run, *at: jax.jit(run)(*at),
    "jit of grad": lambda run, *at: jax.jit(jax.value_and_grad(partial(total, run), (0, 1, 2)))(
        *at
    ),
    "grad of checkpoint": lambda run, *at: jax.jit(jax.grad(partial(total, jax.checkpoint(run))))(
        *at
    ),
    "jvp": directional,
    "hessian": lambda run, *at: jax.jit(jax.hessian(partial(total, run), 1))(*at),
    "grad of vmap": grad_of_vmap,
    "within cond": lambda run, w, *at: jax.jit(
        lambda w: jax.lax.cond(w[0, 0] > 0, lambda: run(w, *at), lambda: 0 * run(w, *at))
    )(w),
    "within while_loop": within_while,
    "within scan": within_scan,
    "within map": lambda run, w, s0, xs: jax.lax.map(
        lambda s0: run(w, s0, xs), jnp.stack([s0, 2 * s0])
    ),
    "within scan, grad": lambda run, *at: jax.grad(lambda *at: jnp.sum(within_scan(run, *at) ** 2))(
        *at
    ),
    "export": exported,
    "make_jaxpr": evaluated_jaxpr,
    "eval_shape": shapes_only,
    "debug_nans": without_nans,
    "donate": donated,
    "threads": in_threads,
    "disable_jit": one_by_one,
}


def assert_same(found, wanted):
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


# The whole table through `scan`, which calls `solve`; through these what they do themselves.
CALLED_DIRECTLY = [
    "jit of grad",
    "grad of vmap",
    "jvp",
    "within scan",
    "threads",
    "debug_nans",
    "export",
]
# A program that raises cannot be exported, and there is no `throw` for `scan`: see below.
CASES = [("scan", name) for name in TRANSFORMATIONS if name != "export"]
CASES += [(entry, name) for entry in ("solve", "solve_batch") for name in CALLED_DIRECTLY]


@pytest.mark.filterwarnings("ignore:Some donated buffers")
@pytest.mark.parametrize(("entry", "name"), CASES)
def test_transformation(entry, name):
    at = [jnp.asarray(a) for a in (W, START, INPUTS)]
    transform = TRANSFORMATIONS[name]
    run = OURS[entry]
    if name == "export":
        run = partial(run, throw=False)
    assert_same(transform(run, *at), transform(by_lax, *at))


def test_a_program_may_export_with_a_symbolic_batch_but_not_a_symbolic_length():
    length, series = (jax.export.symbolic_shape(shape) for shape in ("T,2", "B,8,2"))

    def export(run, *shapes):
        structs = [jax.ShapeDtypeStruct(shape, float) for shape in shapes]
        return jax.export.export(jax.jit(run))(*structs)

    run = partial(by_solve, jnp.asarray(W), throw=False)
    with pytest.raises(TypeError, match=r"shape \(T, 2\).*`lengths`"):
        export(run, (D,), length)
    program = export(jax.vmap(run, (None, 0)), (D,), series)
    xs = jnp.stack([jnp.asarray(INPUTS)] * 3)
    assert_same(program.call(jnp.asarray(START), xs)[2], by_lax(W, START, INPUTS))

    def batch(starts, xs, **options):
        return solve_batch(partial(cell, W), starts, xs, throw=False, **options).value

    starts = jnp.stack([jnp.asarray(START)] * 3)
    program = export(batch, (series[0], D), series)
    assert_same(program.call(starts, xs), batch(starts, xs))
    with pytest.raises(TypeError, match="`group` is 2, but the number of series is B"):
        export(partial(batch, group=2), (series[0], D), series)


@pytest.mark.parametrize("solver", [Sequential(), QuasiDEER()])
def test_a_trace_holds_no_nan_while_nans_are_looked_for(solver):
    def trace(step, states, residual):
        return states

    options = {"trace": trace, "window": None, "max_steps": 3 * T}
    with jax.debug_nans(True):
        kept = solve(partial(cell, W), START, INPUTS, solver, **options).trace
    assert jnp.all(jnp.isinf(kept[-1])) and jnp.all(jnp.isfinite(kept[0]))


@jax.custom_vjp
def spike(v):
    return jnp.where(v > 1, 1.0, 0.0)


spike.defvjp(lambda v: (spike(v), v), lambda v, g: (g / (1 + jnp.abs(v - 1)) ** 2,))


def spiking(w, v, x):
    return 0.9 * v * (1.0 - spike(v)) + w @ x


@pytest.mark.parametrize("solver", [Sequential(), None])
def test_a_custom_vjp_has_the_gradient_of_the_scan(solver):
    at = [jnp.asarray(a) for a in (W, START, 3 * INPUTS)]
    for derivative in (TRANSFORMATIONS["jit of grad"], grad_of_vmap):
        wanted = derivative(partial(by_lax, f=spiking), *at)
        assert_same(derivative(partial(by_scan, f=spiking, solver=solver), *at), wanted)


def test_what_needs_a_forward_derivative_says_so():
    at = [jnp.asarray(a) for a in (W, START, INPUTS)]
    with pytest.raises(TypeError, match=r"no forward derivative .* `solver=Sequential\(\)`"):
        by_solve(*at, f=spiking, solver=QuasiDEER())
    # These take no derivative of f, but their gradient does.
    for options in ({"solver": Jacobi()}, {"solver": None, "adjoint": IteratedAdjoint()}):
        run = partial(by_solve, f=spiking, **options)
        assert_same(run(*at), by_lax(*at, f=spiking))
        with pytest.raises(TypeError, match=r"no forward derivative .* `solver=Sequential\(\)`"):
            jax.grad(partial(total, run))(*at)


IGNORED = {
    "not used": lambda w, s, x: 0.5 * s + 1.0,
    "stopped": lambda w, s, x: jnp.tanh(jax.lax.stop_gradient(w) @ s + jax.lax.stop_gradient(x)),
    "compared": lambda w, s, x: jnp.where((x > 0) & (w[0] > 0), 0.5 * s, s + 1.0),
    "an index": lambda w, s, x: (
        0.5 * s + s[jnp.asarray(x[0] > 0, int)] + w[0, 1].astype(int).astype(float)
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_never_reaches_the_state_has_no_gradient(name):
    def with_outputs(run, w, s0, xs):
        return jnp.sum(run(w, s0, xs, IGNORED[name]) * xs)

    at = [jnp.asarray(a) for a in (W, START, INPUTS)]
    for derivative in (
        lambda run: jax.jit(jax.grad(run, (0, 2)))(*at),
        lambda run: jax.jvp(lambda w, xs: run(w, at[1], xs), (at[0], at[2]), (at[0], at[2])),
    ):
        ours, lax = (derivative(partial(with_outputs, run)) for run in (by_scan, by_lax))
        assert_same(ours, lax)


def test_integer_inputs_are_no_obstacle():
    table, places = jnp.asarray(INPUTS), jnp.arange(T)[::-1]

    def last(run, table):
        return jnp.sum(run(table, jnp.asarray(START), places, lambda w, s, i: s * 0.5 + w[i]))

    assert_same(jax.grad(partial(last, by_scan))(table), jax.grad(partial(last, by_lax))(table))


ERRORS_AS_NAN = """
import jax, jax.numpy as jnp
from parallel_rnn import scan
run = jax.jit(lambda s0, xs: scan(lambda s, x: (jnp.tanh(s + x), s), s0, xs)[0])
at = (jnp.zeros(3), jnp.ones((5, 3)))
assert jnp.allclose(jax.export.export(run)(*at).call(*at), run(*at), rtol=1e-6)
overflow = jax.jit(lambda s0: scan(lambda s, x: (jnp.exp(s), s), s0, None, length=9)[1])
mesh = jax.make_mesh((1,), ("series",), (jax.sharding.AxisType.Auto,))
spec = jax.sharding.PartitionSpec("series")
sharded = jax.shard_map(overflow, mesh=mesh, in_specs=spec, out_specs=spec)
for run in overflow, jax.vmap(overflow), sharded:
    assert jnp.all(jnp.isnan(run(jnp.ones(3))))
"""


def test_where_errors_become_nan_scan_exports_and_failures_are_nan():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EQX_ON_ERROR": "nan"}
    subprocess.run([sys.executable, "-c", ERRORS_AS_NAN], env=environment, check=True)


def test_alone_in_a_process_with_two_devices():
    run_alone("alone.py", num_devices=2)
