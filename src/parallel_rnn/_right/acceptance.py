"""When states are right: what the loop asks about every iterate.

With y the states of an iterate, r_t = f(y_{t-1}, x_t) - y_t is the residual of step t. There are
two answers to how large it may be. `Tolerance` is what a user asks for with `rtol` and `atol`.
`Rounding` (`rounding.py`) is the default: the states are an orbit of f in floating point.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._finite import count_leading, worst
from .._programs.varying import axes_of, varying_over

# Under a tolerance that is smaller than this many roundings no iteration may ever meet it.
ROUNDINGS_OF_A_TOLERANCE = 10


def accumulation_dtype(dtype: Any) -> Any:
    """In which type many numbers of a dtype are summed."""
    return jnp.dtype(dtype) if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


Values = TypeVar("Values", bound=PyTree)


class Evidence(eqx.Module):
    """What an iterate is judged by.

    - `previous`, `states`, `values`: s_{t-1}, s_t and f(s_{t-1}, x_t) for all t.
    - `counts`: false for steps whose residual does not count: padding, and steps that are known.
    - `step`: the number of this iteration; `last`: whether there can be no other.
    - `change`: how much f changes at all steps, from moved states (T, D) before them. Where f has
      kinks or jumps it stays on the piece that it is on, see `_programs/pieces.py`.
    """

    previous: Float[Array, "T D"]
    states: Float[Array, "T D"]
    values: Float[Array, "T D"]
    counts: Bool[Array, " T"]
    step: Int[Array, ""]
    last: Bool[Array, ""]
    change: Callable[[Array], Array]


class Verdict(eqx.Module):
    """What is known of an iterate.

    - `accepted`: all states are right.
    - `stalled`: they are not, and further iterations would not help.
    - `at_floor`: the residuals are down to what rounding does.
    - `num_verified`: leading steps that are right.
    - `num_frozen`: leading steps that the method keeps as they are.
    - `residual`: the largest, relative to what is accepted; infinite if one is NaN.
    - `roundings`, `drift`: the largest |e| and the largest |sum of e| / sqrt(t), as far as they
      were measured; 0 where they were not.
    - `sum`: the sum of all e, for the window that follows.
    """

    accepted: Bool[Array, ""]
    stalled: Bool[Array, ""]
    at_floor: Bool[Array, ""]
    num_verified: Int[Array, ""]
    num_frozen: Int[Array, ""]
    residual: Float[Array, ""]
    roundings: Float[Array, ""]
    drift: Float[Array, ""]
    sum: Float[Array, " D"]


def unknown_verdict(states: Float[Array, "T D"]) -> Verdict:
    """The verdict before anything is known."""
    dtype = accumulation_dtype(states.dtype)
    no, none, zero = jnp.asarray(False), jnp.zeros((), int), jnp.zeros((), dtype)
    return Verdict(no, no, no, none, none, zero, zero, zero, jnp.zeros(states.shape[1:], dtype))


class AbstractAcceptance(eqx.Module):
    """A rule that says when states are right."""

    @abc.abstractmethod
    def start(self, dtype: Any) -> PyTree:
        """What the rule remembers before the first iteration, for states of this dtype."""

    @abc.abstractmethod
    def judge(self, evidence: Evidence, memory: PyTree) -> tuple[Verdict, PyTree]:
        """Return the verdict on an iterate, and what to remember."""

    @abc.abstractmethod
    def errors(self, evidence: Evidence) -> Float[Array, "T D"]:
        """The residuals, relative to what a step may be off; NaN where a residual is."""

    @abc.abstractmethod
    def fit(self, evidence: Evidence, errors: Float[Array, "T D"]) -> Bool[Array, " T"]:
        """Which steps have residuals that are small enough, each for itself."""

    @abc.abstractmethod
    def verdict(self, errors: Float[Array, "T D"]) -> Verdict:
        """The verdict on steps with these errors."""


class Tolerance(AbstractAcceptance):
    """A residual r of a state s is accepted where |r| <= atol + rtol |s|."""

    rtol: Array
    atol: Array

    def start(self, dtype):
        return jnp.zeros((), int), jnp.asarray(jnp.inf, accumulation_dtype(dtype))

    def judge(self, evidence, memory):
        found = self.verdict(self.errors(evidence))
        no_better = (found.num_verified <= memory[0]) & (found.residual >= memory[1])
        at_floor = only_if(
            evidence.last | no_better,
            lambda evidence: jnp.all(_is_rounding(evidence) | ~evidence.counts),
            evidence,
            jnp.asarray(False),
        )
        stalled = ~found.accepted & at_floor & no_better
        verdict = dataclasses.replace(found, stalled=stalled, at_floor=at_floor)
        return verdict, (found.num_verified, found.residual)

    def errors(self, evidence):
        allowed = self.atol + self.rtol * jnp.abs(evidence.states)
        distance = jnp.abs(evidence.states - evidence.values)
        # 0/0 is a residual of zero, met by any tolerance: tolerances of 0 ask for exactness.
        error = jnp.where((distance == 0) | ~evidence.counts[:, None], 0, distance / allowed)
        return error.astype(accumulation_dtype(error.dtype))

    def fit(self, evidence, errors):
        del evidence
        return worst(errors, axis=1) <= 1

    def verdict(self, errors):
        num_verified = count_leading(worst(errors, axis=1) <= 1)
        return dataclasses.replace(
            unknown_verdict(errors),
            accepted=num_verified == len(errors),
            num_verified=num_verified,
            num_frozen=num_verified,
            residual=worst(errors),
        )


def only_if(
    wanted: Bool[Array, ""],
    compute: Callable[[Any], Values],
    operands: PyTree,
    otherwise: Values,
) -> Values:
    """What `compute(operands)` returns where it is wanted.

    A loop of one turn or none. Under `vmap` a `cond` computes both branches for every series, a
    loop only runs while some series wants it.
    """
    arrays, functions = eqx.partition(operands, eqx.is_array)
    arrays = jax.lax.stop_gradient(arrays)

    def turn(carry: tuple[Array, Values]) -> tuple[Array, Values]:
        # Bound to what the loop carries: else XLA moves all of it out of the loop, and computes it
        # always.
        held = jax.lax.optimization_barrier((carry[0], arrays))[1]
        return varying_over(axes, (jnp.asarray(False), compute(eqx.combine(held, functions))))

    axes = axes_of((arrays, wanted, otherwise))
    start = varying_over(axes, (wanted, otherwise))
    return jax.lax.while_loop(lambda carry: carry[0], turn, start)[1]


def _is_rounding(evidence: Evidence) -> Bool[Array, " T"]:
    """Whether the residual of a step is about the rounding of the states that it joins."""
    residual = worst(jnp.abs(evidence.states - evidence.values), axis=1)
    sizes = worst(jnp.abs(evidence.previous), axis=1) + worst(jnp.abs(evidence.states), axis=1)
    return residual <= ROUNDINGS_OF_A_TOLERANCE * jnp.finfo(residual.dtype).eps * sizes
