"""Times programs beside each other and prints what came out."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import jax


def race(benchmark: Any, programs: Mapping[str, Callable], rounds: int) -> dict[str, float]:
    """Median seconds of each program until its result is there; pytest-benchmark records the last.

    Each round runs all in turn, so that a drift of the machine meets all alike.
    """

    def run(name: str) -> None:
        jax.block_until_ready(programs[name]())

    for name in programs:
        run(name)  # compiles it
    *others, last = programs
    times: dict[str, list[float]] = {name: [] for name in others}

    def time_the_others() -> None:
        for name in others:
            start = time.perf_counter()
            run(name)
            times[name].append(time.perf_counter() - start)

    benchmark.pedantic(partial(run, last), setup=time_the_others, rounds=rounds)
    times[last] = benchmark.stats.stats.data
    return {name: median(values) for name, values in times.items()}


def show(title: str, seconds: Mapping[str, float], baselines: Sequence[str]) -> None:
    """Print a line for each program: its time and how many times faster than the baselines."""
    print(f"\n{title}\n{'ms':>38}" + "".join(f"{'x ' + name:>15}" for name in baselines))
    for name, value in seconds.items():
        ratios = "".join(f"{seconds[other] / value:15.2f}" for other in baselines)
        print(f"{name:>28}{1e3 * value:10.2f}{ratios}")
