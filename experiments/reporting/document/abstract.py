"""The three numbers of the abstract: speed, memory and iterations.

The speed is that of every device that there are results of. The others are those of the report's
own results or, where these lack them, of the first archive beside them that has them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from experiments.reporting.format import count, listed, quantity
from experiments.reporting.labels import label
from experiments.reporting.measures import argru, gru
from experiments.reporting.measures.measurement import Measurement
from experiments.reporting.results import NotMeasured, Results

# The widest state of the paper's Figure 2, in its batch.
BATCH, DIM = 16, 64
PARALLEL = ("quasi_deer", "chunks")


class Found(NamedTuple):
    """Numbers by their names, and the source that they are from if it is not the report's own."""

    values: Mapping[str, float]
    source: str


def abstract(sources: Sequence[Results]) -> dict[str, str]:
    """The numbers; the report is about the first source."""
    memory, iterations = _first(_memory, sources), _first(_iterations, sources)
    return {
        "abstract.batch": count(BATCH),
        "abstract.dim": count(DIM),
        "abstract.speed": listed(_speeds(sources)),
        "abstract.memory": quantity(memory.values.get("quasi_deer")),
        "abstract.memory.source": memory.source,
        "abstract.iterations.elk": count(iterations.values.get("elk")),
        "abstract.iterations.deer": count(iterations.values.get("deer")),
        "abstract.iterations.source": iterations.source,
    }


def _speeds(sources: Sequence[Results]) -> Iterator[str]:
    """How many times as fast as `jax.lax.scan` on each device, by its first source that says it."""
    devices = set()
    for source in sources:
        if not source.has(gru.SCALING) or source.device(gru.SCALING) in devices:
            continue
        try:
            text = _speed(source)
        except NotMeasured:
            continue
        devices.add(source.device(gru.SCALING))
        yield text


def _speed(source: Results) -> str:
    """The faster of the parallel methods on the longest sequence."""
    found = [one for name in PARALLEL for one in _at_longest(source, name)]
    if not found:
        raise NotMeasured(f"no times at D = {DIM}")
    ratio, length, name = max(found)
    device = source.device(gru.SCALING)
    return f"{quantity(ratio)} times as fast on {device} ({label(name)}, T = {count(length)})"


def _at_longest(source: Results, name: str) -> Iterator[tuple[float, int, str]]:
    """A method's ratio at the longest sequence, and that; nothing where it was not measured."""
    try:
        own = gru.speedups_at(source, BATCH, DIM, name)
    except NotMeasured:
        return
    yield float(own.iloc[-1]), int(own.index[-1]), name


def _memory(source: Results) -> Measurement:
    """DEER's memory over quasi-DEER's: compiled for a GPU, or else of the programs that ran."""
    try:
        return gru.gpu_total_memory_ratio(source, BATCH, DIM)
    except NotMeasured:
        return gru.total_memory_ratio(source, BATCH, DIM)


def _iterations(source: Results) -> Measurement:
    return argru.argru_iterations(source, "trained")


def _first(measure: Callable[[Results], Measurement], sources: Sequence[Results]) -> Found:
    """What the first source says that measured it; another than the report's own is named."""
    for place, source in enumerate(sources):
        try:
            values = measure(source).values
        except NotMeasured:
            continue
        return Found(values, f" (in {source.name})" if place else "")
    return Found({}, "")
