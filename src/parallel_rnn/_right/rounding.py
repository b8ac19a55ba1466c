"""The default rule: the states are an orbit of f in floating point.

Each step is off by no more than a few times what rounding does to that step, and these do not add
up in one direction. With y the states, r_t = f(y_{t-1}, x_t) - y_t is the residual of step t.

Only f knows what rounding does to a step: a small state may be the difference of large numbers.
So it is measured, by two more evaluations with every entry of the state before moved by δ = k eps
of itself, up or down at random. With f = g + noise, g smooth, as it is on the piece of f that the
state lies on (`_programs/pieces.py`), and k = eps^(-1/3),

    f(y + δ) - 2 f(y) + f(y - δ) = noise + g'' δ²     where δ² = eps^(1/3) eps y² is below rounding,
    (f(y + δ) - f(y - δ)) / 2k   = eps g' y           what a rounding of y does to the step.

k is that large for the roundings inside f to be others than those at y; a move by one rounding
alone often changes none. The scale of a residual is the largest of these two and eps |y_t|, and of
what the `RECENT` - 1 steps before leave of theirs, because one sample of the noise may be small by
chance. With e = r / scale, states are accepted where

    |e_{t,i}| <= ROUNDINGS   and   |e_{1,i} + ... + e_{t,i}| <= DRIFT sqrt(t)   for all t and i.

The second is what independent roundings would do. Without it a method that carries information too
slowly passes: 100,000 residuals of one rounding each, all of one sign, are a percent.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._finite import count_leading, finite_or_zero, largest, worst
from .._linear.linear_scan import AbstractLinearScan
from .acceptance import AbstractAcceptance, Evidence, Verdict, only_if, unknown_verdict

# A step may be off by so many times its scale, and the sum of t steps by so many times sqrt(t).
ROUNDINGS = 8
DRIFT = 4
# The scale of a step looks back over so many steps. In longer looks a component that decays is
# allowed what it was; in shorter ones trained cells find no rest. What came before counts for so
# many times what the steps since have left of it, and for itself at most.
RECENT = 8
SLACK = 2
# But a component that falls below this part of itself in one step is reset.
RESET = 1 / 16
# The scale is measured once no residual is larger than so many times the rounding of the largest
# entries of the states that it joins, and no scale counts as larger than that: f may take small
# differences of large numbers, but a jump that nobody sees in it is no rounding.
NEAR = 256
# Chunks of steps are joined where they fit within so many roundings. By less, orbits of 256 numbers
# seldom come together: what rounding does to each of them keeps them apart.
JOINED = 3
# Leading steps are frozen where they are within this part of both: what follows must not find the
# drift used up. Where products of Jacobians grow, a rounding that is corrected near the start moves
# everything behind it. It is worth a measurement once so many more steps seem to be.
FROZEN = 1 / 2
RUN_PER_STEP = 1 / 64
LEAST_RUN = 64
# A measurement costs as much as a few iterations. Where all residuals are near, it waits while each
# iteration multiplies the largest by less than this, until that is small enough: this part of what
# is accepted if f only rounds its result, and by as much smaller as the last measurement found too
# large.
FALLING = 0.9
ENOUGH = 1 / 4

# At a floor residuals are random, and the loop gives up. It is one where, this close to being
# accepted, so many iterations (this part of the steps, at least so many) brought no more than
# this factor. Methods that move one step an iteration bring more on their last stretch.
FLOOR = 8
PATIENCE_PER_STEP = 1 / 16
LEAST_PATIENCE = 32
LEAST_GAIN = 0.98
# Where f computes in a coarser type than that of the states, steps come to fit exactly or not at
# all: what counts is how many do, and a method that gains only one an iteration is at the floor.
LEAST_COARSE_GAIN = 0.9


class Rounding(AbstractAcceptance):
    """States are accepted as an orbit of f in floating point; see above.

    - `linear_scan`: the linear scan that sums residuals.
    - `eps`: the rounding of the dtype of the states.
    - `floor_eps`: that of the coarsest type that f computes in.
    - `steps_before`, `sum_before`: how many steps of the sequence come before these, and the sum
      of their e: drift does not begin anew with every window.
    - `stride`: how many steps lie between one row and the next, those between without a residual.
      Where rows are no neighbours, the scale of a step does not look back.
    """

    linear_scan: AbstractLinearScan
    eps: float = eqx.field(static=True)
    floor_eps: float = eqx.field(static=True)
    steps_before: Int[Array, ""]
    sum_before: Float[Array, " D"]
    stride: int = eqx.field(static=True, default=1)

    def start(self, dtype):
        del dtype
        zero = jnp.zeros((), int)
        enough, infinite = jnp.asarray([ENOUGH, jnp.inf], self.sum_before.dtype)
        return _Memory(zero, infinite, enough, infinite, zero)

    def judge(self, evidence, memory):
        dtype = self.sum_before.dtype
        length = len(evidence.states)
        guess = self._estimate(evidence, memory)
        num_exact, nan = guess.num_exact, jnp.asarray(jnp.nan, dtype)
        found = only_if(
            self._is_due(evidence, guess, memory),
            self._measure,
            evidence,
            _Measured(num_exact, num_exact, nan, nan, self.sum_before),
        )
        badness = _badness(found)
        accepted = jnp.maximum(num_exact, found.num_right) == length
        num_frozen = jnp.maximum(jnp.maximum(num_exact, found.num_good), memory.num_frozen)
        best, age = self._best(badness, guess, memory)
        patience = max(LEAST_PATIENCE, int(PATIENCE_PER_STEP * length))
        stalled = ~accepted & (age >= patience)
        verdict = Verdict(
            accepted=accepted,
            stalled=stalled,
            at_floor=stalled,
            num_verified=jnp.maximum(num_exact, found.num_right),
            num_frozen=num_frozen,
            residual=jnp.where(jnp.isnan(badness), guess.error, badness),
            roundings=jnp.nan_to_num(found.roundings, posinf=jnp.inf),
            drift=jnp.nan_to_num(found.drift, posinf=jnp.inf),
            sum=found.sum,
        )
        enough = guess.error / jnp.maximum(badness, 1)
        enough = jnp.where(jnp.isnan(badness), memory.enough, enough)
        return verdict, _Memory(num_frozen, guess.error, enough, best, age)

    def _estimate(self, evidence: Evidence, memory: "_Memory") -> "_Estimate":
        dtype = self.sum_before.dtype
        length = len(evidence.states)
        size = self._size(evidence).astype(dtype) + jnp.finfo(dtype).tiny
        off = jnp.where(evidence.counts, worst(jnp.abs(self._residuals(evidence)), axis=1), 0)
        error = off / (ROUNDINGS * self.eps * size)
        near = NEAR / ROUNDINGS * self.floor_eps / self.eps
        frozen = jnp.arange(length) < memory.num_frozen
        # One reduction for all three: on short windows each operation costs about a microsecond.
        leading = count_leading(jnp.stack([off == 0, error <= near, frozen | (error <= FROZEN)]))
        return _Estimate(off, worst(error), *leading)

    def _is_due(self, evidence: Evidence, guess: "_Estimate", memory: "_Memory") -> Bool[Array, ""]:
        """Whether measuring may tell something new.

        That all states are right; that right ones lead to a step which is not finite; or that so
        many more are right that freezing them is worth it.
        """
        length = len(guess.off)
        following = evidence.values[jnp.minimum(guess.num_near, length - 1)]
        falling = (guess.error > memory.enough) & (guess.error < FALLING * memory.error)
        more = guess.num_good >= memory.num_frozen + max(LEAST_RUN, int(RUN_PER_STEP * length))
        worth = jnp.where(guess.num_near == length, ~falling, more)
        new = evidence.last | worth | ~jnp.all(jnp.isfinite(following))
        # A guess is rarely right, and not worth a measurement unless no step may follow.
        possible = (evidence.step > 0) | evidence.last
        return new & possible & (guess.num_exact < length)

    def _size(self, evidence: Evidence) -> Float[Array, " T"]:
        """The largest entry of the two states that a step joins.

        A NaN in them is one in the residual as well.
        """
        sizes = largest(jnp.abs(evidence.states), axis=1)
        if self.stride > 1:
            return jnp.maximum(sizes, largest(jnp.abs(evidence.previous), axis=1))
        before = largest(jnp.abs(evidence.previous[:1]), axis=1)
        return jnp.maximum(sizes, jnp.concatenate([before, sizes[:-1]]))

    def _residuals(self, evidence: Evidence) -> Float[Array, "T D"]:
        return (evidence.values - evidence.states).astype(self.sum_before.dtype)

    def errors(self, evidence):
        dtype = self.sum_before.dtype
        residuals = jnp.where(evidence.counts[:, None], self._residuals(evidence), 0)
        scale = self._scale(evidence).astype(dtype)
        # What is smaller than the smallest normal number is 0 to a CPU: so much a step may be off.
        scale = scale + jnp.finfo(dtype).tiny / ROUNDINGS
        return jnp.where(residuals == 0, 0, residuals / scale)

    def fit(self, evidence, errors):
        # Beside a jump that nobody sees in f its scale is the largest there is: what is off by more
        # is no rounding.
        off = worst(jnp.abs(self._residuals(evidence)), axis=1)
        near = off <= NEAR * self.floor_eps * self._size(evidence).astype(off.dtype)
        few = worst(jnp.abs(errors), axis=1) <= JOINED
        return few & (near | ~evidence.counts)

    def verdict(self, errors):
        found = self._sum_up(errors)
        return dataclasses.replace(
            unknown_verdict(errors),
            accepted=found.num_right == len(errors),
            num_verified=found.num_right,
            num_frozen=found.num_good,
            residual=_badness(found),
            roundings=jnp.nan_to_num(found.roundings, posinf=jnp.inf),
            drift=jnp.nan_to_num(found.drift, posinf=jnp.inf),
            sum=found.sum,
        )

    def _measure(self, evidence: Evidence) -> "_Measured":
        return self._sum_up(self.errors(evidence))

    def _sum_up(self, e: Float[Array, "T D"]) -> "_Measured":
        sums = self.sum_before[None] + self.linear_scan.sums(e)
        t = self.steps_before + 1 + self.stride * jnp.arange(len(e))
        roundings = worst(jnp.abs(e), axis=1)
        drift = worst(jnp.abs(sums), axis=1) / jnp.sqrt(t.astype(e.dtype))

        def leading(part: float) -> Array:
            """Steps that stay within this part of what is accepted."""
            return count_leading((roundings <= part * ROUNDINGS) & (drift <= part * DRIFT))

        return _Measured(leading(1.0), leading(FROZEN), worst(roundings), worst(drift), sums[-1])

    def _scale(self, evidence: Evidence) -> Float[Array, "T D"]:
        """What rounding does to each step."""
        states, previous = evidence.states, evidence.previous
        k = 2.0 ** round(-math.log2(self.eps) / 3)
        move = k * self.eps * _signs(previous.shape[0], previous.shape[1], previous.dtype)
        # One after the other: both under `vmap` take a CPU four times as long.
        higher, lower = jax.lax.optimization_barrier((previous * (1 + move), previous * (1 - move)))
        up, down = evidence.change(higher), evidence.change(lower)
        moved = finite_or_zero(jnp.abs(up - down) / (2 * k * self.eps))
        left = jnp.maximum(moved, jnp.abs(states))
        rounding = jnp.maximum(finite_or_zero(jnp.abs(up + down)), self.eps * left)
        rounding = jnp.minimum(rounding, NEAR * self.eps * self._size(evidence)[:, None])
        recent = RECENT if self.stride == 1 else 1
        return _recent_max(rounding, left / jnp.abs(previous), recent)

    def _best(
        self, badness: Float[Array, ""], guess: "_Estimate", memory: "_Memory"
    ) -> tuple[Array, Array]:
        """The best iterate so far, and how many iterations ago it was."""
        measured = ~jnp.isnan(badness)
        close, least = badness <= FLOOR, LEAST_GAIN
        if self.floor_eps > self.eps:
            inexact = jnp.sum(guess.off != 0, dtype=badness.dtype)
            badness, close, least = inexact, True, LEAST_COARSE_GAIN
        gained = measured & (badness < least * memory.best)
        age = jnp.where(gained, 0, jnp.where(measured & close, memory.age + 1, memory.age))
        return jnp.where(gained, badness, memory.best), age


class _Estimate(eqx.Module):
    """What the residuals tell without a measurement, if f only rounds its result.

    - `off`: the largest entry of the residual of each step.
    - `error`: the largest residual, relative to what is accepted.
    - `num_exact`, `num_near`, `num_good`: leading steps without a residual, with one that may turn
      out to be a rounding of f, and with one that may be frozen.
    """

    off: Float[Array, " T"]
    error: Float[Array, ""]
    num_exact: Int[Array, ""]
    num_near: Int[Array, ""]
    num_good: Int[Array, ""]


class _Memory(eqx.Module):
    """What is remembered from one iteration to the next.

    - `num_frozen`: leading steps that are frozen.
    - `error`: the last estimate of the error.
    - `enough`: the estimate at which states may be right, as far as a measurement has told.
    - `best`, `age`: the best iterate so far, and how many iterations ago it was.
    """

    num_frozen: Int[Array, ""]
    error: Float[Array, ""]
    enough: Float[Array, ""]
    best: Float[Array, ""]
    age: Int[Array, ""]


class _Measured(eqx.Module):
    """What a measurement tells.

    - `num_right`, `num_good`: leading steps that are right, and good enough to be frozen.
    - `roundings`, `drift`, `sum`: the worst |e| and drift, and the sum of all e.
    """

    num_right: Int[Array, ""]
    num_good: Int[Array, ""]
    roundings: Float[Array, ""]
    drift: Float[Array, ""]
    sum: Float[Array, " D"]


def _badness(found: _Measured) -> Float[Array, ""]:
    """The worst of what was measured, relative to what is accepted."""
    return jnp.maximum(found.roundings / ROUNDINGS, found.drift / DRIFT)


def _signs(length: int, size: int, dtype: Any) -> Float[Array, "T D"]:
    """Signs that look random and are the same in every call.

    The place of an entry is hashed, row and column by themselves and then together, which costs
    next to nothing, where drawing random numbers would cost as much as an evaluation of f.
    """
    row, column = (_hashed(jax.lax.iota(jnp.uint32, count)) for count in (length, size))
    mixed = (row[:, None] ^ (column[None] >> 1)) * jnp.uint32(0x85EBCA6B)
    return jnp.where((mixed >> 31) == 0, 1, -1).astype(dtype)


def _hashed(number: Array) -> Array:
    """Numbers of 32 bits that look random (multiplications and shifts as in MurmurHash3)."""
    mixed = number * jnp.uint32(0x9E3779B1)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x85EBCA6B)
    return (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)


def _recent_max(
    sizes: Float[Array, "T D"], growth: Float[Array, "T D"], recent: int
) -> Float[Array, "T D"]:
    """The largest of each step and of what is left of the `recent` - 1 before it.

    `growth` is how many times larger than before a step leaves a component. One that decays, or
    that a reset makes small, has little left of what came before; `SLACK` times as much counts,
    because a component that crosses zero is small for a moment only. After a reset it does not.
    """
    if recent == 1:
        return sizes
    leaves = jnp.where(growth < RESET, growth / SLACK, jnp.where(growth < 1, growth, 1))
    # Else XLA computes anew, in every place, all that these rest on, f included.
    sizes, leaves = jax.lax.optimization_barrier(
        tuple(jnp.pad(a, ((recent - 1, 0), (0, 0))) for a in (sizes, leaves))
    )
    highest = left = sizes[: -(recent - 1)]
    for step in range(1, recent):
        now, passed = (a[step : len(a) - recent + 1 + step] for a in (sizes, leaves))
        highest, left = jnp.maximum(highest, now), jnp.maximum(passed * left, now)
    return jnp.minimum(highest, SLACK * left)
