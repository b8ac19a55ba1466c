"""What `chunk="auto"` means: chunks where f forgets what it started from, else none.

Where f remembers, the repair of chunks takes as long as taking the steps one after another. On a
CPU, which of the two it is, is tried on the first chunk, for about a hundredth of the work, and
then on some of all chunks. Where the sequence is short, steps are taken one after another without a
trial. A GPU takes all chunks at once in the time of one, so there a sweep of all is the trial.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._chunks.chunks import Chunked, in_chunks
from .._chunks.forgetting import last_start, steps_to_forget
from .._chunks.side_by_side import WARM_UP
from .._finite import all_finite
from .._gradients.adjoint import (
    AbstractAdjoint,
    DirectAdjoint,
    ImplicitAdjoint,
    ScannedAdjoint,
    UnrolledAdjoint,
)
from .._gradients.linearised import BLOCK
from .._linear.linear_scan import keep_where, platform
from .._programs.in_place import put
from .._programs.program import closed
from .._programs.varying import axes_of, varying_over
from .._recurrence.flat import FlatRecurrence, joined, vectors_of
from .._right.acceptance import accumulation_dtype, only_if
from .._solvers.iterate import Iterate
from .._solvers.methods import Jacobi
from .._solvers.solver import AbstractSolver, Sequential, Window, count_finite, stepped
from .._solvers.window import state_before, step_at, steps_from
from .._types import Parts, State
from .worth import (
    LANES,
    chunks_pay,
    most_series_for_chunks,
    projecting_pays,
    shortest_for_chunks,
    sweep_pays,
)

# So many chunks fill the vector units of a CPU. Shorter ones would be all warm-up.
NUM_CHUNKS = 128
SHORTEST_CHUNK = 3 * WARM_UP
# The part of a chunk that its repair may take. Deeper ones cost what chunks gain.
DEEPEST_REPAIR = 1 / 4
# One sweep is enough, but where the joints of all chunks are off in one direction.
SWEEPS = 2
# One chunk in so many is tried.
TRIED = 8
# On a GPU every step of a chunk costs the start of its kernels. One of 32 steps takes as long in
# all, one of 128 a tenth longer (GRU of 64 units, 16 series, NVIDIA H200).
CHUNK_ON_GPU = 64
SHORTEST_CHUNK_ON_GPU, LONGEST_CHUNK_ON_GPU = WARM_UP, 128
# A scan of states of so many numbers is differentiated as fast as the equation that they solve, or
# up to twice as fast: where steps are taken in turn, and where chunks find the states faster (GRUs
# and LSTMs, batches of 1 to 64 series).
WIDE_IN_TURN, WIDE_IN_CHUNKS = 16, 64

# From the arrays of a window to its states.
Search: TypeAlias = Callable[[PyTree], Iterate]


class ChunkedIfForgetful(AbstractSolver):
    """Chunks where f forgets, and one step after another where it does not.

    What f forgets needs no Jacobian to join chunks. Many series under `vmap` take their steps in
    turn without a trial, which alone would need the memory of several times all states.
    """

    chunked: Chunked
    in_turn: Sequential

    def run(self, window, max_steps, loop):
        arrays, rest = eqx.partition(window, eqx.is_array)

        def few(arrays: PyTree) -> Iterate:
            window = eqx.combine(arrays, rest)
            swept = self.chunked.run_where(self._pays(window), window, SWEEPS)
            return _in_turn_unless(_of_batch(swept.verdict.accepted), window, swept)

        def many(arrays: PyTree) -> Iterate:
            return self.in_turn.run(eqx.combine(arrays, rest), max_steps, loop)

        return _of_few(few, many, most_series_for_chunks(window.recurrence), arrays)

    def _pays(self, window: Window) -> Bool[Array, ""]:
        """Whether the repairs of chunks are likely to end early.

        The first chunk is tried alone, because where f remembers, that is all that is lost. What
        holds of it need not hold of the others.
        """
        size = self.chunked.size
        right = last_start(window, size)
        starts = jnp.stack([right, window.s0])
        num_chunks = math.ceil(len(window.guess) / size)
        few = jnp.arange(min(TRIED, num_chunks) - 1, num_chunks, TRIED)
        pays = jnp.asarray(True)
        for chunks in (jnp.zeros(1, int), few):
            number = steps_to_forget(window, size, chunks, starts, pays)
            pays = _of_batch(number <= WARM_UP + DEEPEST_REPAIR * size)
        return pays

    def has_tolerance(self) -> bool:
        """Whether the user says how large a residual may be."""
        return False

    def default_max_steps(self, window):
        del window
        return SWEEPS

    def numbers_per_step(self, state_size):
        del state_size
        return 0


class SweptFirst(AbstractSolver):
    """Chunks where f forgets, and an iteration on single steps where it does not.

    A sweep takes a GPU as long as one or two iterations. Where it is not enough, its states are
    still nearer than a guess, because the last ones of each chunk have forgotten most of it, so
    the iteration starts from them.
    """

    chunked: Chunked
    otherwise: AbstractSolver

    def run(self, window, max_steps, loop):
        wanted = jnp.asarray(max_steps > 0)  # A window that follows a failure is not.
        swept = self.chunked.run_where(wanted, window, SWEEPS)
        axes = axes_of((window, swept))

        def turn(carry: tuple[Array, Iterate]) -> tuple[Array, Iterate]:
            swept = carry[1]
            is_better = wanted & all_finite(swept.states)
            guess = keep_where(is_better & window.counts(), swept.states, window.guess)
            again = dataclasses.replace(window, guess=guess)
            found = self.otherwise.run(again, jnp.maximum(max_steps - SWEEPS, 0), loop)
            num_steps = found.num_steps + jnp.where(wanted, swept.num_steps, 0)
            found = dataclasses.replace(found, num_steps=num_steps)
            return varying_over(axes, (jnp.asarray(False), found))

        # A branch would copy all states.
        start = varying_over(axes, (~_of_batch(swept.verdict.accepted), swept))
        return jax.lax.while_loop(lambda carry: carry[0], turn, start)[1]

    def has_tolerance(self) -> bool:
        """Whether the user says how large a residual may be."""
        return False

    def default_max_steps(self, window):
        return SWEEPS + self.otherwise.default_max_steps(window)

    def numbers_per_step(self, state_size):
        return self.otherwise.numbers_per_step(state_size)


class Projected(Sequential):
    """One step after another, from inputs that are projected beforehand."""

    def run(self, window, max_steps, loop):
        del max_steps
        states, no = jnp.zeros_like(window.guess), jnp.asarray(False)
        return _taken_unless(no, window, states, loop.empty_trace(states))


class Held(Sequential):
    """One step after another, which holds still in padding.

    There it takes the first step again, whose derivatives are finite, and forgets what that gives.
    States that go on may become infinite, and so may the derivatives of what they are.
    """

    def run(self, window, max_steps, loop):
        recurrence = window.recurrence
        first = recurrence.unravel(window.s0), step_at(window.inputs, 0)

        def step(s: State, element: tuple[Bool[Array, ""], Any]) -> State:
            counts, x = element
            new = recurrence.shaped_step(*_chosen(counts, (s, x), first))
            return _chosen(counts, new, s)

        counts = jnp.arange(len(window.guess)) < window.valid_length
        inputs = (counts, window.inputs)
        program = closed(step, first[0], step_at(inputs, 0))
        recurrence = dataclasses.replace(recurrence, shaped_step=program)
        window = dataclasses.replace(window, recurrence=recurrence, inputs=inputs)
        return super().run(window, max_steps, loop)


def _chosen(flag: Bool[Array, ""], tree: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), tree, other)


def _in_turn_unless(right: Bool[Array, ""], window: Window, swept: Iterate) -> Iterate:
    """What a sweep found where that is right, else the states of one step after another.

    They are written over those of the sweep. No step is taken where all is right; a branch would
    copy all states.
    """
    taken = _taken_unless(right, window, swept.states, swept.trace)
    swept = eqx.tree_at(lambda iterate: iterate.states, swept, taken.states)
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(right, a, b), swept, taken)


def _taken_unless(
    right: Bool[Array, ""], window: Window, states: Float[Array, "T D"], trace: PyTree
) -> Iterate:
    """The outcome of one step after another, unless all states are right."""
    parts = window.recurrence.split(varying_over(axes_of(window), states))
    parts = _take_steps(right, window, parts)
    num_finite = only_if(
        ~right,
        lambda parts: count_finite(parts, window.valid_length),
        parts,
        jnp.asarray(len(states)),
    )
    states = joined(parts)
    residual = jnp.zeros((), accumulation_dtype(states.dtype))
    return stepped(window, states, num_finite, residual, jnp.zeros((), int), trace)


def _take_steps(right: Bool[Array, ""], window: Window, states: Parts) -> Parts:
    """The states of one step after another, unless all are right.

    Where projecting inputs is worth it, those of a block are projected all at once, and stay in the
    cache until the steps that take them.
    """
    length, recurrence, axes = len(window.guess), window.recurrence, axes_of(states)
    if projecting_pays(recurrence):
        size, prepare = min(BLOCK, length), recurrence.project_all
        shaped, step, parts = lambda vector: vector, recurrence.projected_step, recurrence.split
    else:
        size, prepare = length, lambda inputs, _: inputs
        shaped, step, parts = recurrence.unravel, recurrence.shaped_step, vectors_of

    def take(number: Int[Array, ""], states: Parts) -> Parts:
        # The last block reaches back over steps that are taken already.
        start = jnp.minimum(number * size, length - size)
        inputs = prepare(steps_from(window.inputs, start, size), size)

        def turn(i: Int[Array, ""], now: tuple[State, Parts]) -> tuple[State, Parts]:
            s, states = now
            s = varying_over(axes, step(s, step_at(inputs, i)))
            return s, put(states, parts(s), start + i, axis=0)

        before = shaped(joined(state_before(start, recurrence.split(window.s0), states)))
        return jax.lax.fori_loop(0, size, turn, (before, states))[1]

    num_blocks = math.ceil(length / size)
    first = jnp.where(right, num_blocks, 0)
    return jax.lax.fori_loop(first, num_blocks, take, states)


def solver_of(
    options: Any, length: int, recurrence: FlatRecurrence, is_padded: bool
) -> AbstractSolver:
    """The solver of the options of `solve`, in chunks where they ask for them.

    "auto" leaves all that is asked for as it is: a solver, a window, iterates to look at. What f
    does beside returning a state, it does in the order of the steps.
    """
    chunk = None if options.chunk == "auto" else options.chunk
    solver = in_chunks(options.method, chunk, length)
    if is_left_open(options):
        solver = _fastest(length, recurrence, solver)
    if isinstance(solver, Sequential) and _is_scanned(recurrence):
        return Held() if is_padded else Sequential()
    return solver


def _is_scanned(recurrence: FlatRecurrence) -> bool:
    """Whether only a scan as it is will do.

    It alone has derivatives of a `jax.custom_vjp`, which is no forward derivative, and does what f
    does beside returning a state once a step and of no other state.
    """
    return recurrence.step.has_custom_vjp() or recurrence.step.acts()


def _fastest(length: int, recurrence: FlatRecurrence, otherwise: AbstractSolver) -> AbstractSolver:
    """The fastest way on this platform, `otherwise` where none is known."""
    if _is_scanned(recurrence):
        return Sequential()
    if platform() == "cpu":
        return _fastest_on_cpu(length, recurrence)
    if platform() == "gpu" and sweep_pays(length, recurrence):
        return SweptFirst(Chunked(Jacobi(), chunk_on_gpu(length)), otherwise)
    return otherwise


def _fastest_on_cpu(length: int, recurrence: FlatRecurrence) -> AbstractSolver:
    in_turn = Projected() if projecting_pays(recurrence) else Sequential()
    if length < shortest_for_chunks(recurrence) or not chunks_pay(recurrence):
        return in_turn
    size = max(SHORTEST_CHUNK, math.ceil(length / num_chunks_of(length)))
    return ChunkedIfForgetful(Chunked(Jacobi(), size), in_turn)


def chunk_on_gpu(length: int) -> int:
    """About `CHUNK_ON_GPU`: a number that divides T if there is one, so that no input is padded."""
    sizes = range(SHORTEST_CHUNK_ON_GPU, LONGEST_CHUNK_ON_GPU + 1)
    dividing = [size for size in sizes if length % size == 0]
    return min(dividing, key=lambda size: abs(size - CHUNK_ON_GPU), default=CHUNK_ON_GPU)


def adjoint_of(
    adjoint: AbstractAdjoint,
    solver: AbstractSolver,
    recurrence: FlatRecurrence,
    size: int,
    is_padded: bool,
) -> AbstractAdjoint:
    """The adjoint that was asked for; that of `jax.lax.scan` where the default has none or is slow.

    The implicit equation takes both modes of f, of which a `jax.custom_vjp` has one, and evaluates
    f again. A scan goes through padding too, where steps may be infinite, and then derivatives are.
    """
    if adjoint != ImplicitAdjoint():
        return adjoint
    if isinstance(solver, Sequential) and _is_scanned(recurrence):
        return DirectAdjoint()
    if is_padded or platform() != "cpu" or size < _wide(solver):
        return adjoint
    if type(solver) is Sequential:
        return DirectAdjoint()
    # JAX cannot transpose the derivative of a branch that `vmap` has turned into a choice.
    return adjoint if recurrence.step.has_branches() else ScannedAdjoint()


def _wide(solver: AbstractSolver) -> float:
    """The size of states from which on a scan is differentiated faster, however they are found."""
    if isinstance(solver, Sequential):
        return WIDE_IN_TURN
    return WIDE_IN_CHUNKS if isinstance(solver, ChunkedIfForgetful) else math.inf


def num_chunks_of(length: int) -> int:
    """About `NUM_CHUNKS`: a number that divides T if there is one, so that no input is padded.

    Padding copies all inputs, and the states once more. Half as many chunks, or twice, are nearly
    as fast; better so many that fill vectors.
    """
    dividing = [
        number for number in range(NUM_CHUNKS // 2, 2 * NUM_CHUNKS + 1) if length % number == 0
    ]

    def cost(number: int) -> tuple[bool, bool, int]:
        return number % (2 * LANES) > 0, number % LANES > 0, abs(number - NUM_CHUNKS)

    return min(dividing, key=cost, default=NUM_CHUNKS)


def is_left_open(options: Any) -> bool:
    """Whether it is open how the states are found, and there is a choice."""
    return (
        options.solver is None
        and options.window == "auto"
        and options.chunk == "auto"
        and options.guess is None
        and options.max_steps is None
        and options.trace is None
        and not isinstance(options.adjoint, UnrolledAdjoint)
    )


def _of_few(few: Search, many: Search, most: int, window: PyTree) -> Iterate:
    """`few(window)`; under `vmap`, `many(window)` where there are `most` series or more.

    A batch whose size is not known yet may be any.
    """

    @jax.custom_batching.custom_vmap
    def run(window: PyTree) -> Iterate:
        return few(window)

    @run.def_vmap
    def _(size: Any, is_batched: list, window: PyTree) -> tuple[Iterate, PyTree]:
        axes = jax.tree.map(lambda batched: 0 if batched else None, is_batched[0])
        all_few, all_many = (jax.vmap(search, (axes,)) for search in (few, many))
        if isinstance(size, int) and size < most:
            found = _of_few(all_few, all_many, math.ceil(most / max(size, 1)), window)
        else:
            found = all_many(window)
        return found, jax.tree.map(lambda _: True, found)

    return run(window)


def _of_batch(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """The flag; under `vmap`, whether all series have it.

    It is the same for all series then, so their loops end together.
    """

    @jax.custom_batching.custom_vmap
    def together(flag: Bool[Array, ""]) -> Bool[Array, ""]:
        return flag

    @together.def_vmap
    def _(size: Any, is_batched: list, flag: Bool[Array, " B"]) -> tuple[Bool[Array, ""], bool]:
        del size, is_batched
        return _of_batch(jnp.all(flag)), False

    return together(flag)
