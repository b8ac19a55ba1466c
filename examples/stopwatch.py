"""What the examples share: times of several ways to one answer, taken in turn."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

LAX_SCAN = "jax.lax.scan"


def compare(ways: Mapping[str, Callable[[], Any]], repetitions: int = 7) -> dict[str, float]:
    """Print the times of all ways and which is the fastest; return the medians in seconds.

    Each way is called once to compile it. Then all are called in turn, so that a machine that
    slows down for a while slows down all of them.

    **Arguments:**

    - `ways`: what to call without arguments, by name. One of the names is `jax.lax.scan`.
    - `repetitions`: how often each is timed.
    """
    for way in ways.values():
        jax.block_until_ready(way())
    times = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(way())
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(table(medians))
    print(verdict(medians))
    return medians


def table(medians: Mapping[str, float]) -> str:
    """A line for each way."""
    width = max(map(len, medians))
    return "\n".join(
        f"{name:{width}}  {1e3 * seconds:9.3g} ms  {medians[LAX_SCAN] / seconds:6.3g} times as fast"
        for name, seconds in medians.items()
    )


def verdict(medians: Mapping[str, float]) -> str:
    """A sentence on the fastest way, and how much faster it is than `jax.lax.scan`."""
    fastest, *others = sorted(medians, key=lambda name: medians[name])
    machine = f"{jax.device_count()} x {jax.devices()[0].device_kind}, {os.cpu_count()} cores"
    if fastest == LAX_SCAN:
        ratio = medians[others[0]] / medians[fastest]
        return (
            f"Fastest on this machine ({machine}): {LAX_SCAN}; the next is {others[0]}, which "
            f"takes {ratio:.3g} times as long."
        )
    ratio = medians[LAX_SCAN] / medians[fastest]
    return (
        f"Fastest on this machine ({machine}): {fastest}, {ratio:.3g} times as fast as {LAX_SCAN}."
    )
