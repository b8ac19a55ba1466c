"""Tables for readers, in Markdown and LaTeX, each with a note below."""

import pandas as pd

MISSING = "\N{EN DASH}"


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
