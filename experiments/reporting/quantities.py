"""Numbers that the claims and the report both show: each is computed here, once, under its name."""

import math
from typing import NamedTuple

import pandas as pd

from experiments.reporting.results import Column, Table

# The GPU that memory is shown for where one has to be chosen; the paper's has 16 GB.
GPU = "h100"
TEMPORARY = ("temp",)
# A program's memory in all: its arguments, its result and what it needs between.
TOTAL = ("argument", "output", "temp")


class Ratio(NamedTuple):
    """A ratio and the length at which it was found."""

    value: float
    length: int


def memory(table: Table, parts: tuple[str, ...]) -> Column:
    """Bytes of some parts of each row's program: `TEMPORARY` or `TOTAL`."""
    return table[[f"{part}_memory_bytes" for part in parts]].sum(axis=1)


def memory_ratio(table: Table, parts: tuple[str, ...]) -> Ratio | None:
    """DEER's memory over quasi-DEER's at the largest length that has both.

    **Arguments:**

    - `table`: programs of one device, batch size and state size, run or only compiled.
    """
    found = memory(table, parts).groupby([table["method"], table["length"]]).first()
    ratios = (of(found, "deer") / of(found, "quasi_deer")).dropna()
    return None if ratios.empty else Ratio(float(ratios.iloc[-1]), int(ratios.index[-1]))


def of(values: Column, method: str) -> Column:
    """The values of one method, without its name in the index; empty if it was not measured."""
    return values[values.index.get_level_values("method") == method].droplevel("method")


def iterations(table: Table) -> Column:
    """Iterations of each solve, infinite where it did not find the answer."""
    return table["num_steps"].astype(float).fillna(math.inf)


def iterations_by_damping(table: Table) -> Column:
    """Median iterations of a method for each λ, infinite where most solves found no answer."""
    return iterations(table).groupby(table["damping"]).median()


def farthest_iterates(table: Table) -> dict[str, float]:
    """For each method the largest MAD of an iterate of a solve, median over draws of noise."""
    peaks = table.groupby(["method", "seed"])["mad"].max()
    medians: pd.Series = peaks.groupby("method").median()
    return {str(name): float(value) for name, value in medians.items()}
