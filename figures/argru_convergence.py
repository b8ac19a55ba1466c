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
# # Convergence of the parallel methods on the autoregressive GRU (Figure 4)
#
# Reads the results of `experiments/argru.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

import results
import style

METHODS = ("deer", "quasi_deer", "elk", "quasi_elk")
TITLES = {"untrained": "untrained", "trained": "trained on noisy sine waves"}
THRESHOLD = 0.1
MAD_SHOWN = (1e-6, 1e5)

# %% [markdown]
# ## MAD against iterations, untrained and trained
#
# Lines are medians over the draws of noise, bands run from their 5 % to their 95 % quantile. A
# draw that is done stays as it is while others go on. The table leaves out iterates of long
# solves; between those that it has, the MAD is interpolated.


# %%
def over_draws(cells: pd.DataFrame) -> pd.DataFrame:
    """The MAD of every draw (columns) at every iteration that the table has for one of them."""
    draws = cells.pivot(index="iteration", columns="seed", values="mad")
    return draws.interpolate(method="index", limit_area="inside").ffill()


def draw_mad(axes: Axes, cells: pd.DataFrame) -> None:
    """One panel, a line and a band for each method."""
    for method in METHODS:
        draws = over_draws(cells.query("method == @method"))
        # A logarithmic axis has no place for the guess itself: it stands at 1.
        iterations = draws.index.to_numpy() + 1
        low, middle, high = np.nanquantile(draws.clip(upper=1e30), [0.05, 0.5, 0.95], axis=1)
        look = style.METHODS[method]
        axes.plot(iterations, middle, color=look.colour, linestyle=look.line)
        axes.fill_between(iterations, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.axhline(THRESHOLD, color="#999999", linewidth=0.8)
    axes.set(xscale="log", yscale="log", ylim=MAD_SHOWN, xlabel="iteration + 1")
    axes.minorticks_off()


def draw_convergence(figure: SubFigure, found: results.Found) -> None:
    """Both panels."""
    tables = dict(iter(found.beside("mad").groupby("model")))
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for axes, (model, title) in zip(panels, TITLES.items(), strict=True):
        draw_mad(axes, tables[model])
        axes.set_title(title)
    panels[0].set_ylabel("MAD of the output")
    style.letter(panels)


# %% [markdown]
# ## Iterates on the way: a row for each method, a column for each number of iterations
#
# The true output in grey behind. The vertical axis ends a little outside of it; iterates that
# leave it are cut off, and a number says how far they went.


# %%
def draw_iterate(axes: Axes, cells: pd.DataFrame, truth: pd.DataFrame, method: str) -> None:
    """One iterate above the true output."""
    limit = 1.5 * float(np.max(np.abs(truth["output"])))
    axes.plot(truth["step"], truth["output"], color="#BBBBBB", linewidth=0.5)
    shown = cells["output"].clip(-1e9, 1e9)
    axes.plot(cells["step"], shown, color=style.METHODS[method].colour, linewidth=0.5)
    axes.set_ylim(-limit, limit)
    largest = float(np.max(np.abs(cells["output"])))
    if not largest < limit:
        style.note_above(axes, f"up to {style.plain(float(f'{largest:.0e}'))}")


def draw_iterates(figure: SubFigure, found: results.Found) -> None:
    """The whole grid."""
    iterations = found.records[0]["configuration"]["iterates"]
    outputs = dict(iter(found.beside("iterates").groupby(["method", "iteration"])))
    truth = outputs["sequential", 0]
    grid = figure.subplots(len(METHODS), len(iterations), sharex=True, sharey=True, squeeze=False)
    for line, method in zip(grid, METHODS, strict=True):
        for axes, iteration in zip(line, iterations, strict=True):
            draw_iterate(axes, outputs[method, iteration], truth, method)
        line[0].set_ylabel(f"{style.METHODS[method].label}\noutput x")
    for axes, iteration in zip(grid[0], iterations, strict=True):
        axes.set_title(f"iteration {iteration:,}", pad=style.ABOVE_NOTES)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    grid[0, 0].set_title("c", loc="left", fontweight="bold", pad=style.ABOVE_NOTES)
    figure.align_ylabels()


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    figure = plt.figure(figsize=(style.PAGE_WIDTH_IN, 5.6), layout="constrained")
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=[2.4, 4.2]))
    draw_convergence(upper, found)
    draw_iterates(lower, found)
    style.legend_above(figure, METHODS)
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "argru")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("argru_convergence", style.FORMATS))
