"""What is worth its time, for an f of which only the program is known.

The numbers for a CPU are fitted to what was measured on two cores: all cells of the package, those
of Equinox, elementwise functions and products of matrices, of 1 to 128 units, with inputs of 1 to
128 numbers. The rules would rather leave a gain than lose more than a tenth against one step after
another. They cannot tell an LSTM of 16 units, of which some runs did lose more.
"""

import math
from typing import Any

import equinox as eqx
import jax

from .._programs.program import equations_of
from .._recurrence.flat import FlatRecurrence

# So many series fill the vector units by themselves, and so do states of so many numbers in all.
MANY, MANY_NUMBERS = 16, 512
# Products with so many columns read wide weights as seldom as chunks do.
MANY_WIDE_NUMBERS = 1024

# So many weights of the input are read in a step without making it slower, where rows are multiples
# of so many numbers, and where they are not.
LANES = 8
HIDDEN, HIDDEN_IN_PART = 2**14, 2**10

# Operations that take many cycles a number, of which XLA computes several numbers at once.
SLOW = {"tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf"}
# How many slow operations take as long as chunks take to move a number of the state, and one of the
# input, where steps fill the vector units. Where no part of a state is wider than this many
# numbers, steps do not fill them, and chunks gain more.
WIDE, NARROW = (9 / 4, 1 / 2), (1, 1 / 4)
NARROW_PART = 8

# Shorter sequences gain less than the trial, the warm-up and the start of wide operations take
# (GRUs of 1 to 128 units, of this package, Equinox and Flax). The weights of wide states leave the
# cache, so that each step reads them from memory, and chunks read them once for all chunks.
SHORTEST, SHORTEST_OF_WIDE = 2**15, 9_216
WIDE_PART = 256

# The shortest sequence for which chunks were measured on a GPU (an NVIDIA H200): they took 0.6 of
# the time of quasi-DEER.
SHORTEST_ON_GPU = 10_000


def together_pays(num_series: int, num_numbers: int) -> bool:
    """Whether series take their steps side by side in less time than one after another."""
    return num_series >= MANY or num_numbers >= MANY_NUMBERS


def projecting_pays(recurrence: FlatRecurrence) -> bool:
    """Whether steps that see projected inputs are faster by more than projecting them takes.

    A step waits for the one before it, and a CPU works on the input meanwhile. It has no time for
    that where the weights are many, or rows do not fill its vectors. What `project` does beside
    returning numbers it does in the order of the steps.
    """
    if recurrence.step.acts():
        return False
    weights = [leaf for leaf in jax.tree.leaves(recurrence.project) if eqx.is_array(leaf)]
    num_weights = sum(leaf.size for leaf in weights if leaf.ndim > 1)
    shapes = [variable.aval.shape for variable in recurrence.step.parameters()[1:]]
    fill_vectors = all(shape[-1] % LANES == 0 for shape in shapes if shape)
    return num_weights > (HIDDEN if fill_vectors else HIDDEN_IN_PART)


def chunks_pay(recurrence: FlatRecurrence) -> bool:
    """Whether chunks gain anything where f forgets.

    They fill the vector units where a step waits for its slow operations, and they move states and
    inputs, which one step after another reads as they come.
    """
    state, *inputs = recurrence.step.parameters()
    of_state, of_input = NARROW if _widest_part(recurrence) <= NARROW_PART else WIDE
    outputs = [
        variable
        for equation in equations_of(recurrence.step.program)
        if equation.primitive.name in SLOW
        for variable in equation.outvars
    ]
    moved = of_state * _size(state) + of_input * sum(map(_size, inputs))
    return sum(map(_size, outputs)) >= moved


def shortest_for_chunks(recurrence: FlatRecurrence) -> int:
    """From which length T on chunks gain more than the trial and the warm-up take."""
    return SHORTEST_OF_WIDE if _widest_part(recurrence) >= WIDE_PART else SHORTEST


def most_series_for_chunks(recurrence: FlatRecurrence) -> int:
    """So many series under `vmap` are as fast step by step."""
    return min(MANY, MANY_WIDE_NUMBERS // _widest_part(recurrence))


def sweep_pays(length: int, recurrence: FlatRecurrence) -> bool:
    """Whether a sweep of chunks is worth its time on a GPU before f is known to forget.

    A linear f takes quasi-DEER few iterations, whether it forgets or not. So f is to have functions
    that level off, as those of recurrent networks do.
    """
    names = {equation.primitive.name for equation in equations_of(recurrence.step.program)}
    return length >= SHORTEST_ON_GPU and bool(names & SLOW)


def _widest_part(recurrence: FlatRecurrence) -> int:
    inputs = recurrence.step.parameters()[1:]
    parts = recurrence.shaped_step.parameters()
    return max(map(_size, parts[: len(parts) - len(inputs)]))


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)
