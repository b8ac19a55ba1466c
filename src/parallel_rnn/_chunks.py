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
along the chunk; then comes another sweep. The first joint that was wrong is right afterwards, so K
sweeps are always enough.
"""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._acceptance import AbstractAcceptance, Evidence, Verdict, accumulation_dtype, only_if
from ._finite import count_leading
from ._flat import vectors_of
from ._in_place import while_writing, write, write_side_by_side
from ._iterate import Iterate, Loop, shift
from ._linear_scan import keep_where, linear_scan_or_default, platform
from ._matrices import structure_of
from ._methods import AbstractNewton
from ._program import Program
from ._solution import RESULTS
from ._solver import AbstractSolver, Sequential, Window, count_finite
from ._types import Jacobians, State
from ._varying import axes_of, varying_over
from ._window import step_at

# What f remembers of a guess is mostly gone after so many steps, where it forgets at all.
WARM_UP = 48


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
        self, work: "_Work", is_worth: Callable[["_Progress"], Bool[Array, ""]], loop: Loop
    ) -> Iterate:
        """Sweeps until the states are accepted, while a further one is worth its time."""
        rule = self.solver.acceptance(work.window, self.size)

        def goes_on(n: Int[Array, ""], now: _Progress) -> Bool[Array, ""]:
            del n
            return ~now.done & is_worth(now)

        def turn(
            n: Int[Array, ""], states: Array, now: _Progress, active: Bool[Array, ""]
        ) -> tuple[Array, _Progress]:
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
        work: "_Work",
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


def check_not_asking(step: Program, chunk: int) -> None:
    """Refuse an f that waits for other series or devices, whose chunks end at other steps."""
    if axes := step.axes_asked():
        raise TypeError(
            f"`chunk` is {chunk}, and `f` asks other series or devices, along "
            f"{', '.join(map(repr, axes))}. Chunks of each end after another number of steps, so "
            "some would wait for ever. Leave `chunk` out, or take steps by `Sequential()`."
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

    def as_iterate(self, work: "_Work", states: Array) -> Iterate:
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


class _Work(eqx.Module):
    """A window as K chunks, whose steps of the same number are taken together.

    The states of all steps are (K, C, D), which is their order in time: nothing has to be moved. So
    are the inputs `xs`. Those of one step of all chunks are rows (K, D), or columns (D, K) where
    `axis` is -1: on a CPU, where operations on neighbouring numbers are the fast ones. Steps that
    are padding keep the state. Loops over the steps of a chunk end at `end`: C, or 0 where nothing
    is to be done. (A branch would copy all states that it returns.)
    """

    window: Window
    xs: PyTree
    end: Int[Array, ""] | int
    size: int = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    @property
    def length(self) -> int:
        return len(self.window.guess)

    @property
    def num_chunks(self) -> int:
        return math.ceil(self.length / self.size)

    def rows(self, s: Array) -> Float[Array, "K D"]:
        return jnp.moveaxis(s, self.axis, 0)

    def side_by_side(self, rows: Float[Array, "K D"]) -> Array:
        return jnp.moveaxis(rows, 0, self.axis)

    def counts(self, c: Int[Array, ""]) -> Bool[Array, " K"]:
        """Which chunks have a step c that is no padding."""
        return jnp.arange(self.num_chunks) * self.size + c < self.window.valid_length

    def step(self, c: Int[Array, ""], s: Array, x: PyTree) -> Array:
        """Step c from states that are one array."""
        return self.kept(c, self.all_steps(self.window.recurrence.step, s, x), s)

    def shaped_step(self, c: Int[Array, ""], s: State, x: PyTree) -> State:
        """Step c from states as `shaped` makes them."""
        recurrence = self.window.recurrence
        program = recurrence.step if self.axis == 0 else recurrence.shaped_step
        return self.kept(c, self.all_steps(program, s, x), s)

    def shaped(self, rows: Float[Array, "K D"]) -> State:
        """The states as the user shaped them, on a CPU; on a GPU one array takes fewer kernels."""
        if self.axis == 0:
            return rows
        return jax.vmap(self.window.recurrence.unravel, 0, -1)(rows)

    def parts(self, s: State) -> list[Float[Array, "K N"]]:
        """What stands side by side in the rows of the states."""
        return jax.vmap(vectors_of, self.axis)(s)

    def kept(self, c: Int[Array, ""], new: State, s: State) -> State:
        """The new states of chunks whose step c counts, else what they were."""
        counts = self.counts(c)

        def keep(new: Array, s: Array) -> Array:
            return jnp.where(counts if self.axis == -1 else counts[:, None], new, s)

        return jax.tree.map(keep, new, s)

    def all_steps(self, step: Program, s: State, x: PyTree) -> State:
        """f of all chunks.

        `vmap` keeps the chunks where they are in an operation on two arrays that both have them.
        With one that has not, such as a bias, it moves them to the front, and all that follows is
        transposed. So vectors that f closes over are given to each chunk.
        """
        if self.axis == 0:
            return jax.vmap(step)(s, x)
        is_vector = jax.tree.map(lambda a: a.ndim == 1 and eqx.is_inexact_array(a), step)
        vectors, rest = eqx.partition(step, is_vector)
        vectors = jax.tree.map(
            lambda a: jnp.broadcast_to(a[:, None], (a.size, self.num_chunks)), vectors
        )

        def step_of(vectors: PyTree, s: State, x: PyTree) -> State:
            return eqx.combine(vectors, rest).matrices_first(s, x)

        return jax.vmap(step_of, (-1, -1, 0), -1)(vectors, s, x)

    def at(self, arrays: PyTree, c: Int[Array, ""] | int) -> PyTree:
        """Step c of arrays that hold all steps."""
        return step_at(arrays, c, axis=1)

    def put(
        self, states: Float[Array, "K C D"], rows: Float[Array, "K D"], c: Int[Array, ""]
    ) -> Float[Array, "K C D"]:
        return write(states, rows, c, axis=1)

    def ends(self, states: Float[Array, "K C D"]) -> Float[Array, "K D"]:
        return self.at(states, self.size - 1)

    def warmed_up_starts(self) -> Float[Array, "K D"]:
        """Where f leads from the guess over the last steps before each chunk.

        Those may be more than a chunk has: ends are starts of the chunks that follow, once more.
        """
        first = max(0, self.size - WARM_UP)
        begin = jnp.arange(self.num_chunks) * self.size + first
        begin = jnp.minimum(begin, self.length - 1)

        def turn(c: Int[Array, ""], s: State) -> State:
            return self.shaped_step(c, s, self.at(self.xs, c))

        def once_more(n: Int[Array, ""], starts: Float[Array, "K D"]) -> Float[Array, "K D"]:
            del n
            ends = self.loop(first, self.end, turn, self.shaped(starts))
            return shift(self.window.s0, jnp.concatenate(self.parts(ends), axis=1))

        starts = shift(self.window.s0, self.window.guess)[begin]
        return self.loop(0, math.ceil(WARM_UP / self.size), once_more, starts)

    def loop(
        self, first: int, end: Array | int, turn: Callable[[Array, PyTree], PyTree], start: PyTree
    ) -> PyTree:
        """`turn(n, carry)` for n from `first` to `end` - 1."""
        start = varying_over(axes_of((start, self.window, self.xs)), start)
        return jax.lax.fori_loop(first, end, turn, start)

    def sweep(self, starts: Float[Array, "K D"]) -> Array:
        """The states of all steps."""

        def turn(c: Int[Array, ""], carry: tuple[State, Array]) -> tuple[State, Array]:
            s, states = carry
            s = self.shaped_step(c, s, self.at(self.xs, c))
            return s, write_side_by_side(states, self.parts(s), c, axis=1)

        states = jnp.zeros((self.num_chunks, self.size, starts.shape[1]), starts.dtype)
        return self.loop(0, self.end, turn, (self.shaped(starts), states))[1]

    def sweep_with_products(
        self,
        solver: AbstractNewton,
        starts: Float[Array, "K D"],
        number: Int[Array, ""],
        states: Array,
        is_open: Bool[Array, " K"],
    ) -> tuple[Array, Jacobians]:
        """The states, of open chunks, and the product of the transitions along each chunk."""

        def transition(c: Array, s: Float[Array, "K D"], x: PyTree) -> Jacobians:
            inputs = self.window.recurrence.project_all(x, len(s))
            A = solver.transition.linearise(self.window.recurrence, s, inputs, number)[1]
            return keep_where(self.counts(c), A, structure_of(A, s).identity_like(A))

        def turn(c: Array, carry: tuple[Array, Jacobians, Array]) -> tuple[Array, Jacobians, Array]:
            s, W, states = carry
            x = self.at(self.xs, c)
            A = transition(c, self.rows(s), x)
            W = structure_of(A, starts).multiply(A, W)
            # Not the values that come with A: a closed form may round in another way than the
            # steps of the repair, which are to find what is there.
            s = self.step(c, s, x)
            new = keep_where(is_open, self.rows(s), self.at(states, c))
            return s, W, self.put(states, new, c)

        zero = jnp.zeros((), int)
        shape = jax.eval_shape(transition, zero, starts, self.at(self.xs, zero))
        A = jnp.zeros(shape.shape, shape.dtype)
        W = structure_of(A, starts).identity_like(A)
        _, W, states = self.loop(0, self.end, turn, (self.side_by_side(starts), W, states))
        return states, W

    def evidence(self, c: Int[Array, ""], s: Array, there: Array) -> tuple[Array, Evidence]:
        """Step c from the states `s`, and what it tells of the states that are there."""
        x = self.at(self.xs, c)
        new = self.step(c, s, x)
        # Nothing comes before the first chunk, which is right.
        counts = self.counts(c) & (jnp.arange(self.num_chunks) > 0)

        def evaluate(previous: Float[Array, "K D"]) -> Float[Array, "K D"]:
            return self.rows(self.step(c, self.side_by_side(previous), x))

        rows = (self.rows(s), there, self.rows(new))
        return new, Evidence(*rows, counts, c + 1, jnp.asarray(True), evaluate)

    def num_finite(self, states: Array) -> Int[Array, ""]:
        """How many leading steps have a finite state."""
        # With its padding, which keeps the last state: without it would be a copy.
        everything = states.reshape(-1, states.shape[-1])
        return jnp.minimum(count_finite(everything, self.window.valid_length), self.length)

    def in_order(self, states: Array) -> Float[Array, "T D"]:
        """All states, one step after another."""
        return states.reshape(-1, self.window.s0.size)[: self.length]


def arranged(window: Window, size: int, end: Int[Array, ""] | int) -> _Work:
    """A window, cut into chunks.

    Its inputs are projected step by step: all chunks together make it a product of matrices, and
    what a step projects them to may be larger than they are.
    """
    length = len(window.guess)
    num_chunks = math.ceil(length / size)
    axis = -1 if platform() == "cpu" else 0

    def cut(leaf: Array) -> Array:
        # Padding repeats the last input; no state depends on it.
        padding = jnp.broadcast_to(leaf[-1:], (num_chunks * size - length, *leaf.shape[1:]))
        leaf = jnp.concatenate([leaf, padding])
        return leaf.reshape(num_chunks, size, *leaf.shape[1:])

    xs = jax.tree.map(cut, window.inputs)
    return _Work(window, xs, end, size, axis)


def _repaired(
    work: _Work,
    rule: AbstractAcceptance,
    states: Array,
    num_sweeps: Int[Array, ""],
    trace: PyTree,
    loop: Loop,
    active: Bool[Array, ""],
) -> tuple[Array, _Progress]:
    """Step on from the ends until the states that are there fit, and judge what that gives.

    Each chunk is open until a step leads to what is there. Up to that step its states are new; what
    it was off by there is all that its states are off. The first chunk that stays open has the
    states that follow from right ones, whatever they are.
    """

    def goes_on(c: Int[Array, ""], carry: PyTree) -> Bool[Array, ""]:
        return jnp.any(carry[1]) & (c < work.end)

    def turn(
        c: Int[Array, ""], states: Array, carry: PyTree, own: Bool[Array, ""]
    ) -> tuple[Array, PyTree]:
        s, is_open, errors = carry
        there = work.at(states, c)
        new, evidence = work.evidence(c, s, there)
        errors = keep_where(is_open, rule.errors(evidence), errors)
        is_open = is_open & ~rule.fit(evidence, errors)
        rows = keep_where(is_open & own & active, work.rows(new), there)
        return work.put(states, rows, c), (new, is_open, errors)

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
