"""Chunks: a sequence as K chunks of C steps that advance side by side, step by step through f.

Each chunk starts from a guess; the ends become the next starts. That is the recurrence of the map
of C steps, with K states to find in place of T (parareal without a coarse solver; multiple
shooting, Bellen and Zennaro, J. Comput. Appl. Math. 25, 1989; Gander and Vandewalle, SIAM J. Sci.
Comput. 29, 2007). C = 1 is the iteration on single steps, C = T sequential evaluation.

Within a chunk the states are an orbit of f as sequential evaluation makes it, so only the K - 1
joints between chunks are in doubt, and only their residuals are not 0. Three parts:

- **Warm-up.** Each start is where f leads from the guess over the last steps before the chunk.
- **Sweep.** All chunks take their C steps.
- **Repair.** All chunks step on from the ends of the chunks before them, each until a step leads so
  near the state that is there that the acceptance calls the residual right. Where f forgets, that
  is one of the first steps, and checking costs next to nothing.

Where a repair comes to the end of the chunks, the starts follow from the linear recurrence of the
ends, y_k = F(y_{k-1}) + W_k (change of y_{k-1}), with W_k the product of the solver's transitions
along the chunk; then comes another sweep. The first joint that was wrong is right afterwards, and
chunks before it keep their states, so K sweeps are always enough.
"""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._finite import count_leading
from .._linear.linear_scan import keep_where, linear_scan_or_default
from .._programs.in_place import while_writing
from .._right.acceptance import AbstractAcceptance, Verdict, accumulation_dtype, only_if
from .._solvers.iterate import Iterate, Loop, shift
from .._solvers.methods import AbstractNewton
from .._solvers.solution import RESULTS
from .._solvers.solver import AbstractSolver, Sequential, Window
from .._types import Jacobians, Parts
from .side_by_side import Work, arranged


class Chunked(AbstractSolver):
    """Chunks of `size` steps, joined by the transitions of an undamped `solver`."""

    solver: AbstractNewton
    size: int = eqx.field(static=True)

    def run(self, window, max_steps, loop):
        def is_worth(now: _Progress) -> Bool[Array, ""]:
            return now.num_sweeps < max_steps

        return self._run(arranged(window, self.size, self.size), is_worth, loop)

    def run_where(self, wanted: Bool[Array, ""], window: Window, max_steps: int) -> Iterate:
        """`run`, where it is wanted. No step is taken elsewhere, and the verdict knows of none.

        A further sweep is made only where all chunks are joined, and no more than their errors in
        one direction are to be mended.
        """

        def is_worth(now: _Progress) -> Bool[Array, ""]:
            return now.are_joined & (now.num_sweeps < max_steps)

        work = arranged(window, self.size, jnp.where(wanted, self.size, 0))
        return self._run(work, is_worth, Loop(max_steps))

    def _run(
        self, work: Work, is_worth: Callable[["_Progress"], Bool[Array, ""]], loop: Loop
    ) -> Iterate:
        """Sweeps until the states are accepted, while a further one is worth its time."""
        rule = self.solver.acceptance(work.window, self.size)

        def goes_on(n: Int[Array, ""], now: _Progress) -> Bool[Array, ""]:
            del n
            return ~now.done & is_worth(now)

        def turn(
            n: Int[Array, ""], states: Parts, now: _Progress, active: Bool[Array, ""]
        ) -> tuple[Parts, _Progress]:
            del n
            open_chunks = active & (jnp.arange(work.num_chunks) > now.num_joined)
            states, W = work.sweep_with_products(
                self.solver, now.starts, now.num_sweeps, states, open_chunks
            )
            ends = work.ends(states)
            number = now.num_sweeps + 1
            states, repaired = _repaired(work, rule, states, number, now.trace, loop, active)
            num_joined = count_leading(jnp.all(now.starts[1:] == ends[:-1], axis=1))
            starts = self._next_starts(work, now.starts, ends, W, num_joined)
            return states, dataclasses.replace(repaired, starts=starts, num_joined=num_joined)

        states = work.sweep(work.warmed_up_starts())
        guess = work.window.guess
        residual = jnp.full((), jnp.inf, accumulation_dtype(guess.dtype))
        trace = loop.write(loop.empty_trace(guess), 0, guess, residual)
        one, yes = jnp.ones((), int), jnp.asarray(True)
        first = _repaired(work, rule, states, one, trace, loop, yes)
        states, last = while_writing(goes_on, turn, *first)
        return last.as_iterate(work, states)

    def _next_starts(
        self,
        work: Work,
        starts: Float[Array, "K D"],
        ends: Float[Array, "K D"],
        W: Jacobians,
        num_right: Int[Array, ""],
    ) -> Float[Array, "K D"]:
        """Newton's step on the recurrence of the ends."""
        joints = jnp.concatenate([starts[1:], ends[-1:]])
        linear_scan = linear_scan_or_default(self.solver.linear_scan)
        return shift(work.window.s0, linear_scan.newton_step(W, ends, joints, num_right))

    def has_tolerance(self) -> bool:
        """Whether the user says how large a residual may be."""
        return self.solver.has_tolerance()

    def default_max_steps(self, window):
        return math.ceil(window / self.size)

    def numbers_per_step(self, state_size):
        del state_size
        return 0


def check_joined(solver: AbstractSolver, chunk: int) -> None:
    """Refuse a solver that joins no chunks."""
    if not isinstance(solver, AbstractNewton | Sequential):
        raise TypeError(
            f"`chunk` is {chunk} and `solver` is {solver!r}, but chunks are joined by an "
            "undamped method: `QuasiDEER()`, `DEER()`, `Jacobi()`, `Picard()`, `ScaleELK(k)` or "
            "`ClipELK()`. Pass one of these, or leave `chunk` out."
        )


def in_chunks(solver: AbstractSolver, chunk: int | None, length: int) -> AbstractSolver:
    """The solver with chunks of this many steps. One chunk is sequential evaluation."""
    if chunk is None or chunk == 1 or not isinstance(solver, AbstractNewton):
        return solver
    return Sequential() if chunk >= length else Chunked(solver, chunk)


class _Progress(eqx.Module):
    """What a sweep and the repair after it have come to.

    `starts` are those of the next sweep. The first `num_joined` chunks end where the chunks after
    them start, so these and one more keep their states: another sweep might round in another way,
    and what follows would start anew from that. `num_finite` steps lead to a finite state. Chunks
    `are_joined` where each repair came to states that fit.
    """

    starts: Float[Array, "K D"]
    num_joined: Int[Array, ""]
    verdict: Verdict
    num_finite: Int[Array, ""]
    done: Bool[Array, ""]
    are_joined: Bool[Array, ""]
    num_sweeps: Int[Array, ""]
    trace: PyTree

    def as_iterate(self, work: Work, states: Parts) -> Iterate:
        all_finite = self.num_finite == work.length
        accepted = self.verdict.accepted & all_finite
        ended = RESULTS.where(self.done, RESULTS.nonfinite_state, RESULTS.max_steps_reached)
        return Iterate(
            states=work.in_order(states),
            num_steps=self.num_sweeps,
            done=jnp.asarray(True),
            result=RESULTS.where(accepted, RESULTS.successful, ended),
            verdict=dataclasses.replace(
                self.verdict,
                accepted=accepted,
                num_verified=jnp.minimum(self.verdict.num_verified, self.num_finite),
                residual=jnp.where(all_finite, self.verdict.residual, jnp.inf),
            ),
            trace=self.trace,
        )


def _repaired(
    work: Work,
    rule: AbstractAcceptance,
    states: Parts,
    num_sweeps: Int[Array, ""],
    trace: PyTree,
    loop: Loop,
    active: Bool[Array, ""],
) -> tuple[Parts, _Progress]:
    """Step on from the ends until the states that are there fit, and judge what that gives.

    Each chunk is open until a step leads to what is there. Up to that step its states are new; what
    it was off by there is all that its states are off. The first chunk that stays open has the
    states that follow from right ones, whatever they are.
    """

    def goes_on(c: Int[Array, ""], carry: PyTree) -> Bool[Array, ""]:
        return jnp.any(carry[1]) & (c < work.end)

    def turn(
        c: Int[Array, ""], states: Parts, carry: PyTree, own: Bool[Array, ""]
    ) -> tuple[Parts, PyTree]:
        s, is_open, errors = carry
        there = work.rows_at(states, c)
        new, evidence = work.evidence(c, s, there)
        errors = keep_where(is_open, rule.errors(evidence), errors)
        is_open = is_open & ~rule.fit(evidence, errors)
        rows = keep_where(is_open & own & active, work.rows(new), there)
        return work.put(states, work.split(rows), c), (new, is_open, errors)

    starts = shift(work.window.s0, work.ends(states))
    is_open = jnp.arange(work.num_chunks) > 0
    errors = jnp.zeros(starts.shape, accumulation_dtype(starts.dtype))
    carry = (work.side_by_side(starts), is_open, errors)
    states, (_, is_open, errors) = while_writing(goes_on, turn, states, carry)
    verdict = rule.verdict(errors)
    num_chunks = jnp.minimum(verdict.num_verified, count_leading(~is_open))
    are_joined = ~jnp.any(is_open)
    num_finite = only_if(jnp.asarray(work.end > 0), work.num_finite, states, jnp.zeros((), int))
    # The chunk that follows the right ones has the states that follow from them.
    hopeless = num_finite < jnp.minimum((num_chunks + 1) * work.size, work.length)
    verdict = dataclasses.replace(
        verdict,
        accepted=verdict.accepted & are_joined,
        num_verified=jnp.minimum(num_chunks * work.size, work.length),
    )
    return states, _Progress(
        starts=shift(work.window.s0, work.ends(states)),
        num_joined=jnp.zeros((), int),
        verdict=verdict,
        num_finite=num_finite,
        done=verdict.accepted | hopeless | (work.end == 0),
        are_joined=are_joined,
        num_sweeps=num_sweeps,
        trace=loop.write(trace, num_sweeps, work.in_order(states), verdict.residual),
    )
