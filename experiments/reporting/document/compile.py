"""Sets the report as PDF, with Typst and the fonts that Typst carries: the same file everywhere.

    python -m experiments.reporting.document.compile \\
        --numbers figures/out/archived/LABEL/numbers.json \\
        --figures figures/out/archived/LABEL/damping.pdf \\
        --tables figures/out/archived/LABEL/table_2.md \\
        --output figures/out/archived/LABEL/report.pdf

Numbers, figures and tables lie in one folder of this repository. What is not named is left out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import typst

from experiments.catalogue import FIGURES, TABLES
from experiments.harness.entries import Figure, Table

ROOT = Path(__file__).resolve().parents[3]
REPORT = ROOT / "paper" / "report.typ"


class ReportError(Exception):
    """Says in one sentence why there is no report."""


def compile_report(numbers: Path, figures: Sequence[Path], tables: Sequence[Path]) -> bytes:
    """The report as PDF.

    **Arguments:**

    - `numbers`: numbers.json.
    - `figures`, `tables`: the PDF of each figure and the Markdown of each table, beside it.
    """
    folder = numbers.resolve().parent
    for path in (numbers, *figures, *tables):
        _check(path, folder)
    compiler = typst.Compiler(
        REPORT, root=ROOT, font_paths=[], ignore_system_fonts=True, package_path=None
    )
    given = {
        "out": f"/{folder.relative_to(ROOT).as_posix()}",
        "figures": json.dumps(sorted(path.stem for path in figures)),
        "tables": json.dumps(sorted(path.stem for path in tables)),
        "further": json.dumps(
            {"figures": _further(FIGURES, figures), "tables": _further(TABLES, tables)}
        ),
    }
    try:
        pdf, warnings = compiler.compile_with_warnings(format="pdf", sys_inputs=given)
    except typst.TypstError as error:
        raise ReportError(f"{REPORT.name} does not compile: {_first_line(error)}") from error
    for warning in warnings:
        print(warning, file=sys.stderr)
    assert isinstance(pdf, bytes)  # a list for formats of one file a page
    return pdf


def _further(entries: Sequence[Figure | Table], paths: Sequence[Path]) -> dict[str, str]:
    """Figures or tables that the text does not name, each with the catalogue's words about it."""
    prose = REPORT.read_text(encoding="utf-8")
    there = {path.stem for path in paths}
    found = [one for one in entries if one.name in there and f'"{one.name}"' not in prose]
    return {one.name: one.about for one in found}


def _check(path: Path, folder: Path) -> None:
    if not path.is_file():
        raise ReportError(f"{path} does not exist: make it first, or leave it out.")
    if path.resolve().parent != folder or not folder.is_relative_to(ROOT):
        raise ReportError(
            f"{path} does not lie in {folder.name} of this repository, where the numbers are: "
            "numbers, figures and tables belong to one source."
        )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).strip().splitlines()[0]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.document.compile")
    parser.add_argument("--numbers", type=Path, required=True, help="numbers.json")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="PDFs of the figures")
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="tables in Markdown")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        pdf = compile_report(options.numbers, options.figures, options.tables)
    except ReportError as error:
        sys.exit(str(error))
    partial = options.output.with_name(f".{options.output.name}.partial")
    partial.write_bytes(pdf)
    partial.replace(options.output)


if __name__ == "__main__":
    main()
