"""A sequence as chunks that lie side by side: how all chunks take a step together.

What the steps are for, sweeps and repairs, is told in `chunks.py`.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._linear.linear_scan import keep_where, platform
from .._linear.matrices import structure_of
from .._programs.in_place import put
from .._programs.pieces import change_on_piece
from .._programs.program import Program
from .._programs.varying import axes_of, varying_over
from .._recurrence.flat import joined, vectors_of
from .._right.acceptance import Evidence
from .._solvers.iterate import shift
from .._solvers.methods import AbstractNewton
from .._solvers.solver import Window, count_finite
from .._solvers.window import step_at
from .._types import Jacobians, Parts, State

# What f remembers of a guess is mostly gone after so many steps, where it forgets at all.
WARM_UP = 48


class Work(eqx.Module):
    """A window as K chunks, whose steps of the same number are taken together.

    The states of all steps are an array (K, C, N) for each of their parts, such as c and h of an
    LSTM: that is their order in time, and how the user gets them, so nothing has to be moved. The
    inputs `xs` lie so too. The states of one step of all chunks are rows (K, D), or columns (D, K)
    where `axis` is -1: on a CPU, where operations on neighbouring numbers are the fast ones. Steps
    that are padding keep the state. Loops over the steps of a chunk end at `end`: C, or 0 where
    nothing is to be done. (A branch would copy all states that it returns.)
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

    def parts(self, s: State) -> Parts:
        """The parts (K, N) of states as `shaped` makes them."""
        return jax.vmap(vectors_of, self.axis)(s)

    def split(self, rows: Float[Array, "*axes D"]) -> Parts:
        """The same of states as vectors."""
        return [rows] if self.axis == 0 else self.window.recurrence.split(rows)

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

    def rows_at(self, states: Parts, c: Int[Array, ""] | int) -> Float[Array, "K D"]:
        return joined(self.at(states, c))

    def put(self, states: Parts, parts: Parts, c: Int[Array, ""]) -> Parts:
        return put(states, parts, c, axis=1)

    def ends(self, states: Parts) -> Float[Array, "K D"]:
        return self.rows_at(states, self.size - 1)

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
            return shift(self.window.s0, joined(self.parts(ends)))

        starts = shift(self.window.s0, self.window.guess)[begin]
        return self.loop(0, math.ceil(WARM_UP / self.size), once_more, starts)

    def loop(
        self, first: int, end: Array | int, turn: Callable[[Array, PyTree], PyTree], start: PyTree
    ) -> PyTree:
        """`turn(n, carry)` for n from `first` to `end` - 1."""
        start = varying_over(axes_of((start, self.window, self.xs)), start)
        return jax.lax.fori_loop(first, end, turn, start)

    def sweep(self, starts: Float[Array, "K D"]) -> Parts:
        """The states of all steps."""

        def turn(c: Int[Array, ""], carry: tuple[State, Parts]) -> tuple[State, Parts]:
            s, states = carry
            s = self.shaped_step(c, s, self.at(self.xs, c))
            return s, self.put(states, self.parts(s), c)

        states = [
            jnp.zeros((self.num_chunks, self.size, part.shape[1]), part.dtype)
            for part in self.split(starts)
        ]
        return self.loop(0, self.end, turn, (self.shaped(starts), states))[1]

    def sweep_with_products(
        self,
        solver: AbstractNewton,
        starts: Float[Array, "K D"],
        number: Int[Array, ""],
        states: Parts,
        is_open: Bool[Array, " K"],
    ) -> tuple[Parts, Jacobians]:
        """The states, of open chunks, and the product of the transitions along each chunk."""

        def transition(c: Array, s: Float[Array, "K D"], x: PyTree) -> Jacobians:
            inputs = self.window.recurrence.project_all(x, len(s))
            A = solver.transition.linearise(self.window.recurrence, s, inputs, number)[1]
            return keep_where(self.counts(c), A, structure_of(A, s).identity_like(A))

        def turn(c: Array, carry: tuple[Array, Jacobians, Parts]) -> tuple[Array, Jacobians, Parts]:
            s, W, states = carry
            x = self.at(self.xs, c)
            A = transition(c, self.rows(s), x)
            W = structure_of(A, starts).multiply(A, W)
            # Not the values that come with A: a closed form may round in another way than the
            # steps of the repair, which are to find what is there.
            s = self.step(c, s, x)
            new = keep_where(is_open, self.rows(s), self.rows_at(states, c))
            return s, W, self.put(states, self.split(new), c)

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

        recurrence = self.window.recurrence
        change_of_one = change_on_piece(recurrence.projected_step)
        previous, values = self.rows(s), self.rows(new)

        def change(moved: Float[Array, "K D"]) -> Float[Array, "K D"]:
            if change_of_one is None:
                return self.rows(self.step(c, self.side_by_side(moved), x)) - values
            inputs = recurrence.project_all(x, self.num_chunks)
            return jax.vmap(change_of_one)(previous, moved, inputs)

        return new, Evidence(previous, there, values, counts, c + 1, jnp.asarray(True), change)

    def num_finite(self, states: Parts) -> Int[Array, ""]:
        """How many leading steps have a finite state."""
        # With its padding, which keeps the last state: without it would be a copy.
        number = count_finite(self._by_step(states), self.window.valid_length)
        return jnp.minimum(number, self.length)

    def in_order(self, states: Parts) -> Float[Array, "T D"]:
        """All states, one step after another."""
        return joined([part[: self.length] for part in self._by_step(states)])

    def _by_step(self, states: Parts) -> Parts:
        number = self.num_chunks * self.size
        return [part.reshape(number, part.shape[-1]) for part in states]


def arranged(window: Window, size: int, end: Int[Array, ""] | int) -> Work:
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
    return Work(window, xs, end, size, axis)
