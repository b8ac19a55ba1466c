"""Numbers that the claims and the report both show: each is computed here, once, under its name."""

import math
from typing import NamedTuple

import pandas as pd

from experiments.harness import methods
from experiments.reporting.results import Column, Table

# The GPU that memory is shown for where one has to be chosen; the paper's has 16 GB.
GPU = "h100"
# The forms of sequential evaluation, of which figures show the plain one and the fastest.
SCANS = methods.selected([methods.SEQUENTIAL, methods.SCAN])
TEMPORARY = ("temp",)
# A program's memory in all: its arguments, its result and what it needs between.
TOTAL = ("argument", "output", "temp")


class Ratio(NamedTuple):
    """A ratio and the length at which it was found."""

    value: float
    length: int


def memory(table: Table, parts: tuple[str, ...]) -> Column:
    """Bytes of some parts of each row's program, `TEMPORARY` or `TOTAL`; NaN if not known."""
    return table[[f"{part}_memory_bytes" for part in parts]].sum(axis=1, skipna=False)


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


def with_best_scan(table: Table, cell: list[str], column: str = "method") -> Table:
    """The table with the fastest form of `jax.lax.scan` in each cell as the method `best_scan`.

    The other forms are left out, but `sequential` is there as well. Where no other form was
    measured, as in older results, the table is returned as it is.

    **Arguments:**

    - `cell`: the columns that a cell has in common.
    - `column`: that of the methods.
    """
    scans = table[table[column].isin(SCANS)].dropna(subset=["time_s"])
    if set(scans[column]) <= {methods.SEQUENTIAL}:
        return table
    times = scans.groupby([*cell, column])["time_s"].median().rename("median_s").reset_index()
    best = times.loc[_smallest(times, cell, "median_s"), [*cell, column]]
    fastest = scans.merge(best).assign(**{column: methods.BEST_SCAN})
    plain, parallel = table[column] == methods.SEQUENTIAL, ~table[column].isin(SCANS)
    return pd.concat([table[plain], fastest, table[parallel]], ignore_index=True)


def _smallest(table: Table, cell: list[str], column: str) -> list[int]:
    """The row of each cell with the smallest value."""
    return [*table.groupby(cell)[column].idxmin()] if cell else [table[column].idxmin()]


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
