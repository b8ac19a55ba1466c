"""The examples as pages: percent scripts in examples/, which tools for notebooks open too."""

from pathlib import Path

import jupytext

# What a percent script begins with, and what other scripts import does not.
HEADER = "# ---\n# jupyter:\n"


def scripts(root: Path) -> list[Path]:
    """The examples, without what several of them import."""
    found = sorted((root / "examples").glob("*.py"))
    return [path for path in found if path.read_text(encoding="utf-8").startswith(HEADER)]


def uri(script: Path) -> str:
    """Where the page of an example lies in the site."""
    return f"examples/{script.stem}.md"


def page(script: Path) -> str:
    """An example in Markdown: text as text, code as blocks, and how to run it after the title."""
    title, *cells = jupytext.read(script).cells
    run = f"    ./run python examples/{script.name}"
    rest = [_block(cell) for cell in cells if cell.source]
    return "\n\n".join([title.source, run, *rest]) + "\n"


def overview(root: Path) -> str:
    """A list of all examples, each with its title."""
    entries = [f"- [{_title(script)}]({uri(script)})" for script in scripts(root)]
    return "\n".join(entries) or "There is no script in `examples/`."


def _block(cell) -> str:
    return f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source


def _title(script: Path) -> str:
    first = jupytext.read(script).cells[0].source
    return first.partition("\n")[0].removeprefix("# ")
