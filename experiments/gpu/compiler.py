"""A compiler for GPUs that are not there, and how to get it.

    python -m experiments.gpu.compiler --folder results/fresh/gpu_compiler

installs JAX's CUDA plugin, without the libraries that running on a GPU needs, into a folder of its
own: where it is on Python's path, JAX complains on a machine without a GPU unless
`JAX_PLATFORMS=cpu`. Versions and hashes are those of requirements-gpu.lock. Where it cannot be
installed, the folder says why, and nothing fails.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.harness.records import write_atomically

PACKAGES = ("jax-cuda12-pjrt", "jax-cuda12-plugin")
STATUS = "status.json"
TARGETS = Path(__file__).parent / "targets"
_LOCK = Path(__file__).resolve().parents[2] / "requirements-gpu.lock"
# How well the kernels' code is optimised changes no buffer, and takes half of the time. Neither
# does choosing among implementations, the other half, which needs the GPU to time them; but
# without it the compiler knows no implementation of some products of matrices.
_QUICK = {"xla_backend_optimization_level": 0, "xla_gpu_autotune_level": 0}
_COMPLETE = {"xla_backend_optimization_level": 0}


class TargetFacts(NamedTuple):
    """What the description of a GPU says about it."""

    name: str
    memory_bytes: int


class CompilerError(Exception):
    """There is no compiler for GPUs; the message is a sentence for the user."""


def install(folder: Path, lock: Path = _LOCK) -> None:
    """Installs the plugin into a folder, or writes there why that did not work."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reason = None if _in_environment() else _install(folder, lock)
    status = {"available": reason is None, "reason": reason, "jax": jax.__version__}
    write_atomically(folder / STATUS, json.dumps(status, indent=1) + "\n")


def check(folder: Path) -> None:
    """Raises `CompilerError` if the plugin could not be installed into the folder."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CompilerError(
            f"{folder.name} has no {STATUS}: run python -m experiments.gpu.compiler first"
        ) from None
    if not status["available"]:
        raise CompilerError(status["reason"])


def compile_for(target: str, function: Callable, shapes: Any) -> jax.stages.Compiled:
    """Compiles a function for a GPU that need not be there.

    **Arguments:**

    - `target`: the name of a file in experiments/gpu/targets, without its ending.
    - `shapes`: the function's arguments as `jax.ShapeDtypeStruct`, in a tuple.
    """
    device = _device(target)
    sharding = NamedSharding(Mesh(np.array([device]), "device"), PartitionSpec())

    def placed(shape):
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)

    # The solver chooses what suits a platform by the default device, so the GPU has to be that.
    with jax.default_device(device):
        lowered = jax.jit(function).lower(*jax.tree.map(placed, shapes))
    try:
        return lowered.compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError:
        return lowered.compile(compiler_options=_COMPLETE)


def target_facts(target: str) -> TargetFacts:
    """Name and memory of a GPU in experiments/gpu/targets."""
    text = _description(target)
    name = re.search(r'^device_description_str: "(.*)"$', text, re.MULTILINE)
    memory = re.search(r"device_memory_size: (\d+)", text)
    if name is None or memory is None:
        raise CompilerError(f"{target}.textproto lacks the GPU's name or the size of its memory")
    return TargetFacts(name[1], int(memory[1]))


def pinned(lock: str, packages: Sequence[str]) -> str:
    """The part of a lock file that pins these packages, with versions, conditions and hashes."""
    blocks = re.findall(r"^\S.*(?:\n[ \t].*)*", lock, re.MULTILINE)
    return "\n".join(block for block in blocks if block.split("==")[0] in packages) + "\n"


@cache
def _device(target: str) -> Any:
    try:
        topology = topologies.get_topology_desc(
            platform="cuda", topology_name="", target_config=_description(target), topology="1x1x1"
        )
    except Exception as error:  # whatever a plugin raises that is damaged or is not there
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise CompilerError(f"JAX's CUDA plugin does not start: {first}") from error
    return topology.devices[0]


def _description(target: str) -> str:
    try:
        return (TARGETS / f"{target}.textproto").read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in TARGETS.glob("*.textproto")))
        raise CompilerError(f"there is no GPU {target!r} in {TARGETS.name}: use {known}") from None


def _in_environment() -> bool:
    """Whether the environment has the plugin already, as on a machine with a GPU."""
    try:
        return all(metadata.version(name) == jax.__version__ for name in PACKAGES)
    except metadata.PackageNotFoundError:
        return False


def _install(folder: Path, lock: Path) -> str | None:
    """Installs the plugin; returns why that did not work, `None` where it did."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(pinned(lock.read_text(encoding="utf-8"), PACKAGES))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--require-hashes", "--target", str(folder)]
        done = subprocess.run(
            [*command, "-r", str(requirements)], capture_output=True, text=True, check=False
        )
    if done.returncode == 0:
        return None
    cause = next(iter(reversed(done.stderr.strip().splitlines())), "pip failed")
    return f"the CUDA plugin of JAX {jax.__version__} could not be installed ({cause})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.gpu.compiler")
    parser.add_argument("--folder", type=Path, required=True, help="made anew")
    install(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
