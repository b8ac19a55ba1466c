# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Time, Newton iterations and memory of an untrained GRU (Figures 2 and 6)
#
# Reads the results of `experiments/gru_scaling.py`. Figure 2 of the paper is batch 16,
# Figure 6 is batch 1. In the pipeline this script draws one batch size; opened as a
# notebook it draws every batch size of the newest results.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import results
import style

RAN = ("ok", "not converged")
OUT_OF_MEMORY = "out of memory"
MIB = 2**20
CROSS_ROW = 0.12  # height of a row of crosses, of a panel's height

# %% [markdown]
# ## From measurements to points
#
# The repetitions of a seed are summarised by their median. The line is the median over
# the seeds, the band runs from the smallest to the largest. Memory comes from the
# compiled program and is the same for every seed.


# %%
def points(cells: pd.DataFrame, value: str) -> pd.DataFrame:
    """Median, smallest and largest value over the seeds, for each length."""
    seeds = cells.groupby(["length", "seed"])[value].median().groupby("length")
    return pd.DataFrame({"median": seeds.median(), "min": seeds.min(), "max": seeds.max()})


def total_memory(table: pd.DataFrame) -> pd.Series:
    """MiB of the arguments, the result and everything between, of each row's program."""
    parts = ["argument_memory_bytes", "output_memory_bytes", "temp_memory_bytes"]
    return table[parts].sum(axis="columns", skipna=False) / MIB


# %% [markdown]
# ## One column of panels for each state size
#
# A cell that does not fit in memory was never run. It is a cross: above the lines in
# the upper panels, which have no value for it, and at the memory it would need in the
# lowest, where a grey line is the memory that programs were allowed. A program that the
# compiler itself gave up has no memory; its cross is above the lines there too.

# %%
ROWS = {
    "time_s": "time (s)",
    "num_steps": "iterations,\nsweeps",
    "memory_mib": "memory (MiB)",
}


def draw_line(axes: Axes, method: str, curve: pd.DataFrame) -> None:
    """A method's median with its band."""
    axes.plot(curve.index, curve["median"], **style.line_options(method))
    colour = style.METHODS[method].colour
    axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.2, linewidth=0)


def mark_unknown(axes: Axes, method: str, missing: pd.DataFrame, row: int) -> None:
    """Crosses near the panel's upper edge, one row a method, for cells that did not fit."""
    if missing.empty:
        return
    heights = np.full(len(missing), 1 - CROSS_ROW * (row + 1.5))
    place = axes.get_xaxis_transform()
    axes.plot(missing["length"], heights, transform=place, **style.cross(method))
    axes.text(
        0.99,
        1,
        OUT_OF_MEMORY,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=style.SMALL,
    )


def mark_needed(axes: Axes, method: str, missing: pd.DataFrame, allowed: float) -> None:
    """Crosses at the memory that cells would have needed, and what they were allowed."""
    axes.plot(missing["length"], missing["memory_mib"], **style.cross(method))
    axes.axhline(allowed, color="#777777", linewidth=0.8, zorder=0)


def memory_allowed(records: list[dict]) -> float:
    """MiB that a program could have at most, in the run that could have least."""
    shares = [
        one["device_memory_bytes"] * one["configuration"]["memory_fraction"] for one in records
    ]
    return min(shares) / MIB


def draw_column(column: np.ndarray, cells: pd.DataFrame, allowed: float) -> int:
    """The panels of one state size; returns how many rows of crosses they have."""
    time, iterations, memory = column
    crossed = 0
    for method in style.METHODS:
        own = cells.query("method == @method")
        missing = own.query("status == @OUT_OF_MEMORY").drop_duplicates("length")
        for axes, row in zip(column, ROWS, strict=True):
            curve = points(own.query("status in @RAN"), row).dropna()
            if len(curve):
                draw_line(axes, method, curve)
        if len(missing):
            mark_unknown(time, method, missing, crossed)
            if method not in ("sequential", "best_scan"):  # they have no iterations
                mark_unknown(iterations, method, missing, crossed)
            mark_needed(memory, method, missing.query("memory_mib.notna()"), allowed)
            mark_unknown(memory, method, missing.query("memory_mib.isna()"), crossed)
            crossed += 1
    return crossed


def scale_axes(grid: np.ndarray, cross_rows: int) -> None:
    """Logarithmic axes, but iterations from 0; room for rows of crosses above the lines."""
    for axes in grid.ravel():
        axes.set_xscale("log")
        axes.minorticks_off()
    for axes in [*grid[0], *grid[2]]:
        axes.set_yscale("log")
        axes.minorticks_off()
    # What is added above the lines, as a multiple of the height that they take.
    room = 1 / (1 - CROSS_ROW * (cross_rows + 1)) - 1 if cross_rows else 0.05
    low, high = grid[0, 0].get_ylim()  # the panels of a row share one scale
    grid[0, 0].set_ylim(low, high * (high / low) ** room)
    low, high = grid[2, 0].get_ylim()
    grid[2, 0].set_ylim(low, high * (high / low) ** room)
    grid[1, 0].set_ylim(0, grid[1, 0].get_ylim()[1] * (1 + room))
    grid[1, 0].yaxis.set_major_locator(MaxNLocator(5, integer=True))


def draw(found: results.Found, batch: int) -> Figure:
    """The figure for one batch size."""
    table = results.with_best_scan(found.table.query("batch == @batch"), ["dim", "length"])
    table = table.assign(memory_mib=total_memory(table))
    dims = sorted(table["dim"].unique())
    figure, grid = plt.subplots(
        len(ROWS),
        len(dims),
        figsize=(style.PAGE_WIDTH_IN, 4.1),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    allowed = memory_allowed(found.records)
    cross_rows = 0
    for column, dim in zip(grid.T, dims, strict=True):
        column[0].set_title(f"D = {dim}")
        cross_rows = max(cross_rows, draw_column(column, table.query("dim == @dim"), allowed))
    scale_axes(grid, cross_rows)
    for axes, label in zip(grid[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(label)
    figure.align_ylabels()
    for axes in grid[-1]:
        axes.set_xlabel("length T")
    style.legend_above(figure, [name for name in style.METHODS if name in set(table["method"])])
    style.footer(figure, f"batch {batch}  |  {results.provenance(found.records)}")
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "gru_scaling")
if "snakemake" in globals():
    job = globals()["snakemake"]
    style.save(draw(found, job.params.batch), job.output)
else:
    for batch in sorted(found.table["batch"].unique()):
        paths = found.figure_paths(f"gru_scaling_batch{batch}", style.FORMATS)
        style.finish(draw(found, batch), paths)
