"""The recurrences that the tests solve, the methods, and the reference: `jax.lax.scan`."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from parallel_rnn import (
    DEER,
    ELK,
    AdaptiveDamping,
    AssociativeScan,
    BlockDiagonal,
    ClipELK,
    Diagonal,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    ScaleELK,
    SequentialScan,
    StochasticDiagonal,
)
from parallel_rnn.cells import (
    ElmanCell,
    GRUCell,
    LEMCell,
    LiquidCell,
    LSTMCell,
    MinimalGatedUnit,
    SLSTMCell,
)

BACKENDS = [AssociativeScan(), SequentialScan()]

# One row for each method; all take `rtol`, `atol` and `recurrence`. The undamped ones are right
# after T iterations.
UNDAMPED = {
    "Jacobi": Jacobi,
    "Picard": Picard,
    "DEER": DEER,
    "QuasiDEER": QuasiDEER,
    "QuasiDEER-blocks": partial(QuasiDEER, transition=BlockDiagonal(2)),
    "QuasiDEER-stochastic": partial(QuasiDEER, transition=StochasticDiagonal()),
    "ScaleELK": partial(ScaleELK, 0.2),
    "ScaleELK-diagonal": partial(ScaleELK, 0.2, transition=Diagonal()),
    "ClipELK": ClipELK,
}
DAMPED = {
    "ELK-filter": partial(ELK, 1e-2),
    "ELK-smoother": partial(ELK, 1e-2, "smoother"),
    "ELK-adaptive": partial(ELK, AdaptiveDamping(), "smoother"),
    "QuasiELK-filter": partial(QuasiELK, 1e-1),
    "QuasiELK-smoother": partial(QuasiELK, 1e-1, "smoother"),
}
METHODS = {**UNDAMPED, **DAMPED}


def reference(f: Callable, s0: Any, xs: Any, length: int | None = None) -> Any:
    """All states by `jax.lax.scan`."""

    def step(state, x):
        state = f(state, x)
        return state, state

    return jax.lax.scan(step, s0, xs, length)[1]


def gru(size: int, length: int, dtype: str = "float64", seed: int = 0):
    """A GRU whose weights are all different from zero, its initial state and inputs."""
    keys = jax.random.split(jax.random.key(seed), 3)
    cell = GRUCell(size, size, key=keys[0], dtype=jnp.dtype(dtype))
    s0 = 0.5 * jax.random.normal(keys[1], (size,), dtype)
    return cell, s0, jax.random.normal(keys[2], (length, size), dtype)


class Pair(eqx.Module):
    """A recurrence whose state and inputs are PyTrees: two coupled tanh layers."""

    a: Array
    b: Array

    def __init__(self, key: Array):
        key_a, key_b = jax.random.split(key)
        self.a = 0.4 * jax.random.normal(key_a, (3, 2))
        self.b = 0.4 * jax.random.normal(key_b, (2, 3))

    def __call__(self, state: dict, x: tuple) -> dict:
        kick, (gain, count) = x
        slow = jnp.tanh(self.b @ state["fast"].ravel() + kick)
        fast = 0.5 * state["fast"] + gain * jnp.tanh(self.a @ state["slow"])[:, None]
        return {"fast": fast + 0.01 * count.astype(fast.dtype), "slow": slow}


def pair(length: int):
    """A `Pair` with its initial state and inputs, one of them integer."""
    keys = jax.random.split(jax.random.key(1), 3)
    s0 = {"fast": jnp.ones((3, 1)), "slow": jnp.zeros(2)}
    xs = (
        jax.random.normal(keys[0], (length, 2)),
        (jax.random.normal(keys[1], (length,)), jnp.arange(length)),
    )
    return Pair(keys[2]), s0, xs


def logistic(state: Array, x: Array) -> Array:
    """The chaotic logistic map, pushed by the input. Products of its Jacobians explode."""
    return jnp.clip(3.9 * state * (1 - state) + x, 0.0, 1.0)


def coupled_logistic(state: Array, x: Array) -> Array:
    """Logistic maps that mix with their neighbours."""
    mapped = logistic(state, x)
    return 0.9 * mapped + 0.1 * jnp.roll(mapped, 1)


def cubic(state: Array, x: Array) -> Array:
    """A chaotic map on ±1 that nothing cuts off: far from there it leaves all bounds at once."""
    return 2.59 * state * (1 - state**2) + x


def step_by_step(f: Callable, s0: Array, states: Array, xs: Any) -> Array:
    """One step from each of the states. Chaos lets trajectories be compared no other way."""
    return jax.vmap(f)(jnp.concatenate([s0[None], states])[:-1], xs)


def largest_difference(found: Any, wanted: Any) -> float:
    """The largest absolute difference between two PyTrees of equal structure."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    differences = []
    for a, b in pairs:
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        # Times 1, because flags cannot be subtracted.
        difference = np.abs(1 * np.asarray(a) - 1 * np.asarray(b))
        differences.append(float(np.max(difference, initial=0)))
    return float(np.max(differences))


def assert_same_solution(found: Any, wanted: Any, atol: float = 1e-14) -> None:
    """Two programs for one problem: what they count is equal, the states are so up to rounding.

    Each may round f in a way of its own, so the last iteration of a window may be one more.
    """
    assert largest_difference(found.value, wanted.value) <= atol
    assert found.result == wanted.result
    counts = ("num_verified", "num_windows", "num_fallback")
    assert [found.stats[key] for key in counts] == [wanted.stats[key] for key in counts]
    further = abs(int(found.stats["num_steps"]) - int(wanted.stats["num_steps"]))
    assert further <= found.stats["num_windows"]


def temporary_bytes(function: Callable, *arguments: Any) -> int:
    """Memory that the function needs beside its arguments and its result, compiled for the CPU.

    Compilers for other devices add what their libraries work in, whatever the function holds.
    """
    with jax.default_device(jax.devices("cpu")[0]):
        analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


CELLS = (ElmanCell, GRUCell, MinimalGatedUnit, LSTMCell, SLSTMCell, LEMCell, LiquidCell)


def cell_table(size: int, dtype: str, key: Array) -> dict[str, tuple[Any, Any]]:
    """Every shipped cell, for inputs as long as its state's parts, with a state to start from.

    Sequences of every cell stay of moderate size from there.
    """
    table = {}
    for kind, kind_key in zip(CELLS, jax.random.split(key, len(CELLS)), strict=True):
        key_cell, key_state = jax.random.split(kind_key)
        cell = kind(size, size, key=key_cell, dtype=jnp.dtype(dtype))
        table[kind.__name__] = cell, _state_near_zero(cell, key_state)
    return table


def _state_near_zero(cell: Any, key: Array) -> Any:
    flat, unravel = ravel_pytree(cell.initial_state())
    state = unravel(0.5 * jax.random.normal(key, flat.shape, flat.dtype))
    if not isinstance(cell, SLSTMCell):
        return state
    c, n, m, h = state
    return c, 1 + jnp.abs(n), m, h  # a normaliser is at least 1


def run_alone(script: str, num_devices: int) -> None:
    """A script beside this one, in a process of its own, where JAX splits the CPU in devices."""
    settings = {
        "JAX_PLATFORMS": "cpu",  # which can be split
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    path = Path(__file__).with_name(script)
    subprocess.run([sys.executable, path], env={**os.environ, **settings}, check=True)
