"""Clones of the working tree in which tests run the real Snakemake."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The smallest run that gives every figure something to draw.
TINY = """\
scale: smoke
gru_scaling:
  batch_1: {dims: [1, 2], lengths: [10, 20]}
  batch_16: {dims: [2], lengths: [10, 20]}
  methods: [sequential, unrolled, deer, quasi_deer, chunks]
  shortest_chunk: 5
  seeds: 1
  repetitions: 1
  warmups: 0
gpu_memory:
  batch_1: {dims: [1], lengths: [10]}
  batch_16: {dims: [1], lengths: [10]}
  methods: [sequential]
  derivatives: [forward]
gru_accuracy: {length: 20, shown: 10}
argru:
  training: {length: 20, crop: 10, crop_updates: 1, updates: 1}
  convergence: {length: 20, seeds: 1, iterates: [1], repetitions: 1}
  seeds: {seeds: [0], length: 20, max_steps: 20}
  sweep: {length: 20, seeds: 1, dampings: [0.1], mad_after: [5]}
lorenz96: {length: 20, starts: 1, dampings: [0.1], max_steps: 20, iterates_start: 0, iterates: [1]}
chaos: {length: 8, windows: [8], methods: [deer], forcings: [2], gains: [2], exponent_length: 20}
damping: {argru_length: 20, window: 10, max_steps: 20, dampings: [0.1], scales: [0, 0.1]}
chunks: {systems: [argru], chunks: [5], argru_length: 20, repetitions: 1}
wide: {dims: [2, 3], length: 20, window: 10, chunk: 5, repetitions: 1}
architectures: {cells: [lstm], methods: [quasi_deer], length: 20, updates: 1, repetitions: 1}
windows: {argru_length: 20, argru_windows: [10], max_steps: 20, repetitions: 1}
training: {variants: [quasi_deer], length: 10, epochs: 1}
training_step: {variants: [quasi_deer], length: 10, repetitions: 1}
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def listed_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in answer.stdout.split("\0") if (ROOT / name).is_file()]


def make_clone(origin: Path, target: Path) -> Path:
    git(origin, "clone", "--quiet", ".", str(target))
    (target / "tiny.yaml").write_text(TINY)
    return target


def environment(clone: Path) -> dict[str, str]:
    """That of this process, with the clone's own package and this interpreter first.

    Most of the time of the smallest run is compiling; how fast the programs are does not matter.
    """
    return {
        **os.environ,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{clone}{os.pathsep}{clone / 'src'}",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments]


def snakemake(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def run_tiny(clone: Path, *arguments: str) -> str:
    answer = snakemake(clone, "--cores", "all", *arguments, "--configfile", "tiny.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr
