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
# # When a parallel method pays: iterations against the largest Lyapunov exponent
#
# Reads the results of `experiments/chaos.py`.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import results
import style

TITLES = {
    "lorenz96": "Lorenz96",
    "tanh": "tanh network, D = {tanh_dim}",
    "argru": "autoregressive GRU",
}
# Exponents closer to 0 than this are drawn on a linear scale, others on a logarithmic one.
LINEAR_BELOW = 1e-2

# %% [markdown]
# ## Above: iterations of a window, a row for each window length
#
# On a machine of any size one iteration takes about 2 log2 W steps, one after the other: those of a
# parallel scan. In the shaded part the iterations of a window of W steps take longer than W steps.
# A dotted vertical line stands at the smallest exponent of which a method gets there; crosses are
# solves that did not converge within W iterations.


# %%
def most_that_pay(window: int) -> float:
    """Iterations that take as long as the steps of a window, where every scan is parallel."""
    return window / (2 * math.log2(window))


def draw_iterations(axes: Axes, cells: pd.DataFrame, window: int) -> None:
    """Iterations against the exponent, for all methods and one window length."""
    bound = most_that_pay(window)
    axes.axhspan(bound, 2 * window, color="#F3E3DC", zorder=0, linewidth=0)
    for method in style.METHODS:
        rows = cells.query("method == @method").sort_values("exponent_per_step")
        exponents = rows["exponent_per_step"].to_numpy()
        counts = rows["iterations_per_window"].to_numpy()
        if len(rows) == 0:
            continue
        axes.plot(exponents, counts, **style.line_options(method))
        failed = np.isnan(counts)
        axes.plot(exponents[failed], np.full(failed.sum(), window), **style.cross(method))
        beyond = exponents[failed | (counts > bound)]
        if len(beyond):
            look = style.METHODS[method]
            axes.axvline(beyond.min(), color=look.colour, linestyle=":", linewidth=1)
    axes.set(yscale="log", ylim=(1, 2 * window))


# %% [markdown]
# ## Below: time beside sequential evaluation on this device
#
# Of each method, the window that is fastest. Above the line it does not pay.


# %%
def draw_time(axes: Axes, cells: pd.DataFrame) -> None:
    """Time over that of sequential evaluation, against the exponent."""
    case = ["parameter", "draw", "exponent_per_step"]
    sequential = cells[cells["method"] == "sequential"].set_index(case)["time_s"]
    for method in style.METHODS:
        rows = cells[(cells["method"] == method) & (method != "sequential")]
        ratio = (rows.groupby(case)["time_s"].min() / sequential).dropna().reset_index()
        ratio = ratio.sort_values("exponent_per_step")
        axes.plot(ratio["exponent_per_step"], ratio["time_s"], **style.line_options(method))
    axes.axhline(1, color=style.METHODS["sequential"].colour)
    axes.axhspan(1, 1e6, color="#F3E3DC", zorder=0, linewidth=0)
    axes.set(yscale="log", ylim=(1e-1, 1e4))


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    table, settings = found.table, found.records[0]["configuration"]
    windows = sorted({int(window) for window in table["window"].dropna()})
    systems = [name for name in TITLES if name in set(table["system"])]
    methods = [name for name in style.METHODS if name in set(table["method"])]
    figure, grid = plt.subplots(
        len(windows) + 1,
        len(systems),
        figsize=(style.PAGE_WIDTH_IN, 1.0 + 1.05 * (len(windows) + 1)),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for column, system in zip(grid.T, systems, strict=True):
        cells = table.query("system == @system")
        for axes, window in zip(column, windows, strict=False):
            draw_iterations(axes, cells.query("window == @window"), window)
        draw_time(column[-1], cells)
        column[0].set_title(TITLES[system].format(**settings))
        column[-1].set_xscale("symlog", linthresh=LINEAR_BELOW)
        column[-1].set_xlabel("largest Lyapunov exponent (1/step)")
        for axes in column:
            axes.axvline(0, color="#999999", linewidth=0.6)
            axes.minorticks_off()
    for axes, window in zip(grid[:, 0], windows, strict=False):
        axes.set_ylabel(f"iterations,\nwindow of {window}")
    grid[-1, 0].set_ylabel("time /\nsequential time")
    figure.align_ylabels()
    style.legend_above(figure, methods)
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "chaos")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("chaos", style.FORMATS))
