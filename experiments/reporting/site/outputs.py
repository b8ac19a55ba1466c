"""What the examples printed and drew when they were recorded: files in `docs/examples`.

`experiments.reporting.site.record` writes them, the pages of the examples show them. A record
belongs to the code of its script: comments, docstrings and text between the cells may change.
"""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import jupytext

from experiments.harness.sources import Sources

COMMAND = "./run python -m experiments.reporting.site.record"


class RecordError(ValueError):
    """A record that is not what a page needs; the message is one sentence for the user."""


def place(script: Path) -> Path:
    """Where the record of a script lies; its pictures lie beside it."""
    return script.parents[1] / "docs" / "examples" / f"{script.stem}.json"


def code_cells(script: Path) -> list[str]:
    """The code of each cell that has any."""
    cells = jupytext.read(script).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and cell.source]


def digest(script: Path) -> str:
    """A checksum of the code of a script, of what it imports beside it, and of where cells end."""
    code = Sources(script.parent).digest(script.stem)
    statements = [len(ast.parse(source).body) for source in code_cells(script)]
    return hashlib.sha256(f"{code} {statements}".encode()).hexdigest()


def read(script: Path) -> dict[str, Any]:
    """The record of a script; refused where there is none or the code has changed since."""
    name, command = f"examples/{script.name}", f"`{COMMAND} {script.stem}`"
    try:
        record = json.loads(place(script).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(
            f"What {name} prints and draws is not recorded: record it with {command}."
        ) from None
    if record["digest"] != digest(script):
        raise RecordError(
            f"The code of {name} is not what its output was recorded with: renew the record with "
            f"{command}."
        )
    return record
