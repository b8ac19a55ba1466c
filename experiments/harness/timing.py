"""Programs are compiled side by side, then timed one after another, each result waited for."""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax

from experiments.harness.records import available_cores

Key = TypeVar("Key", bound=Hashable)
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
    """`function` compiled for arrays of these shapes; what is no array becomes a constant."""
    jitted: Any = eqx.filter_jit(function)
    return jitted.lower(*given).compile()


def side_by_side(
    make: Callable[[Key], Result],
    keys: Iterable[Key],
    failed: Callable[[Exception], Result] | None = None,
) -> dict[Key, Result]:
    """`make(key)` of every key, as many at a time as there are cores. For compiling, not timing.

    What raises is made again alone: a compiler tries implementations on the device, whose memory
    may not hold the arrays of several programs.

    **Arguments:**

    - `failed`: what stands for the result of a key that raises alone too; without it, that raises.
    """
    keys = [*keys]
    with ThreadPoolExecutor(available_cores()) as pool:
        pending = {key: pool.submit(make, key) for key in keys}
    return {
        key: one.result() if one.exception() is None else _alone(make, key, failed)
        for key, one in pending.items()
    }


def _alone(
    make: Callable[[Key], Result], key: Key, failed: Callable[[Exception], Result] | None
) -> Result:
    try:
        return make(key)
    except Exception as error:  # a compiler may fail in any way
        if failed is None:
            raise
        return failed(error)


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that `call` took until its result was there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def timed_within(
    call: Callable[[], Result], repetitions: int, limit_s: float
) -> tuple[list[float], Result]:
    """Seconds of `repetitions` calls, or fewer that take about `limit_s`, and the first result.

    The first call warms up. Where it takes longer than the limit, its time stands alone.
    """
    first_s, result = timed(call)
    if first_s >= limit_s:
        return [first_s], result
    affordable = max(1, int(limit_s / first_s))
    return [timed(call)[0] for _ in range(min(repetitions, affordable))], result


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
