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
# # Iterations, work and time against the length of the window
#
# Reads the results of `experiments/windows.py`: the autoregressive GRU and Lorenz96 solved in
# windows by every method.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import results
import style

TITLES = {"argru": "AR GRU", "lorenz96": "Lorenz96"}
METHODS = ("jacobi", "picard", "quasi_deer", "deer", "quasi_elk", "elk")
# Whole-sequence methods that are drawn across the panels.
LEVELS = ("deer", "elk")
MEASURES = {
    "num_steps": "iterations,\nall windows",
    "work_per_step": "evaluations of f\nper step",
    "time_s": "time (s)",
}

# %% [markdown]
# ## A panel: lines for the methods in windows, levels for the whole sequence


# %%
def draw_panel(axes: Axes, cells: pd.DataFrame, value: str) -> None:
    """One measure of one recurrence against the window length."""
    for method in METHODS:
        own = results.rows(cells, method=method, evaluation="windows")
        own = own.sort_values("window")
        axes.plot(own["window"], own[value], **{**style.line_options(method), "markersize": 3.5})
    for method in LEVELS:
        own = results.rows(cells, method=method, evaluation="whole")
        draw_level(axes, own[value].to_numpy(), style.METHODS[method].colour, (0, (6, 2)))
    if value != "num_steps":
        own = results.rows(cells, evaluation="sequential")
        draw_level(axes, own[value].to_numpy(), style.METHODS["sequential"].colour, "-")
    axes.set(xscale="log", yscale="log")
    axes.minorticks_off()


def draw_level(axes: Axes, heights: np.ndarray, colour: str, line: str | tuple) -> None:
    """A horizontal line, none where the method did not get there."""
    for level in heights[np.isfinite(heights)]:
        axes.axhline(level, color=colour, linestyle=line, linewidth=1, zorder=1)


def legend(figure: Figure) -> None:
    """Methods in windows, then the levels."""
    handles = [
        Line2D([], [], label=style.METHODS[name].label, **style.line_options(name))
        for name in METHODS
    ]
    for name in LEVELS:
        label = f"{style.METHODS[name].label}, whole sequence"
        colour = style.METHODS[name].colour
        handles.append(Line2D([], [], label=label, color=colour, linestyle=(0, (6, 2))))
    colour = style.METHODS["sequential"].colour
    handles.append(Line2D([], [], label="sequential", color=colour))
    figure.legend(handles=handles, loc="outside upper center", ncols=5)


def draw(found: results.Found) -> Figure:
    """The whole figure: a row for each recurrence."""
    table = found.table.assign(
        work_per_step=found.table["work_evaluations"] / found.table["length"]
    )
    names = [name for name in TITLES if name in set(table["system"])]
    figure, grid = plt.subplots(
        len(names),
        len(MEASURES),
        figsize=(style.PAGE_WIDTH_IN, 0.9 + 1.5 * len(names)),
        sharex="row",
        squeeze=False,
        layout="constrained",
    )
    for row, name in zip(grid, names, strict=True):
        cells = table.query("system == @name")
        for axes, (value, label) in zip(row, MEASURES.items(), strict=True):
            draw_panel(axes, cells, value)
            axes.set_ylabel(label)
        row[1].set_title(f"{TITLES[name]}, T = {cells['length'].iloc[0]:,}")
    for axes in grid[-1]:
        axes.set_xlabel("window length W (steps)")
    style.letter(grid[0])
    figure.align_ylabels()
    legend(figure)
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "windows")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("windows", style.FORMATS))
