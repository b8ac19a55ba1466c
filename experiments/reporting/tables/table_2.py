"""Time of an iteration, iterations and time in all on the trained AR GRU (Table 2).

    python -m experiments.reporting.tables.table_2 --results results/fresh/cpu \\
        --output figures/out/fresh/cpu/table_2.csv

The CSV holds numbers, the Markdown and LaTeX tables beside it what a reader wants to see.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.reporting.labels import label
from experiments.reporting.results import Results
from experiments.reporting.tables.layout import MISSING, Made, run


class Reported(NamedTuple):
    """A row of the paper's table, in seconds; brackets mark what is not confirmed."""

    num_steps: int | None
    time_per_iteration_s: float | None
    time_s: float | None
    confirmed: bool


# Of quasi-ELK only the time in all is confirmed.
PAPER = {
    "sequential": Reported(None, None, 96e-3, confirmed=True),
    "deer": Reported(4449, 0.282e-3, 1255e-3, confirmed=False),
    "quasi_deer": Reported(7383, 0.087e-3, 642e-3, confirmed=False),
    "elk": Reported(172, 3.600e-3, 619e-3, confirmed=False),
    "quasi_elk": Reported(1566, 0.141e-3, 221e-3, confirmed=True),
}
# Stands in the columns of the paper for a method that the paper does not have.
NOT_REPORTED = Reported(None, None, None, confirmed=True)
NOTE = (
    "Trained autoregressive GRU, whole sequence, guess of zeros. Iterations until the mean "
    "absolute deviation of the output from the sequential one is below 0.1: median over draws of "
    "noise, with the smallest and the largest. Time of an iteration: median over timed calls of "
    "many iterations. Time in all: their product; sequential: one pass. The iterations of chunks, "
    "which the paper does not have, are sweeps over all of them, to rounding. The paper's numbers "
    "are of another device and of its own weights; those in brackets are reported, but unconfirmed."
)


def tabulate(solves: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The numbers, one row a method. A solve that did not find the answer took infinitely many."""
    trained = solves.query("model == 'trained'")
    seconds = times.assign(each=times["time_s"] / times["run_steps"].fillna(1))
    rows = []
    others = [name for name in dict.fromkeys(trained["method"]) if name not in PAPER]
    for method in [*PAPER, *others]:
        paper = PAPER.get(method, NOT_REPORTED)
        each = np.median(seconds[seconds["method"] == method]["each"])
        counts = trained.query("method == @method")["num_steps"].astype(float).fillna(math.inf)
        sequential = method == "sequential"
        rows.append(
            {
                "method": method,
                "num_steps_median": None if sequential else counts.median(),
                "num_steps_min": None if sequential else counts.min(),
                "num_steps_max": None if sequential else counts.max(),
                "time_per_iteration_s": None if sequential else each,
                "time_s": each if sequential else each * counts.median(),
                **{f"paper_{name}": value for name, value in paper._asdict().items()},
            }
        )
    return pd.DataFrame(rows)


def for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The table as readers see it: times in milliseconds, names in words."""
    return pd.DataFrame([_in_words(row) for row in table.to_dict("records")])


def _in_words(row: dict) -> dict[str, str]:
    paper = PAPER.get(row["method"], NOT_REPORTED)

    def reported(text: str, confirmed: bool) -> str:
        return text if confirmed or text == MISSING else f"({text})"

    counts = [_count(row[f"num_steps_{name}"]) for name in ("median", "min", "max")]
    return {
        "method": label(row["method"]),
        "iterations": counts[0] if len(set(counts)) == 1 else "{} ({} to {})".format(*counts),
        "ms per iteration": _milliseconds(row["time_per_iteration_s"]),
        "ms in all": _milliseconds(row["time_s"]),
        "paper: iterations": reported(_count(paper.num_steps), False),
        "paper: ms per iteration": reported(_milliseconds(paper.time_per_iteration_s), False),
        "paper: ms in all": reported(_milliseconds(paper.time_s), paper.confirmed),
    }


def _count(number: float | None) -> str:
    if number is None or math.isnan(number):
        return MISSING
    return "not found" if math.isinf(number) else f"{number:.0f}"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def make(results: Results, _: str) -> Made:
    """The numbers of argru's results."""
    table = tabulate(results.needed("argru"), results.needed("argru_times"))
    return Made(table, for_readers(table), NOTE)


def main(arguments: Sequence[str] | None = None) -> None:
    run("table_2", make, arguments)


if __name__ == "__main__":
    main()
