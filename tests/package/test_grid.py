"""Every cell by every undamped method, in chunks of every kind of length, in every type.

    ./run pytest tests/package/test_grid.py -m grid

Too many programs for every day: `./run pytest` leaves them out.
"""

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import RESULTS, solve

from recurrences import UNDAMPED, cell_table, largest_difference, reference

LENGTH = 70
CHUNKS = (1, 2, 7, 64, LENGTH, LENGTH + 1)
DTYPES = ("float64", "float32", "bfloat16", "float16")
# Roundings of a step stay about as large, or are forgotten. They are those of numbers up to 4.
ROUNDINGS = 100

pytestmark = [pytest.mark.grid, pytest.mark.usefixtures("barely_optimised")]


@pytest.fixture(autouse=True)
def forget_programs_of_a_case():
    """All cases together have more than a process can hold."""
    yield
    jax.clear_caches()


@pytest.mark.parametrize("method", UNDAMPED)
@pytest.mark.parametrize("name", cell_table(2, "float32", jax.random.key(0)))
def test_the_states_are_those_of_a_scan(name, method):
    wrong = {}
    for dtype in DTYPES:
        cell, s0 = cell_table(4, dtype, jax.random.key(0))[name]
        xs = jax.random.normal(jax.random.key(1), (LENGTH, 4), dtype)
        wanted = jax.jit(reference)(cell, s0, xs)
        for chunk in CHUNKS:
            found = solve(cell, s0, xs, UNDAMPED[method](), chunk=chunk, throw=False)
            off = largest_difference(found.value, wanted) / float(jnp.finfo(dtype).eps)
            if found.result != RESULTS.successful or not off < ROUNDINGS:
                wrong[dtype, chunk] = off, str(RESULTS[found.result])
    assert not wrong
