"""Tables for readers, in Markdown and LaTeX, each with a note below."""

from pathlib import Path

import pandas as pd

from experiments.records import write_atomically

MISSING = "\N{EN DASH}"


def write_tables(output: Path, numbers: pd.DataFrame, shown: pd.DataFrame, note: str) -> None:
    """A table of numbers as CSV, and beside it what readers see as Markdown and LaTeX."""
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output.with_suffix(".md"), to_markdown(shown, note))
    write_atomically(output.with_suffix(".tex"), to_latex(shown, note))
    write_atomically(output, numbers.to_csv(index=False, lineterminator="\n"))


def to_markdown(table: pd.DataFrame, note: str) -> str:
    """The table in Markdown, its note below."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", note, ""])


def to_latex(table: pd.DataFrame, note: str) -> str:
    """The table in LaTeX (package booktabs), its note below."""
    rows = [[_latex(cell) for cell in row] for row in table.astype(str).to_numpy().tolist()]
    lines = [
        r"\begin{tabular}{" + "l" * table.shape[1] + "}",
        r"\toprule",
        " & ".join(table.columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip\noindent{\footnotesize " + note + "}",
    ]
    return "\n".join(lines) + "\n"


def _latex(cell: str) -> str:
    if "±" in cell:
        return "$" + cell.replace("±", r"\pm") + "$"
    return f"${cell}$" if "^" in cell else cell.replace(MISSING, "--")
