"""Figure scripts run without the pipeline, on results in a folder of a test's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def draw(
    name: str, results: Path, variables: Mapping[str, str] = {"MPLBACKEND": "agg"}
) -> dict[str, bytes]:
    """The files that a script draws from PROJECT/results/fresh/LABEL, by their names.

    `variables` are added to the environment of the script.
    """
    project = results.parents[2]
    ignore = shutil.ignore_patterns("out", "__pycache__")
    shutil.copytree(ROOT / "figures", project / "figures", ignore=ignore, dirs_exist_ok=True)
    command = [sys.executable, "-W", "error", str(project / "figures" / f"{name}.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    out = project / "figures" / "out" / "fresh" / results.name
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if name in path.name}
