"""Tables for readers, in Markdown and LaTeX, each with a note below."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments.catalogue import TABLES
from experiments.harness.command_line import csv_path
from experiments.harness.records import write_atomically
from experiments.reporting.results import NotMeasured, Results

MISSING = "\N{EN DASH}"
# A cell with more characters is a sentence: in LaTeX its column is a paragraph.
LONG_CELL = 40
# What a cell may hold and LaTeX does not take as it is.
LATEX = {
    MISSING: "--",
    "%": r"\%",
    "_": r"\_",
    "λ": r"$\lambda$",
    "√": r"$\surd$",
    "²": "$^2$",
    "³": "$^3$",
}


class Made(NamedTuple):
    """A table: its numbers, how readers see them, and the note below."""

    numbers: pd.DataFrame
    shown: pd.DataFrame
    note: str


def run(
    module: str, make: Callable[[Results, str], Made], arguments: Sequence[str] | None = None
) -> None:
    """The command line of a table: python -m experiments.reporting.tables.MODULE

    **Arguments:**

    - `make`: (results of a source, name of the table) -> the table; raises `NotMeasured`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m experiments.reporting.tables.{module}")
    parser.add_argument("--results", type=Path, required=True, help="the folder of a source")
    parser.add_argument("--output", type=csv_path, required=True, help="also .md and .tex")
    options = parser.parse_args(arguments)
    try:
        results = Results(options.results)
        made = make(results, options.output.stem)
    except NotMeasured as reason:
        sys.exit(f"{options.output.name} cannot be made: {reason}.")
    note = made.note + _device(results, options.output.stem)
    write_tables(options.output, made.numbers, made.shown, note)


def _device(results: Results, table: str) -> str:
    """The sentence of a note that names the device; empty where there is no record."""
    experiments = [one.experiment for one in TABLES if one.name == table]
    devices = [results.device(name) for name in experiments if results.records(name)]
    return f" Measured on {devices[0]}." if devices else ""


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
        r"\begin{tabular}{" + _alignment(table.astype(str)) + "}",
        r"\toprule",
        " & ".join(map(_latex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip\noindent{\footnotesize " + _escaped(note) + "}",
    ]
    return "\n".join(lines) + "\n"


def _alignment(table: pd.DataFrame) -> str:
    """Columns as wide as their words, those with sentences as paragraphs that share the line."""
    long = [max(map(len, table[name]), default=0) > LONG_CELL for name in table]
    if not any(long):
        return "l" * len(long)
    width = 0.8 / (sum(long) + (len(long) - sum(long)) / 2)
    paragraph, narrow = (rf"p{{{part:.2f}\linewidth}}" for part in (width, width / 2))
    return "".join(paragraph if one else narrow for one in long)


def _latex(cell: str) -> str:
    if "±" in cell:
        return "$" + cell.replace("±", r"\pm") + "$"
    if "^" in cell:
        return f"${cell}$"
    return _escaped(cell)


def _escaped(text: str) -> str:
    for character, command in LATEX.items():
        text = text.replace(character, command)
    return text
