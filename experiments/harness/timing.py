"""Timing of compiled programs, with the result waited for."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax

Result = TypeVar("Result")


class Plan(NamedTuple):
    """How often one method is run on one cell of a grid."""

    seeds: int
    warmups: int
    repetitions: int

    def within(self, limit_s: float | None, first_run_s: float) -> "Plan":
        """The plan cut so that it takes about `limit_s`, given the time of one run.

        Repetitions go first, seeds next; one run to warm up and one timed run of one
        seed always remain.
        """
        runs = self.seeds * (self.warmups + self.repetitions)
        if limit_s is None or runs * first_run_s <= limit_s:
            return self
        affordable = int(limit_s / first_run_s)
        repetitions = affordable // self.seeds - 1
        return Plan(
            seeds=max(1, min(self.seeds, affordable // 2)),
            warmups=1,
            repetitions=max(1, min(self.repetitions, repetitions)),
        )


def compiled(function: Callable, *given: Any) -> Callable:
    """`function` compiled for arrays of these shapes; arguments that are none become constants."""
    jitted: Any = eqx.filter_jit(function)
    return jitted.lower(*given).compile()


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that `call` took until its result was there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def interleaved(
    calls: Mapping[str, Callable[[], object]], plans: Mapping[str, Plan]
) -> Iterator[tuple[str, int, float]]:
    """Times all calls in turn, so that a drift of the machine meets all of them alike.

    One warm-up of each plan is taken as done. Yields name, repetition, seconds.
    """
    for name, call in calls.items():
        for _ in range(plans[name].warmups - 1):
            jax.block_until_ready(call())
    for repetition in range(max((plans[name].repetitions for name in calls), default=0)):
        for name, call in calls.items():
            if repetition < plans[name].repetitions:
                seconds, _ = timed(call)
                yield name, repetition, seconds
