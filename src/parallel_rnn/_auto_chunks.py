"""What `chunk="auto"` means: chunks where f forgets what it started from, else none.

Where f remembers, the repair of chunks takes as long as taking the steps one after another. Which
of the two it is, is tried on the first chunk, for about a hundredth of the work.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._adjoint import UnrolledAdjoint
from ._chunks import WARM_UP, Chunked, in_chunks
from ._finite import worst
from ._iterate import Iterate
from ._linear_scan import platform
from ._methods import Jacobi, QuasiDEER
from ._solver import AbstractSolver, Window, stepped
from ._varying import axes_of, varying_over
from ._window import state_before, steps_from

# So many chunks fill the vector units of a CPU. Shorter ones would be all warm-up.
NUM_CHUNKS = 128
SHORTEST_CHUNK = 3 * WARM_UP
# The part of a chunk that its repair may take. Deeper ones cost what chunks gain.
DEEPEST_REPAIR = 1 / 4
# So many series under `vmap` fill the vector units by themselves, and are as fast in turn.
MANY = 16
# One sweep is enough, but where the joints of all chunks are off in one direction.
SWEEPS = 2
# So many steps are taken one after another before the next inputs are projected.
BLOCK = 1024


class ChunkedIfForgetful(AbstractSolver):
    """Chunks where f forgets, and one step after another where it does not.

    What f forgets needs no Jacobian to join chunks.
    """

    chunked: Chunked

    def run(self, window, max_steps, loop):
        del max_steps, loop
        pays = _of_batch(self._forgets(window), MANY)
        swept = self.chunked.run_where(pays, window, SWEEPS)
        return _in_turn_unless(_of_batch(swept.verdict.accepted), window, swept)

    def _forgets(self, window: Window) -> Bool[Array, ""]:
        """Whether the repair of a chunk is likely to end early, as seen on the first chunk.

        A warmed up start is compared with the state that is right. Where w steps leave the part δ
        of a difference, w log(eps) / log(δ) steps leave eps of it.
        """
        first = self.chunked.size - WARM_UP
        step = window.recurrence.step

        def turn(s: Array, x: PyTree) -> tuple[Array, None]:
            return step(s, x), None

        def turn_both(pair: Array, x: PyTree) -> tuple[Array, None]:
            return jax.vmap(step, (0, None))(pair, x), None

        before = jax.lax.scan(turn, window.s0, steps_from(window.inputs, 0, first), first)[0]
        pair = jnp.stack([before, window.guess[first - 1]])
        end = steps_from(window.inputs, first, WARM_UP)
        right, warmed_up = jax.lax.scan(turn_both, pair, end, WARM_UP)[0]
        left = worst(jnp.abs(right - warmed_up)) / worst(jnp.abs(pair[0] - pair[1]))
        depth = WARM_UP * jnp.log(jnp.finfo(right.dtype).eps) / jnp.log(left)
        is_early = depth <= WARM_UP + DEEPEST_REPAIR * self.chunked.size
        return (left == 0) | ((left < 1) & is_early)

    def has_tolerance(self) -> bool:
        """Whether the user says how large a residual may be."""
        return False

    def default_max_steps(self, window):
        del window
        return SWEEPS

    def numbers_per_step(self, state_size):
        del state_size
        return 0


def _in_turn_unless(right: Bool[Array, ""], window: Window, swept: Iterate) -> Iterate:
    """What a sweep found where that is right, else the states of one step after another.

    They are written over those of the sweep, block by block: inputs are projected all at once then,
    and stay in the cache until the steps that take them. No block is taken where all is right; a
    branch would copy all states.
    """
    length = len(swept.states)
    size = min(BLOCK, length)

    def step(s: Array, z: PyTree) -> tuple[Array, Array]:
        s = window.recurrence.projected_step(s, z)
        return s, s

    def take(number: Int[Array, ""], states: Float[Array, "T D"]) -> Float[Array, "T D"]:
        # The last block reaches back over steps that are taken already.
        start = jnp.minimum(number * size, length - size)
        before = state_before(start, window.s0, states)
        inputs = window.recurrence.project_all(steps_from(window.inputs, start, size))
        new = jax.lax.scan(step, before, inputs, size)[1]
        return jax.lax.dynamic_update_slice_in_dim(states, new, start, 0)

    num_blocks = math.ceil(length / size)
    first = jnp.where(right, num_blocks, 0)
    states = varying_over(axes_of(window), swept.states)
    states = jax.lax.fori_loop(first, num_blocks, take, states)
    residual, num_steps = jnp.zeros_like(swept.verdict.residual), jnp.zeros_like(swept.num_steps)
    taken = stepped(window, states, residual, num_steps, swept.trace)
    swept = eqx.tree_at(lambda iterate: iterate.states, swept, states)
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(right, a, b), swept, taken)


def solver_of(options: Any, length: int) -> AbstractSolver:
    """The solver of the options of `solve`, in chunks where they ask for them.

    "auto" leaves all that is asked for as it is: a solver, a window, iterates to look at. On a GPU
    it does nothing yet.
    """
    if options.chunk != "auto":
        return in_chunks(options.solver, options.chunk, length)
    size = max(SHORTEST_CHUNK, math.ceil(length / NUM_CHUNKS))
    if platform() != "cpu" or 2 * size > length or not _is_left_open(options):
        return options.solver
    return ChunkedIfForgetful(Chunked(Jacobi(), size))


def _is_left_open(options: Any) -> bool:
    """Whether it is open how the states are found."""
    return (
        bool(eqx.tree_equal(options.solver, QuasiDEER()))
        and options.window == "auto"
        and options.guess is None
        and options.max_steps is None
        and options.trace is None
        and not isinstance(options.adjoint, UnrolledAdjoint)
    )


def _of_batch(flag: Bool[Array, ""], most: float = math.inf) -> Bool[Array, ""]:
    """The flag; under `vmap`, whether all series have it, and are fewer than `most`.

    It is the same for all series then, so their loops end together.
    """

    @jax.custom_batching.custom_vmap
    def together(flag: Bool[Array, ""]) -> Bool[Array, ""]:
        return flag

    @together.def_vmap
    def _(size: int, is_batched: list, flag: Bool[Array, " B"]) -> tuple[Bool[Array, ""], bool]:
        del is_batched
        return _of_batch(jnp.all(flag) & (size < most), most), False

    return together(flag)
