"""Memory and kernels of the methods on GPUs that need not be there (memory of Figures 2 and 6).

XLA compiles for a GPU from a description of it, and the compiled program tells every buffer that
it would have. One run of this module is one curve: all lengths, methods and derivatives for one
GPU, batch size and state size.

    python -m experiments.gpu.compiler --folder results/fresh/gpu_compiler
    JAX_PLATFORMS=cpu PYTHONPATH=results/fresh/gpu_compiler python -m experiments.gpu_memory \\
        --compiler results/fresh/gpu_compiler --target h100 --batch 16 --dim 8 \\
        --lengths 30000 100000 --output results/fresh/cpu/gpu_memory/h100_batch16_dim8.csv

Where there is no compiler the rows say why. Where the machine has the GPU of the target, every
program that fits is also run, and the device's own record of its peak stands beside the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.gpu.compiler import CompilerError, check, compile_for, target_facts
from experiments.gpu.hlo import read_program
from experiments.gpu.peak import gpu_name, peak_in_own_process
from experiments.gpu.programs import Cell, program
from experiments.harness.command_line import experiment_parser, positive_int, read_settings
from experiments.harness.memory import ProgramMemory, program_memory
from experiments.harness.outcome import COMPLETED, describe_failure
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results

EXPERIMENT = "gpu_memory"
MEASURED = (
    "argument_memory_bytes",
    "output_memory_bytes",
    "temp_memory_bytes",
    "kernels_per_iteration",
    "device_peak_bytes",
)


@dataclass(frozen=True)
class Settings:
    """What one curve depends on; config/README.md explains each value."""

    target: str
    batch: int
    dim: int
    lengths: tuple[int, ...]
    methods: tuple[str, ...]
    derivatives: tuple[str, ...]
    window: int


def grid(settings: Settings) -> list[Cell]:
    """All programs of a curve."""
    return [
        Cell(settings.batch, settings.dim, length, method, derivative, settings.window)
        for length in settings.lengths
        for derivative in settings.derivatives
        for method in settings.methods
    ]


def measure_curve(settings: Settings, compiler: Path, progress: Progress) -> pd.DataFrame:
    """The rows of a curve, one for each program."""
    rows = []
    for cell in grid(settings):
        found = measure(settings.target, cell, compiler)
        about = {"experiment": EXPERIMENT, "target": settings.target, **cell._asdict()}
        rows.append({**about, **found})
        progress.advance(
            f"length {cell.length}, {cell.method}, {cell.derivative}: {found['status']}"
        )
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(MEASURED, "Int64"))


def measure(target: str, cell: Cell, compiler: Path) -> dict[str, Any]:
    """What compiling one program for a GPU shows."""
    nothing = {"status": None, **dict.fromkeys(MEASURED), "compile_time_s": None}
    began = time.perf_counter()
    try:
        check(compiler)
        compiled = compile_for(target, *program(cell))
    except CompilerError as error:
        return {**nothing, "status": f"no compiler: {error}"}
    except Exception as error:  # a compiler may fail in any way; the other cells go on
        return {**nothing, "status": describe_failure("compiling", error)}
    seconds = time.perf_counter() - began
    memory = program_memory(compiled)
    kernels = read_program(compiled.as_text() or "").kernels_per_iteration()
    values = (*memory, kernels, device_peak(target, cell, memory))
    measured = dict(zip(MEASURED, values, strict=True))
    return {"status": COMPLETED, **measured, "compile_time_s": seconds}


def device_peak(target: str, cell: Cell, memory: ProgramMemory) -> int | None:
    """What the program takes on this machine's GPU, if that is the target and it fits."""
    facts = target_facts(target)
    if gpu_name() != facts.name or memory.total > facts.memory_bytes:
        return None
    return peak_in_own_process(cell)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--compiler", type=Path, required=True, help="folder of gpu_compiler")
    parser.add_argument("--target", required=True, help="name of a file in experiments/gpu/targets")
    for name, text in (("batch", "sequences together"), ("dim", "width of state and inputs")):
        parser.add_argument(f"--{name}", type=positive_int, required=True, help=text)
    parser.add_argument("--lengths", type=positive_int, nargs="+", required=True, help="steps")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [])
    label = f"{settings.target}, batch {settings.batch}, D = {settings.dim}"
    with Progress(len(grid(settings)), label) as progress:
        table = measure_curve(settings, options.compiler, progress)
    facts = target_facts(settings.target)._asdict()
    write_results(options.output, table, record.complete(target=facts))


if __name__ == "__main__":
    main()
