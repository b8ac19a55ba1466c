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
# # Outputs of DEER and quasi-DEER against sequential evaluation (Figure 5)
#
# Reads the results of `experiments/gru_accuracy.py`: the last states of an untrained
# GRU on the paper's N(0, 1) inputs and on a recording of a smart watch.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import results
import style

TITLES = {"normal": "N(0, 1) inputs", "watch": "smart-watch recording"}

# %% [markdown]
# ## One column of panels for each kind of input
#
# Above, the sequential states: one line for each unit. Below, how far each method is
# from them, a dot for each unit, on a scale that is linear within one float32 rounding
# of 1 and logarithmic outside it. Coloured lines: the largest difference over all steps.
# Grey band: the largest rounding error of the float32 sequential states themselves.

# %%
FLOAT32_ROUNDING = 2.0**-24


def draw_states(axes: Axes, cells: pd.DataFrame) -> None:
    """The sequential states, a line for each unit."""
    for index, (_, unit) in enumerate(cells.groupby("unit")):
        axes.plot(unit["step"], unit["sequential"], color=str(0.15 + 0.6 * (index % 4) / 3))


def draw_difference(axes: Axes, method: str, cells: pd.DataFrame, summary: dict) -> None:
    """A method's difference of each unit, its largest size, and the rounding of float32."""
    look = style.METHODS[method]
    axes.plot(
        cells["step"],
        cells["difference"],
        color=look.colour,
        marker=look.marker,
        markersize=1.5,
        markeredgewidth=0,
        linestyle="none",
    )
    largest = summary["methods"][method]["max_abs"]
    for height in (-largest, largest):
        axes.axhline(height, color=look.colour, linestyle=look.line, linewidth=0.8)
    rounding = summary["sequential_rounding"]["max_abs"]
    axes.axhspan(-rounding, rounding, color="#DDDDDD", zorder=0, linewidth=0)
    axes.set_yscale("symlog", linthresh=FLOAT32_ROUNDING, linscale=0.5)
    axes.set_yticks([-1e-4, -1e-6, 0, 1e-6, 1e-4])
    axes.minorticks_off()


def column_title(kind: str, summary: dict) -> str:
    """What the inputs are, and how long."""
    return f"{TITLES[kind]}, T = {summary['length']:,}, width {summary['input_width']}"


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    table, (record,) = found.table, found.records
    kinds = [kind for kind in TITLES if kind in set(table["inputs"])]
    methods = [name for name in style.METHODS if name in set(table["method"])]
    figure, grid = plt.subplots(
        1 + len(methods),
        len(kinds),
        figsize=(style.PAGE_WIDTH_IN, 1.4 + 1.1 * len(methods)),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for column, kind in zip(grid.T, kinds, strict=True):
        summary = record["summary"][kind]
        cells = table.query("inputs == @kind")
        column[0].set_title(column_title(kind, summary))
        draw_states(column[0], cells.query("method == @methods[0]"))
        for axes, method in zip(column[1:], methods, strict=True):
            draw_difference(axes, method, cells.query("method == @method"), summary)
        column[-1].set_xlabel("step")
    grid[0, 0].set_ylabel("sequential\nstate")
    for axes, method in zip(grid[1:, 0], methods, strict=True):
        axes.set_ylabel(f"{style.METHODS[method].label}\nminus\nsequential")
    figure.align_ylabels()
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "gru_accuracy")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("gru_accuracy", style.FORMATS))
