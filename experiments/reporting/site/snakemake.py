"""How the documentation asks the workflow for something."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def call(root: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the Snakemake of this interpreter's environment, in which its rules find Python too."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.run(
        command, cwd=root, env={**os.environ, "PATH": path}, text=True, check=False, **options
    )
