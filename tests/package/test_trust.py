"""No wrong answer is called right: random recurrences against `jax.lax.scan` in the same dtype.

`TRUST_DRAWS=10000 ./run pytest tests/package/test_trust.py -s` draws more and prints a table.
"""

import os
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    RESULTS,
    AbstractSolver,
    AdaptiveDamping,
    AssociativeScan,
    BlockDiagonal,
    ClipELK,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    ScaleELK,
    Sequential,
    StochasticDiagonal,
    solve_batch,
)

from draws import UNBOUNDED, Draw, draw, rounding_bound, sequential

pytestmark = pytest.mark.usefixtures("chunks_of_short_sequences")

NUM_DRAWS = int(os.environ.get("TRUST_DRAWS", "2000"))

# The promise is 8 roundings a step at most, of a scale that counts twice what recent steps have
# left; the step of `lax.scan` rounds too.
FACTOR = 16
# Beyond this, in a component's size, what rounding does is no small change any more.
LARGEST_BOUND = 0.1
# Products of Jacobians that stay below this are bounded.
BOUNDED = 100
# In a component's size, this is nothing: a state that is 0 has no rounding of its own.
NOTHING = 1e-25

UNDAMPED, ELKS, OTHERS = "undamped", "ELK", "others"

# dtype, D, T at most, kind of method, solver, options.
SETTINGS = {
    "default": ("float32", 4, 5000, UNDAMPED, None, {}),
    "default, bfloat16": ("bfloat16", 4, 1000, UNDAMPED, None, {}),
    "quasi-DEER": ("float32", 4, 5000, UNDAMPED, QuasiDEER(), {}),
    "DEER": ("float32", 4, 5000, UNDAMPED, DEER(), {}),
    "Jacobi": ("float32", 4, 1000, UNDAMPED, Jacobi(), {}),
    "Picard": ("float32", 4, 1000, UNDAMPED, Picard(), {}),
    "ELK": ("float32", 4, 1000, ELKS, ELK(1e-3), {}),
    "quasi-ELK": ("float32", 4, 1000, OTHERS, QuasiELK(1e-1), {}),
    "quasi-DEER, D = 1": ("float32", 1, 1000, UNDAMPED, QuasiDEER(), {}),
    "DEER, D = 8": ("float32", 8, 1000, UNDAMPED, DEER(), {}),
    "quasi-DEER, chunks of 100": ("float32", 4, 5000, UNDAMPED, QuasiDEER(), {"chunk": 100}),
    "quasi-DEER, chunks of 7": ("float32", 4, 1000, UNDAMPED, QuasiDEER(), {"chunk": 7}),
    "DEER, chunks of 20": ("float32", 4, 1000, UNDAMPED, DEER(), {"chunk": 20}),
    "Jacobi, chunks of 50": ("float64", 4, 1000, UNDAMPED, Jacobi(), {"chunk": 50}),
    "quasi-DEER, whole": ("float32", 4, 5000, UNDAMPED, QuasiDEER(), {"window": None}),
    "DEER, whole": ("float32", 4, 1000, UNDAMPED, DEER(), {"window": None}),
    "quasi-DEER, associative": (
        "float32",
        4,
        1000,
        UNDAMPED,
        QuasiDEER(linear_scan=AssociativeScan()),
        {"window": 300},
    ),
    "DEER, associative": (
        "float32",
        4,
        1000,
        UNDAMPED,
        DEER(linear_scan=AssociativeScan()),
        {"window": None},
    ),
    "ELK, associative": (
        "float32",
        4,
        200,
        ELKS,
        ELK(1e-3, linear_scan=AssociativeScan()),
        {"window": None},
    ),
    "quasi-DEER, windows of 7": ("float32", 4, 200, UNDAMPED, QuasiDEER(), {"window": 7}),
    "Jacobi, windows of 4": ("float32", 4, 1000, UNDAMPED, Jacobi(), {"window": 4}),
    "blocks": (
        "float32",
        4,
        1000,
        UNDAMPED,
        QuasiDEER(transition=BlockDiagonal(2)),
        {},
    ),
    "stochastic": (
        "float32",
        4,
        200,
        UNDAMPED,
        QuasiDEER(transition=StochasticDiagonal()),
        {},
    ),
    "scale-ELK": ("float32", 4, 200, UNDAMPED, ScaleELK(0.1), {}),
    "clip-ELK": ("float32", 4, 200, UNDAMPED, ClipELK(), {}),
    "ELK, smoother": ("float32", 4, 200, OTHERS, ELK(1e-3, "smoother"), {}),
    "quasi-ELK, smoother": ("float32", 4, 200, OTHERS, QuasiELK(1e-1, "smoother"), {}),
    "ELK, adaptive": ("float32", 4, 200, OTHERS, ELK(AdaptiveDamping(), "smoother"), {}),
    "fallback": (
        "float32",
        4,
        1000,
        UNDAMPED,
        QuasiDEER(),
        {"max_steps": 3, "fallback": Sequential()},
    ),
    "sequential": ("float32", 4, 1000, OTHERS, Sequential(), {}),
    "groups of 4": ("float32", 4, 200, UNDAMPED, QuasiDEER(), {"group": 4}),
    "float64": ("float64", 4, 1000, UNDAMPED, QuasiDEER(), {}),
    "float64, DEER": ("float64", 4, 1000, UNDAMPED, DEER(), {}),
    "float64, ELK": ("float64", 4, 200, ELKS, ELK(1e-3), {}),
    "bfloat16": ("bfloat16", 4, 1000, UNDAMPED, QuasiDEER(), {}),
    "bfloat16, DEER": ("bfloat16", 4, 1000, UNDAMPED, DEER(), {}),
    "bfloat16, Jacobi": ("bfloat16", 4, 200, UNDAMPED, Jacobi(), {}),
    "bfloat16, quasi-ELK": ("bfloat16", 4, 200, OTHERS, QuasiELK(1e-1), {}),
}


def solved(drawn: Draw, solver: AbstractSolver | None, options: dict[str, Any]):
    """Whether the answer is called right, and the states."""
    group = options.get("group", 1)
    s0, xs = jax.tree.map(lambda leaf: jnp.stack([leaf] * group), (drawn.s0, drawn.xs))
    lengths = jnp.full((group,), drawn.length)
    solution = solve_batch(drawn.f, s0, xs, solver, lengths=lengths, throw=False, **options)
    return bool((solution.result == RESULTS.successful)[0]), solution.value[0]


def reference(drawn):
    """The sequential states, how far a right answer may be off, whether products are bounded."""
    wanted = sequential(drawn.f, drawn.s0, drawn.xs)
    bound, products = rounding_bound(drawn.f, drawn.s0, drawn.xs, wanted)
    count = slice(drawn.length)
    bound, products, wanted = (np.asarray(a, float)[count] for a in (bound, products, wanted))
    return wanted, bound, drawn.kind not in UNBOUNDED and products.max() < BOUNDED


def distance(drawn, value, wanted, bound):
    """The largest difference, in units of what rounding explains, where that is a small change."""
    sizes = np.asarray(drawn.f.size, float)
    known = np.cumprod(np.all(bound <= LARGEST_BOUND * sizes, axis=1)).astype(bool)
    difference = np.abs(np.asarray(value, float)[: drawn.length] - wanted)[known]
    return float(np.max(difference / (bound[known] + NOTHING * sizes), initial=0))


@cache
def outcome(name):
    """Over the draws of a setting: the wrong answers called right, and those that had to be and
    were solved."""
    dtype, size, most_steps, _, solver, options = SETTINGS[name]
    first = 1_000_000 * list(SETTINGS).index(name)
    wrong, asked, answered, furthest = [], 0, 0, 0.0
    for seed in range(first, first + NUM_DRAWS // len(SETTINGS) + 1):
        drawn = draw(seed, size, most_steps, dtype)
        wanted, bound, bounded = reference(drawn)
        right, value = solved(drawn, solver, options)
        asked, answered = asked + bounded, answered + (bounded and right)
        if right:
            off = distance(drawn, value, wanted, bound)
            furthest = max(furthest, off)
            if not off <= FACTOR:
                wrong.append((seed, drawn.kind, drawn.length, off))
    print(
        f"{name}: {answered} of {asked} solved, at most {furthest:.2g} times what rounding explains"
    )
    return wrong, asked, answered


@pytest.mark.device
@pytest.mark.parametrize("name", SETTINGS)
def test_no_wrong_answer_is_called_right(name):
    assert outcome(name)[0] == []


@pytest.mark.parametrize(("kind", "part"), [(UNDAMPED, 0.97), (ELKS, 0.85)])
def test_refusals_are_not_the_way_out(kind, part):
    outcomes = [outcome(name) for name, setting in SETTINGS.items() if setting[3] == kind]
    asked, answered = (sum(counts) for counts in list(zip(*outcomes, strict=True))[1:])
    assert answered >= part * asked, f"{answered} of {asked}"
