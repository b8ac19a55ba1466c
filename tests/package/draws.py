"""Random recurrences of many kinds, and how far a right answer can be from that of `lax.scan`.

One function covers all kinds: its parameters are arrays and its lengths masks, so that a solver
compiles once for all draws.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from parallel_rnn._finite import worst

KINDS = (
    "contracting",
    "neutral",
    "slow",
    "growing",
    "chaotic",
    "switching",
    "resetting",
    "oscillating",
    "gated",
    "mixed",
)
# Kinds whose Jacobians grow without bound when they are multiplied.
UNBOUNDED = ("growing", "chaotic")


class Step(eqx.Module):
    """One step of any kind, for a state of D components u, each times its size.

        u' = linear L u + pulled p + gated (z u + (1 - z) p) + chaos u (1 - u),   p = tanh(W u + x),

    where L is one of two matrices and z = σ(gate + W u). A step that is not kept starts from the
    input instead.
    """

    size: Array
    matrices: Array
    W: Array
    gate: Array
    linear: Array
    pulled: Array
    gated: Array
    chaos: Array

    def __call__(self, s: Array, x: dict) -> Array:
        u = s / self.size
        L = jnp.where(x["switch"], self.matrices[0], self.matrices[1])
        mixed = jnp.dot(self.W, u, precision="highest")
        pull = jnp.tanh(mixed + x["drive"])
        z = jax.nn.sigmoid(self.gate + mixed)
        new = (
            self.linear * jnp.dot(L, u, precision="highest")
            + self.pulled * pull
            + self.gated * (z * u + (1 - z) * pull)
            + self.chaos * u * (1 - u)
        )
        return self.size * jnp.where(x["keep"], new, x["drive"])

    def own_rounding(self, s: Array, x: dict) -> Array:
        """How much more than its result and its state's part a step rounds, in roundings.

        1 - z is a difference: it is off by a rounding of 1, however small it is.
        """
        pull = jnp.tanh(self.W @ (s / self.size) + x["drive"])
        own = self.gated * self.size * jnp.abs(pull)
        return jnp.where(x["keep"], own, jnp.zeros_like(own))


@dataclass(frozen=True)
class Draw:
    """A recurrence with its initial state, its inputs and the number of steps that count."""

    kind: str
    seed: int
    f: Step
    s0: Array
    xs: Any
    length: int


def draw(seed: int, size: int, most_steps: int, dtype: str) -> Draw:
    """The recurrence of a seed; inputs are as long as `most_steps`."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    length = int(np.exp(rng.uniform(0, np.log(most_steps + 1))))
    length = min(max(length, 1), most_steps)
    memory = 10 ** rng.uniform(0, 6, size)
    rate = 1 / (1 + memory)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    W = rng.normal(size=(size, size)) / np.sqrt(size)
    zero, one = np.zeros(size), np.ones(size)
    parts = dict(linear=zero, pulled=zero, gated=zero, chaos=zero)
    matrices = np.stack([np.diag(1 - rate)] * 2)
    gate = zero
    drive = rng.choice([0.0, 1e-5, 1.0])
    keep, switch = np.ones(most_steps, bool), np.ones(most_steps, bool)
    u0 = rng.normal(size=size)

    if kind == "contracting":
        radius = rng.uniform(0, 0.95)
        matrices = np.stack([radius * rotation] * 2)
        parts.update(linear=one * 0.7, pulled=one * rng.uniform(0, 0.3))
    elif kind == "neutral":
        matrices = np.stack([np.eye(size) if rng.random() < 0.3 else rotation] * 2)
        parts.update(linear=one)
        drive = min(drive, 1e-5)
        parts.update(pulled=one * rng.choice([0.0, 1e-3, 1e-6]))
    elif kind == "slow":
        parts.update(linear=one, pulled=rate * rng.choice([0.0, 1.0]))
    elif kind == "growing":
        growth = rng.uniform(0, 12) / length
        matrices = np.stack([np.diag(1 + growth * rng.uniform(0, 1, size))] * 2)
        parts.update(linear=one, pulled=one * rng.choice([0.0, 1e-3]))
    elif kind == "chaotic":
        parts.update(chaos=one * rng.uniform(3.4, 3.99))
        u0, drive = rng.uniform(0.2, 0.8, size), 0.0
    elif kind == "switching":
        other = np.diag(rng.uniform(-1, 1, size))
        matrices = np.stack([rotation * rng.uniform(0.9, 1), other])
        switch = rng.random(most_steps) < rng.uniform(0.1, 0.9)
        parts.update(linear=one, pulled=one * 0.1)
    elif kind == "resetting":
        keep = rng.random(most_steps) > 10 ** rng.uniform(-3, -0.5)
        parts.update(linear=one, pulled=rate)
    elif kind == "oscillating":
        angle = 10 ** rng.uniform(-3, 0.4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        whole = np.eye(size) * rng.choice([-1, 1])
        for i in range(0, size - 1, 2):
            whole[i : i + 2, i : i + 2] = turn
        matrices = np.stack([whole * (1 - rate.min() * rng.choice([0, 1]))] * 2)
        parts.update(linear=one)
        drive = 0.0
    elif kind == "gated":
        gate = np.log(memory)
        W = W * 10 ** rng.uniform(-1, 0.5)
        parts.update(gated=one)
    else:
        W = W * rng.uniform(0.2, 1)
        parts.update(linear=one * 0.5, pulled=one * 0.3, gated=one * 0.4)
        gate = np.log(memory)

    spread = rng.choice([0, 1])
    sizes = 10.0 ** (spread * rng.uniform(-8, 4, size))
    as_type = partial(jnp.asarray, dtype=jnp.dtype(dtype))
    parts = {name: as_type(part) for name, part in parts.items()}
    f = Step(as_type(sizes), as_type(matrices), as_type(W), as_type(gate), **parts)
    xs = dict(
        drive=as_type(drive * rng.normal(size=(most_steps, size))),
        keep=jnp.asarray(keep),
        switch=jnp.asarray(switch),
    )
    return Draw(kind, seed, f, as_type(u0 * sizes), xs, length)


@eqx.filter_jit
def sequential(f: Step, s0: Array, xs: Any) -> Array:
    """All states by `jax.lax.scan`."""

    def step(s, x):
        s = f(s, x)
        return s, s

    return jax.lax.scan(step, s0, xs)[1]


# A step computes |J| |s_{t-1}| and |s_t| to a rounding each, and a gate more (o_t). What it is off
# by is passed on by the Jacobians of the steps that follow:
# B_t = |J_t| B_{t-1} + eps (|J_t| |s_{t-1}| + |s_t| + o_t).
@eqx.filter_jit
def rounding_bound(f: Step, s0: Array, xs: Any, states: Array) -> tuple[Array, Array]:
    """How far rounding can carry each state, and the largest product of Jacobians up to it.

    In float64, along the states of the sequential evaluation. The products act on the components
    relative to their sizes.
    """
    eps = jnp.finfo(s0.dtype).eps.astype(float)
    widened = jax.tree.map(
        lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.inexact) else a,
        (f, s0, xs, states),
    )
    f, s0, xs, states = widened
    previous = jnp.concatenate([s0[None], states[:-1]])

    def step(carry, element):
        bound, product = carry
        before, after, x = element
        J = jax.jacfwd(f)(before, x)
        own = eps * (jnp.abs(after) + f.own_rounding(before, x))
        bound = jnp.abs(J) @ (bound + eps * jnp.abs(before)) + own
        product = (J * f.size[None, :] / f.size[:, None]) @ product
        return (bound, product), (bound, worst(jnp.abs(product)))

    start = (jnp.zeros_like(s0), jnp.eye(s0.size))
    return jax.lax.scan(step, start, (previous, states, xs))[1]
