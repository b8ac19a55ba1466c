"""Run by test_transformations.py in a process of its own, with two devices.

It imports nothing but JAX and the package: other packages register rules with JAX, which would
hide that one is missing.
"""

import sys
from contextlib import contextmanager
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from parallel_rnn import (
    ELK,
    AssociativeScan,
    ImplicitAdjoint,
    IteratedAdjoint,
    QuasiDEER,
    Sequential,
    UnrolledAdjoint,
    scan,
    solve,
    solve_batch,
)

assert not {"lineax", "optimistix", "diffrax"} & set(sys.modules)

SOLVERS = [Sequential(), QuasiDEER()]
START, INPUTS = jnp.asarray([0.1, -0.2]), jnp.linspace(-1.0, 1.5, 16).reshape(8, 2)
W = jnp.asarray([[0.3, -0.5], [0.4, 0.2]])


@contextmanager
def refused(kind, words):
    """What `pytest.raises` is: what runs within has to fail so."""
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}: where it works now, say so in the documentation")


def body(f, w):
    def step(s, x):
        s = f(w, s, x)
        return s, s

    return step


def by_lax(f, w, s0, xs):
    return jax.lax.scan(body(f, w), s0, xs)[1]


def by_scan(f, solver, w, s0, xs):
    return scan(body(f, w), s0, xs, solver=solver)[1]


def total(run, *at):
    return jnp.sum(jnp.sin(run(*at)))


def same(found, wanted):
    leaves = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    assert all(jnp.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in leaves), (found, wanted)


def plain(w, s, x):
    return jnp.tanh(w @ s + x)


def cond(w, s, x):
    return jax.lax.cond(x[0] > 0, lambda: plain(w, s, x), lambda: 0.5 * s)


def switch(w, s, x):
    branches = [lambda: plain(w, s, x), lambda: 0.5 * s, lambda: x]
    return jax.lax.switch(jnp.asarray(x[0] + 1, int), branches)


def cond_of_state(w, s, x):
    return jax.lax.cond(s[0] > 0, lambda: plain(w, s, x), lambda: 0.5 * s + 0.1 * x)


def fori(w, s, x):
    return jax.lax.fori_loop(0, 3, lambda _, s: plain(w, s, x), s)


def select(w, s, x):
    return jnp.where(x > 0, plain(w, s, x), 0.5 * s)


def while_loop(w, s, x):
    def turn(state):
        return state[0] + 1, plain(w, state[1], x)

    return jax.lax.while_loop(lambda state: state[0] < 2, turn, (0, s))[1]


AT = (W, START, INPUTS)

for f, solver in (
    (cond, Sequential()),
    (cond, QuasiDEER()),
    (cond_of_state, QuasiDEER()),
    (switch, QuasiDEER()),
    (fori, QuasiDEER()),
    (select, QuasiDEER()),
):
    wanted = jax.jit(jax.value_and_grad(partial(total, partial(by_lax, f)), (0, 1, 2)))(*AT)
    ours = partial(total, partial(by_scan, f, solver))
    same(jax.jit(jax.value_and_grad(ours, (0, 1, 2)))(*AT), wanted)

# A while loop has a forward mode only.
wanted = jax.jvp(partial(total, partial(by_lax, while_loop)), AT, AT)
for solver in SOLVERS:
    same(jax.jvp(partial(total, partial(by_scan, while_loop, solver)), AT, AT), wanted)
    with refused(ValueError, "Reverse-mode differentiation does not work"):
        jax.grad(partial(total, partial(by_scan, while_loop, solver)))(*AT)

# The second derivative meets the transposed equation.
wanted = jax.hessian(partial(total, partial(by_lax, cond)), 1)(*AT)
same(jax.jit(jax.hessian(partial(total, partial(by_scan, cond, Sequential())), 1))(*AT), wanted)

P = jax.sharding.PartitionSpec
SERIES = (W, jnp.stack([START] * 2), jnp.stack([INPUTS, -INPUTS]))


def sharded(run, check_vma):
    """Each device has a series of its own; the parameters are those of all."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    places = (P(), P("batch"), P("batch"))
    series = jax.vmap(run, (None, 0, 0))
    return jax.shard_map(
        series, mesh=mesh, in_specs=places, out_specs=P("batch"), check_vma=check_vma
    )


wanted = jax.value_and_grad(partial(total, sharded(partial(by_lax, plain), True)))(*SERIES)
for solver in SOLVERS:
    for check_vma in (True, False):
        ours = sharded(partial(by_scan, plain, solver), check_vma)
        same(jax.jit(jax.value_and_grad(partial(total, ours)))(*SERIES), wanted)

each = jax.pmap(
    jax.value_and_grad(partial(total, partial(by_scan, plain, QuasiDEER()))), in_axes=(None, 0, 0)
)
same(jnp.sum(each(*SERIES)[0]), wanted[0])
same(jnp.sum(each(*SERIES)[1], axis=0), wanted[1])


@jax.custom_vjp
def bent(v):
    return jnp.tanh(v)


bent.defvjp(lambda v: (bent(v), v), lambda v, g: (g * 0.5 * v,))


def with_custom_vjp(w, s, x):
    return bent(w @ s + x)


def with_constant(w, s, x):
    """What is the same on all devices, as a part of a state that is another on each."""
    return jnp.stack([bent(w @ s + x)[0], jnp.zeros(())])


for f in (with_custom_vjp, with_constant):
    ours = jax.value_and_grad(partial(total, sharded(partial(by_scan, f, None), True)))
    scanned = jax.value_and_grad(partial(total, sharded(partial(by_lax, f), True)))
    same(jax.jit(ours)(*SERIES), scanned(*SERIES))

PARTS = {"a": SERIES[1], "b": jnp.zeros((2, 1))}


def with_constant_part(w, s, x):
    return {"a": jnp.tanh(w @ s["a"] + x), "b": jnp.zeros(1)}


for solver in (None, Sequential()):
    ours = sharded(
        lambda w, s0, xs: solve(partial(with_constant_part, w), s0, xs, solver).value["a"],  # noqa: B023
        True,
    )
    same(ours(W, PARTS, SERIES[2]), sharded(partial(by_lax, plain), True)(*SERIES))

OPTIONS: tuple[dict[str, Any], ...] = (
    {"guess": "zeros"},
    {"guess": jnp.zeros((8, 2))},
    {"adjoint": ImplicitAdjoint(AssociativeScan())},
    {"adjoint": IteratedAdjoint()},
    {"chunk": 3},
)
for options in OPTIONS:
    ours = sharded(
        lambda w, s0, xs: solve(partial(plain, w), s0, xs, **options).value,  # noqa: B023
        True,
    )
    same(jax.jit(jax.value_and_grad(partial(total, ours)))(*SERIES), wanted)

# Only what f closes over is another on every device.
weights = jnp.stack([W, 0.5 * W])
alone = jax.shard_map(
    lambda w: by_scan(plain, QuasiDEER(), w[0], START, INPUTS)[None],
    mesh=jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
    in_specs=P("batch"),
    out_specs=P("batch"),
)
same(alone(weights), jax.vmap(lambda w: by_lax(plain, w, START, INPUTS))(weights))

# Other axes of the mesh may be left to the compiler. JAX has no callbacks there, to raise by.
PARTLY = jax.make_mesh((1, 2), ("batch", "left"), axis_types=(jax.sharding.AxisType.Auto,) * 2)


def in_part(run, check_vma):
    series = jax.vmap(run, (None, 0, 0))
    options: Any = dict(axis_names={"batch"}, check_vma=check_vma)
    places = (P(), P("batch"), P("batch"))
    return jax.shard_map(series, mesh=PARTLY, in_specs=places, out_specs=P("batch"), **options)


def without_raising(solver, w, s0, xs):
    return solve(partial(plain, w), s0, xs, solver, throw=False).value


for solver in SOLVERS:
    for check_vma in (True, False):
        ours = in_part(partial(without_raising, solver), check_vma)
        same(jax.jit(jax.value_and_grad(partial(total, ours)))(*SERIES), wanted)
with refused(NotImplementedError, "leaves axes of the mesh ('left') to the compiler"):
    jax.jit(in_part(partial(by_scan, plain, QuasiDEER()), True))(*SERIES)


# Devices that ask each other take their steps in turn: no iteration is to wait for another device.
def coupled(w, s, x):
    return jnp.tanh(w @ s + jax.lax.pmean(s, "batch") + x)


of_scan = jax.value_and_grad(partial(total, sharded(partial(by_lax, coupled), True)))(*SERIES)
for solver in (None, Sequential()):
    ours = sharded(partial(by_scan, coupled, solver), True)
    same(jax.jit(jax.value_and_grad(partial(total, ours)))(*SERIES), of_scan)
with refused(TypeError, "`f` asks other series or devices, along 'batch'"):
    jax.jit(sharded(partial(by_scan, coupled, QuasiDEER()), True))(*SERIES)

# What does not work there says so, and the sentence names what does.
unrolled = sharded(
    lambda w, s0, xs: solve(partial(plain, w), s0, xs, adjoint=UnrolledAdjoint()).value, True
)
with refused(NotImplementedError, "Pass `adjoint=ImplicitAdjoint()`"):
    unrolled(*SERIES)

# A solve that fails raises there too.
fails = sharded(lambda w, s0, xs: solve(lambda s, x: 1e9 * s * s + x, s0, xs).value, True)
with refused(Exception, "leaves the floating-point range"):
    jax.block_until_ready(jax.jit(fails)(W, 1e9 * SERIES[1], SERIES[2]))

# A mesh with explicit axes: the states have the types that those of `jax.lax.scan` have, also
# where the mesh is known from the arrays alone, and gradients those of their arguments.
MESH = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Explicit,))
DIAGONAL = (jnp.asarray([0.3, -0.5]), START, INPUTS)


def decay(w, s, x):
    return jnp.tanh(w * s + x)


def check_types(run, by_lax, args, places, like_lax=True):
    here = tuple(
        jax.device_put(a, jax.sharding.NamedSharding(MESH, place))
        for a, place in zip(args, places, strict=True)
    )
    wanted = jax.value_and_grad(partial(total, by_lax), (0, 1, 2))(*args)
    same(jax.jit(jax.value_and_grad(partial(total, run), (0, 1, 2)))(*here), wanted)
    found = jax.eval_shape(run, *here).sharding
    assert not like_lax or found == jax.eval_shape(by_lax, *here).sharding, found


class Decay(eqx.Module):
    w: jax.Array

    def __call__(self, s, x):
        return decay(self.w, s, x)


def as_cell(w, s0, xs):
    return solve(Decay(w), s0, xs).value


def with_counter(w, s0, xs):
    def body(carry, x):
        s, n = carry
        return (decay(w, s, x), n + 1), decay(w, s, x)

    return scan(body, (s0, 0), xs)[1]


def with_constants(w, s0, xs):
    def body(carry, x):
        s, n, w = carry
        return (decay(w, s, x), n, w), decay(w, s, x)

    return scan(body, (s0, 3, w), xs)[1]


of_lax = partial(by_lax, decay)
EVERYWHERE = (P("model"), P("model"), P(None, "model"))
check_types(as_cell, of_lax, DIAGONAL, EVERYWHERE)
with jax.set_mesh(MESH):
    for solver in (*SOLVERS, ELK()):
        check_types(partial(by_scan, decay, solver), of_lax, DIAGONAL, EVERYWHERE)
    check_types(with_counter, of_lax, DIAGONAL, EVERYWHERE)
    check_types(with_constants, of_lax, DIAGONAL, EVERYWHERE)

# `jax.lax.scan` takes no inputs that are sharded over time.
check_types(as_cell, of_lax, DIAGONAL, (P(), P(), P("model")), like_lax=False)


def from_the_left(w, s, x):
    return jnp.tanh(s @ w + x)


check_types(
    lambda w, s0, xs: solve(partial(from_the_left, w), s0, xs, chunk=4).value,
    partial(by_lax, from_the_left),
    (W, START, INPUTS),
    (P(), P(), P("model")),
    like_lax=False,
)

series = jax.vmap(partial(by_lax, plain), (None, 0, 0))
for group in (1, 2):
    check_types(
        lambda w, s0, xs: solve_batch(partial(plain, w), s0, xs, group=group).value,  # noqa: B023
        series,
        SERIES,
        (P(), P("model"), P("model")),
    )
check_types(
    jax.vmap(lambda w, s0, xs: by_scan(plain, QuasiDEER(), w, s0, xs), (None, 0, 0)),
    series,
    SERIES,
    (P(), P("model"), P("model")),
)

# A wrong function is told as it is elsewhere.
with jax.set_mesh(MESH):
    with refused(TypeError, "returns float32[4] for a state float32[2]"):
        solve(lambda s, x: jnp.concatenate([s, x]), START, INPUTS)
