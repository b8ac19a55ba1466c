"""The most memory that a program took on the GPU that is there.

    python -m experiments.gpu.peak --batch 1 --dim 8 --length 1000 --method deer \\
        --derivative forward --window 1000

prints it in bytes. A device's record of its peak never falls, so each program has a process of
its own.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax

from experiments.gpu.programs import FORWARD, GRADIENT, ROLLED_OUT, Cell, program
from experiments.harness.command_line import positive_int, to_words
from experiments.harness.methods import selected
from experiments.problems.gru import normal_inputs, untrained_gru


def gpu_name() -> str | None:
    """The name of this machine's first GPU, `None` where there is none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def peak_in_own_process(cell: Cell) -> int | None:
    """Bytes that the program took at most on this machine's GPU; `None` if it did not run."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment.pop("JAX_PLATFORMS", None)
    command = [sys.executable, "-m", "experiments.gpu.peak", *to_words(cell._asdict())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return int(done.stdout) if done.returncode == 0 else None


def run(cell: Cell) -> dict[str, Any] | None:
    """Runs a program once and returns the device's record of its memory, `None` without one."""
    function, _ = program(cell)
    weights_key, inputs_key = jax.random.split(jax.random.key(0))
    weights = untrained_gru(weights_key, cell.dim, cell.dim)
    inputs = normal_inputs(inputs_key, cell.length, cell.batch, cell.dim)
    jax.block_until_ready(jax.jit(function)(eqx.filter(weights, eqx.is_array), inputs))
    return jax.devices()[0].memory_stats()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.gpu.peak")
    for name in ("batch", "dim", "length", "window"):
        parser.add_argument(f"--{name}", type=positive_int, required=True)
    parser.add_argument("--method", choices=selected(ROLLED_OUT), required=True)
    parser.add_argument("--derivative", choices=(FORWARD, GRADIENT), required=True)
    stats = run(Cell(**vars(parser.parse_args(arguments))))
    if stats is None or "peak_bytes_in_use" not in stats:
        sys.exit(f"The platform {jax.default_backend()} does not record its peak of memory.")
    print(stats["peak_bytes_in_use"])


if __name__ == "__main__":
    main()
