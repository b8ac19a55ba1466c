"""When an iterate counts as the answer, and how far two trajectories are apart."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.harness.outcome import (
    first_below,
    largest_difference,
    stays_below_from,
)


@pytest.mark.parametrize(
    ("mad", "found"), [([3.0, np.inf, 0.05, 0.2, 0.01], 2), ([0.0], 0), ([np.nan, 0.1], None)]
)
def test_the_first_iterate_below_counts(mad, found):
    assert first_below(np.array(mad), 0.1) == found


@pytest.mark.parametrize(
    ("mad", "expected"),
    [([3, 0.05, 3, 0.05, 0.01], 3), ([0.01], 0), ([3, 2], None), ([math.inf, 0.09], 1)],
)
def test_it_counts_from_where_on_it_stays_below(mad, expected):
    found = stays_below_from(np.array(mad), 0.1)
    assert math.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize("place", [0, 12_345])
def test_largest_difference_sees_nan_and_every_piece(place):
    reference = np.zeros((20_001, 1, 2), np.float32)
    values = np.zeros_like(reference)
    values[place, 0, 1] = -0.5
    assert largest_difference(reference, jnp.asarray(values)) == 0.5
    values[place, 0, 1] = np.nan
    assert np.isnan(largest_difference(reference, jnp.asarray(values)))
