"""The examples as pages: percent scripts in examples/, with what they printed and drew."""

import textwrap
from pathlib import Path
from typing import Any

import jupytext

from experiments.reporting.results import device_in_short
from experiments.reporting.site import outputs

# What a percent script begins with, and what other scripts import does not.
HEADER = "# ---\n# jupyter:\n"
# Letters of a line of output that a page has room for.
WIDTH = 76


def scripts(root: Path) -> list[Path]:
    """The examples, without what several of them import."""
    found = sorted((root / "examples").glob("*.py"))
    return [path for path in found if path.read_text(encoding="utf-8").startswith(HEADER)]


def uri(script: Path) -> str:
    """Where the page of an example lies in the site."""
    return f"examples/{script.stem}.md"


def page(script: Path) -> str:
    """An example in Markdown: text as text, code as blocks, and below each what came of it."""
    title, *cells = jupytext.read(script).cells
    record = outputs.read(script)
    run = f"    ./run python examples/{script.name}"
    recorded = iter(record["cells"])
    rest = [_woven(cell, recorded) for cell in cells if cell.source]
    return "\n\n".join([title.source, run, _origin(record), *rest]) + "\n"


def overview(root: Path) -> str:
    """A list of all examples, each with its title."""
    entries = [f"- [{_title(script)}]({uri(script)})" for script in scripts(root)]
    return "\n".join(entries) or "There is no script in `examples/`."


def _woven(cell, recorded) -> str:
    if cell.cell_type != "code":
        return cell.source
    return "\n\n".join([f"```python\n{cell.source}\n```", *_output(next(recorded))])


def _output(cell: dict[str, Any]) -> list[str]:
    """What a cell printed, then what it drew; nothing where it did neither."""
    printed = "\n".join(map(_wrapped, cell["printed"]))
    shown = [f"```text\n{printed}\n```"] if printed else []
    shown += [f"![{picture['shows']}]({picture['file']})" for picture in cell["pictures"]]
    return ['<div class="output" markdown="1">', *shown, "</div>"] if shown else []


def _wrapped(line: str) -> str:
    """A sentence in lines as wide as a page; a row of a table, which has wide gaps, as it is."""
    if "  " in line:
        return line
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def _origin(record: dict[str, Any]) -> str:
    """Where and when the output came about."""
    day, versions = record["started_utc"].partition("T")[0], record["versions"]
    return (
        f"The output below was recorded on {day} on {device_in_short(record['device'])}, with "
        f"parallel_rnn {versions['parallel_rnn']} and JAX {versions['jax']}. Other machines take "
        "other times, and another way may be the fastest there."
    )


def _title(script: Path) -> str:
    first = jupytext.read(script).cells[0].source
    return first.partition("\n")[0].removeprefix("# ")
