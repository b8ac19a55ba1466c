"""How a solve ended: the words of the column `status`, and when an iterate counts as the answer."""

import math
from typing import Any

import numpy as np

# A method ran; its answer met the tolerance or did not; it could not run.
COMPLETED = "ok"
NOT_CONVERGED = "not converged"
OUT_OF_MEMORY = "out of memory"
# Where the iterates are compared with the answer: it was reached; the limit of iterations came
# first; the method stopped at something else.
REACHED = "reached"
MISSED = "not within the limit"
ELSEWHERE = "stopped elsewhere"
# The mean absolute deviation (MAD) below which the paper counts an iterate as the answer.
PAPER_THRESHOLD = 0.1
# Steps of a trajectory compared at a time, so that the check itself stays small.
COMPARED_AT_ONCE = 10_000


def describe_failure(doing: str, error: Exception) -> str:
    """A status for a cell that failed: what failed and the message's first line."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    if "RESOURCE_EXHAUSTED" in first:
        return OUT_OF_MEMORY
    return f"{doing} failed: {first}"


def largest_difference(reference: np.ndarray, values: Any) -> float:
    """Largest absolute difference, NaN if any value is; found piece by piece.

    **Arguments:**

    - `reference`, `values`: arrays of the same shape, (T, ...); `values` may lie on a device.
    """
    starts = range(0, reference.shape[0], COMPARED_AT_ONCE)
    pieces = [slice(start, start + COMPARED_AT_ONCE) for start in starts]
    return float(
        np.max([np.max(np.abs(reference[piece] - np.asarray(values[piece]))) for piece in pieces])
    )


def first_below(mad: np.ndarray, threshold: float) -> int | None:
    """The first iteration whose MAD is below the threshold, also where a later one is above.

    This is how the AR GRU's iterations are counted. `None` where no iterate is below.
    """
    below = np.flatnonzero(mad < threshold)
    return None if len(below) == 0 else int(below[0])


def stays_below_from(mad: np.ndarray, threshold: float) -> float:
    """The first iteration from which on the MAD stays below the threshold.

    This is how the iterations on Lorenz96 and in the damping experiment are counted. NaN where the
    last iterate is not below.
    """
    above = np.flatnonzero(~(mad < threshold))
    iteration = 0 if len(above) == 0 else above[-1] + 1
    return math.nan if iteration == len(mad) else float(iteration)
