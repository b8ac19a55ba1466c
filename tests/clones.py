"""Clones of the working tree in which tests run the real Snakemake."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def listed_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in answer.stdout.split("\0") if (ROOT / name).is_file()]


def make_clone(origin: Path, target: Path) -> Path:
    git(origin, "clone", "--quiet", ".", str(target))
    return target


def environment(clone: Path) -> dict[str, str]:
    """That of this process, with the clone's own package and this interpreter first.

    Most of the time at scale smoke is compiling; how fast the programs are does not matter.
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


def run_smoke(clone: Path, *arguments: str) -> str:
    """What a run at scale smoke says, which must succeed."""
    answer = snakemake(clone, "--cores", "all", *arguments, "--config", "scale=smoke")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr
