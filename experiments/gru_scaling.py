"""Time, Newton iterations and memory against sequence length (Figures 2 and 6).

An untrained GRU is rolled out, forward pass only, on N(0, 1) inputs as wide as its
state. One run of this module measures one curve: all lengths and methods for one
batch size and state size. All its programs are compiled first, side by side. Within a
length the repetitions of the methods take turns. A cell whose program does not fit in the
device's memory is found from the compiled program and never run.

    python -m experiments.gru_scaling --batch 1 --dim 32 --lengths 1000 10000 \\
        --output results/fresh/cpu/gru_scaling/batch1_dim32.csv
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.harness import methods as registry
from experiments.harness.command_line import experiment_parser, positive_int, read_settings
from experiments.harness.kept import Cells, kept_cells
from experiments.harness.memory import ProgramMemory, device_memory, program_memory
from experiments.harness.outcome import (
    COMPLETED,
    NOT_CONVERGED,
    OUT_OF_MEMORY,
    describe_failure,
    largest_difference,
)
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.harness.timing import Plan, interleaved, side_by_side, timed
from experiments.problems.gru import (
    METHODS,
    Method,
    Rollout,
    cell_shapes,
    chunked,
    normal_inputs,
    untrained_gru,
)

EXPERIMENT = "gru_scaling"
COLUMNS = (
    "experiment",
    "batch",
    "dim",
    "length",
    "method",
    "seed",
    "repetition",
    "status",
    "time_s",
    "num_steps",
    "argument_memory_bytes",
    "output_memory_bytes",
    "temp_memory_bytes",
    "compile_time_s",
    "max_abs_error",
)
WHOLE_NUMBERS = (
    "seed",
    "repetition",
    "num_steps",
    "argument_memory_bytes",
    "output_memory_bytes",
    "temp_memory_bytes",
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What one curve depends on; config/README.md explains each value."""

    batch: int
    dim: int
    lengths: tuple[int, ...]
    methods: tuple[str, ...]
    seeds: int
    repetitions: int
    warmups: int
    tolerance: float
    shortest_chunk: int
    most_chunks: int
    memory_fraction: float
    cell_seconds: float | None

    def chunk(self, length: int) -> int:
        """The steps of a chunk of a sequence."""
        return max(self.shortest_chunk, math.ceil(length / self.most_chunks))

    def method(self, name: str, length: int) -> Method:
        """How a method rolls out sequences of a length."""
        if registry.METHODS[name].kind == registry.CHUNKED:
            return chunked(name, self.chunk(length))
        return METHODS[name]


class Program(NamedTuple):
    """A compiled rollout and what compiling it showed; `run` is None if it must not run.

    - `compile_time_s`: while others were compiled beside it.
    """

    run: Callable[..., Rollout] | None
    status: str
    memory: ProgramMemory | None
    compile_time_s: float | None


class Outcome(NamedTuple):
    """What the first run of a method with one seed showed."""

    status: str
    num_steps: int | None
    max_abs_error: float | None


def measure_curve(settings: Settings, progress: Progress, cells: Cells) -> pd.DataFrame:
    """All measurements of one curve, one row each."""
    listed = {f"T = {length}": length for length in settings.lengths}
    programs = build_all(settings, [listed[name] for name in cells.missing(listed)])
    rows: list[Row] = []
    for name, length in listed.items():
        rows += cells.measured(name, partial(measure_length, settings, length, programs))
        progress.advance(f"{name}: {', '.join(statuses(rows, length))}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def statuses(rows: list[Row], length: int) -> list[str]:
    """How every method ended at a length, in words."""
    ended = {row["method"]: row["status"] for row in rows if row["length"] == length}
    return [f"{method} {status}" for method, status in ended.items()]


def build_all(settings: Settings, lengths: Sequence[int]) -> dict[tuple[int, str], Program]:
    """The programs of all methods at these lengths."""

    def failed(error: Exception) -> Program:
        return Program(None, describe_failure("compiling", error), None, None)

    cells = product(lengths, settings.methods)
    return side_by_side(lambda cell: build(settings, *cell), cells, failed)


def measure_length(
    settings: Settings, length: int, built: Mapping[tuple[int, str], Program]
) -> list[Row]:
    """All measurements at one length, the methods taking turns."""
    # The sequential method goes first: the others are compared with its answer.
    names = sorted(settings.methods, key=lambda name: name != "sequential")
    programs = {name: built[length, name] for name in names}
    measured = list(_run(settings, length, programs))
    rows = []
    for name, program in programs.items():
        common = _common_columns(settings, length, name, program)
        own = [row for row in measured if row["method"] == name]
        rows += [{**common, **row} for row in own] or [common]
    return rows


def build(settings: Settings, length: int, method: str) -> Program:
    """Compiles a rollout from shapes alone; nothing is allocated for its arrays.

    The weights are arguments of the program, so another seed compiles nothing.
    """
    shapes, static = cell_shapes(settings.dim)
    inputs = jax.ShapeDtypeStruct((length, settings.batch, settings.dim), jnp.float32)

    def rollout(weights, inputs):
        cell = eqx.combine(weights, static)
        start = jnp.zeros((settings.batch, settings.dim), jnp.float32)
        return settings.method(method, length)(cell, start, inputs, settings.tolerance)

    began = time.perf_counter()
    compiled = jax.jit(rollout).lower(shapes, inputs).compile()
    seconds = time.perf_counter() - began
    memory = program_memory(compiled)
    # On a CPU the sequential answer, kept for comparison, is in the same memory.
    kept = memory.output if jax.default_backend() == "cpu" else 0
    if memory.total + kept > settings.memory_fraction * device_memory():
        return Program(None, OUT_OF_MEMORY, memory, seconds)
    return Program(compiled, COMPLETED, memory, seconds)


def _arguments(settings: Settings, length: int, seed: int) -> tuple[Any, jax.Array]:
    weights_key, inputs_key = jax.random.split(jax.random.key(seed))
    cell = untrained_gru(weights_key, settings.dim, settings.dim)
    inputs = normal_inputs(inputs_key, length, settings.batch, settings.dim)
    return jax.block_until_ready((eqx.filter(cell, eqx.is_array), inputs))


def _run(settings: Settings, length: int, programs: dict[str, Program]) -> Iterator[Row]:
    runnable = {name: one.run for name, one in programs.items() if one.run is not None}
    plans: dict[str, Plan] = {}
    for seed in range(settings.seeds):
        taking_part = {
            name: run
            for name, run in runnable.items()
            if name not in plans or seed < plans[name].seeds
        }
        if not taking_part:
            return
        arguments = _arguments(settings, length, seed)
        calls = {name: partial(run, *arguments) for name, run in taking_part.items()}
        outcomes = _first_runs(settings, calls, plans)
        for name in [name for name in calls if name not in plans]:  # its first run failed
            del runnable[name], calls[name]
            yield {"method": name, "seed": seed, **outcomes[name]._asdict()}
        for name, repetition, seconds in interleaved(calls, plans):
            yield {
                "method": name,
                "seed": seed,
                "repetition": repetition,
                "time_s": seconds,
                **outcomes[name]._asdict(),
            }
        del calls, arguments  # before the next seed's are made


def _first_runs(
    settings: Settings, calls: dict[str, Callable[[], Rollout]], plans: dict[str, Plan]
) -> dict[str, Outcome]:
    """Runs every method once and compares its answer with that of sequential evaluation.

    `plans` is changed: a method without a plan gets one that fits the time of this run, and a
    method that failed loses its plan.
    """
    outcomes = {}
    reference = None
    for name, call in calls.items():
        try:
            seconds, rollout = timed(call)
        except Exception as error:  # a device may fail in any way; the other cells go on
            outcomes[name] = Outcome(describe_failure("running", error), None, None)
            plans.pop(name, None)
            continue
        if name == "sequential":
            reference = np.asarray(rollout.states)
        outcomes[name] = _check(rollout, reference)
        whole = Plan(settings.seeds, settings.warmups, settings.repetitions)
        plans.setdefault(name, whole.within(settings.cell_seconds, seconds))
    return outcomes


def _check(rollout: Rollout, reference: np.ndarray | None) -> Outcome:
    return Outcome(
        status=COMPLETED if bool(rollout.converged) else NOT_CONVERGED,
        num_steps=None if rollout.num_steps is None else int(rollout.num_steps),
        max_abs_error=None if reference is None else largest_difference(reference, rollout.states),
    )


def _common_columns(settings: Settings, length: int, method: str, program: Program) -> Row:
    memory = program.memory
    return {
        "experiment": EXPERIMENT,
        "batch": settings.batch,
        "dim": settings.dim,
        "length": length,
        "method": method,
        "status": program.status,
        "argument_memory_bytes": memory and memory.argument,
        "output_memory_bytes": memory and memory.output,
        "temp_memory_bytes": memory and memory.temp,
        "compile_time_s": program.compile_time_s,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    add = partial(parser.add_argument, type=positive_int, required=True)
    add("--batch", help="sequences rolled out together")
    add("--dim", help="width of the state and of the inputs")
    add("--lengths", nargs="+", help="steps of a sequence")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.seeds))
    memory = device_memory()
    label = f"GRU, batch {settings.batch}, D = {settings.dim}"
    with kept_cells(options.output, EXPERIMENT, asdict(settings)) as cells:
        with Progress(len(settings.lengths), label) as progress:
            table = measure_curve(settings, progress, cells)
        about = {"device_memory_bytes": memory, **cells.about()}
        write_results(options.output, table, record.complete(**about))


if __name__ == "__main__":
    main()
